"""A lab board: a process tree that is, from the network, a Raspberry Pi with an SSH server."""

from __future__ import annotations

import fcntl
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from .board_model import find_model
from .needs import lab_folder
from .process import Process, kill
from .rootfs import USER, USER_ID, make_rootfs

ADDRESS = "127.0.0.1"
PROCESS = "process"
DESCRIPTION = "board.json"
START_TIMEOUT_S = 60.0
_ACCOUNTS = {
    "passwd": f"""root:x:0:0:root:/root:/bin/sh
{USER}:x:{USER_ID}:{USER_ID}:{USER}:/home/{USER}:/bin/sh
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/:/usr/sbin/nologin
""",
    "shadow": f"root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
}
_SSHD_CONFIG = """ListenAddress {address}:{port}
HostKey "{folder}/hostkey"
AuthorizedKeysFile /mnt/etc/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
StrictModes no
UseDNS no
PrintMotd no
SetEnv QEMU_CPU={cpu} QEMU_UNAME={kernel}
ChrootDirectory /mnt
{option}
"""


class Board:
    """A board with `authorized` (a public key) for the user pi; a context manager that ends it.

    A `tied` board ends with the thread that started it. Another one runs until somebody ends the process that the file
    `process` in its folder names.
    """

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
        port: int | None = None,
        tied: bool = True,
    ) -> None:
        model = find_model(cpu)
        self.folder = folder
        self._tied = tied
        self.root = folder / "rootfs"
        self.port = free_port() if port is None else port
        folder.mkdir()
        make_rootfs(self.root, model)
        self.host_key = make_key(folder / "hostkey")
        # Read as the user pi, who cannot look into this folder but can into the board's own root.
        (self.root / "etc/authorized_keys").write_text(authorized)
        for name, text in _ACCOUNTS.items():
            (folder / name).write_text(text)
        (folder / "sshd_config").write_text(
            _SSHD_CONFIG.format(
                address=ADDRESS,
                port=self.port,
                folder=folder,
                cpu=cpu,
                kernel=model.kernel,
                option=sshd_option,
            )
        )
        description = {
            "root": str(self.root),
            "hostname": hostname,
            "qemu": str(lab_folder() / "bin" / "qemu-aarch64-static"),
            "passwd": str(folder / "passwd"),
            "shadow": str(folder / "shadow"),
            "config": str(folder / "sshd_config"),
            "log": str(folder / "sshd.log"),
            "home_bytes": home_bytes,
            "read_only": read_only,
            "user": USER,
            "user_id": USER_ID,
            "process": str(folder / PROCESS),
            "tied": tied,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description))
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until it answers."""
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """Start; `wait` then says when it answers, so that many can start at once."""
        Path("/run/sshd").mkdir(exist_ok=True)
        for stale in (PROCESS, "sshd.log"):
            (self.folder / stale).unlink(missing_ok=True)
        launcher = Path(__file__).with_name("become_board.py")
        with (self.folder / "launch.log").open("wb") as log:
            self._started = subprocess.Popen(
                [sys.executable, "-I", str(launcher), str(self.folder / DESCRIPTION)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> Self:
        """Wait until a launched board answers; raises RuntimeError with its log where it does not."""
        assert self._started is not None
        if not self._tied:
            self._started.wait(START_TIMEOUT_S)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._started.poll() is not None and not (self._process and self._process.runs):
                raise RuntimeError(f"the board did not start: {self.log()}")
            # Its own word, not an answer at its port, where another server may have been quicker.
            if "Server listening on" in self._read("sshd.log"):
                return self
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"the board did not answer: {self.log()}")

    def stop(self) -> None:
        """End it at once, like a power cut."""
        if self._started is None:
            return
        with launches_held(self.folder):
            if self._process is not None:
                self._process.end()
            else:  # its launcher hangs
                self._started.kill()
        self._started.wait()
        self._started = None

    def cut_sessions(self) -> None:
        """End every session without a goodbye and keep listening."""
        kill(self.session_pids())

    @property
    def pid(self) -> int:
        """The process id of its SSH server."""
        assert self._process is not None
        return self._process.pid

    @property
    def home(self) -> Path:
        """Return the home folder of pi as the board itself sees it, with the file systems that only it has mounted."""
        return Path(f"/proc/{self.pid}/root{self.root}/home/{USER}")

    def session_pids(self) -> list[int]:
        """Return the processes of this board but its server: sessions, shells, programs, also those left alone."""
        return self._process.companions() if self._process is not None else []

    def log(self) -> str:
        """Return what the launcher and sshd wrote, for the message of a failure."""
        return "\n".join(filter(None, (self._read(name)[-2000:] for name in ("launch.log", "sshd.log"))))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _process(self) -> Process | None:
        return Process.read(self.folder / PROCESS)

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def launches_held(folder: Path) -> Iterator[None]:
    """Within it, a board that was launched is on record in its folder, or goes no further."""
    try:
        description = (folder / DESCRIPTION).open()
    except FileNotFoundError:  # not yet launched
        yield
        return
    with description:
        fcntl.flock(description, fcntl.LOCK_EX)
        yield


def make_key(path: Path) -> str:
    """Make an SSH key pair and return the public key's line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text()


def free_port(taken: Collection[int] = ()) -> int:
    """Return a loopback port on which nothing listens, below those that Linux gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
        if port not in taken:
            return port
