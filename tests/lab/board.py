"""A lab board: a process tree that is, from the network, a Raspberry Pi 5 with an SSH server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from .needs import lab_folder
from .rootfs import USER_ID, make_rootfs

USER = "pi"
ADDRESS = "127.0.0.1"
_ACCOUNTS = {
    "passwd": f"""root:x:0:0:root:/root:/bin/sh
{USER}:x:{USER_ID}:{USER_ID}:{USER}:/home/{USER}:/bin/sh
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/:/usr/sbin/nologin
""",
    "shadow": f"root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
}
_SSHD_CONFIG = """ListenAddress {address}:{port}
HostKey {folder}/hostkey
AuthorizedKeysFile /mnt/etc/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
StrictModes no
UseDNS no
PrintMotd no
SetEnv QEMU_CPU={cpu} QEMU_UNAME=6.6.51+rpt-rpi-2712
ChrootDirectory /mnt
{option}
"""


class Board:
    """A running board with `authorized` (a public key) for the user pi; a context manager that ends it."""

    def __init__(
        self,
        folder: Path,
        authorized: str,
        *,
        cpu: str = "cortex-a76",
        home_bytes: int = 0,
        read_only: bool = False,
        hostname: str = "lab-pi5",
        sshd_option: str = "",
    ) -> None:
        self.folder = folder
        self.root = folder / "rootfs"
        self.port = free_port()
        folder.mkdir()
        make_rootfs(self.root)
        self.host_key = make_key(folder / "hostkey")
        # Read as the user pi, who cannot look into this folder but can into the board's own root.
        (self.root / "etc/authorized_keys").write_text(authorized)
        for name, text in _ACCOUNTS.items():
            (folder / name).write_text(text)
        (folder / "sshd_config").write_text(
            _SSHD_CONFIG.format(address=ADDRESS, port=self.port, folder=folder, cpu=cpu, option=sshd_option)
        )
        self._description = {
            "root": str(self.root),
            "hostname": hostname,
            "qemu": str(lab_folder() / "bin" / "qemu-aarch64-static"),
            "passwd": str(folder / "passwd"),
            "shadow": str(folder / "shadow"),
            "config": str(folder / "sshd_config"),
            "log": str(folder / "sshd.log"),
            "home_bytes": home_bytes,
            "read_only": read_only,
            "user_id": USER_ID,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until it answers."""
        Path("/run/sshd").mkdir(exist_ok=True)
        description = self.folder / "board.json"
        description.write_text(json.dumps(self._description))
        launcher = Path(__file__).with_name("become_board.py")
        with (self.folder / "launch.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(launcher), str(description)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the board did not start: {self.log()}")
            try:
                with socket.create_connection((ADDRESS, self.port), 0.5) as link:
                    link.settimeout(2)
                    if link.recv(4) == b"SSH-":
                        return self
            except OSError:
                time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"the board did not answer: {self.log()}")

    def stop(self) -> None:
        """End it at once, like a power cut."""
        if self._process is None:
            return
        self._kill([*self.session_pids(), self._process.pid])
        self._process.wait()
        self._process = None

    def cut_sessions(self) -> None:
        """End every session without a goodbye and keep listening."""
        self._kill(self.session_pids())

    @property
    def home(self) -> Path:
        """Return the home folder of pi as the board itself sees it, with the file systems that only it has mounted."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/root{self.root}/home/{USER}")

    def session_pids(self) -> list[int]:
        """Return the processes below this board's sshd: sessions, shells, programs."""
        if self._process is None:
            return []
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                parent = _parent(entry)
                children.setdefault(parent, []).append(int(entry.name))
        found, todo = [], [self._process.pid]
        while todo:
            below = children.get(todo.pop(), [])
            found += below
            todo += below
        return found

    def log(self) -> str:
        """Return what the launcher and sshd wrote, for a failing test's message."""
        logs = (self.folder / "launch.log", self.folder / "sshd.log")
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def _kill(pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def make_key(path: Path) -> str:
    """Make an SSH key pair and return the public key's line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text()


def free_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return -1
