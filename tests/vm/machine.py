"""A virtual machine with an SSH server on a port of loopback, and the switches by which QEMU freezes or unplugs it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fusekit.toolkit.lab.board import ADDRESS, free_port
from fusekit.toolkit.lab.needs import lab_folder

from .initramfs import kernel, make_initramfs, public_key

BOOT_TIMEOUT_S = 120.0
_KERNEL_ARGUMENTS = "console=ttyAMA0 quiet panic=-1 nokaslr mitigations=off"


def missing() -> str | None:
    """Return why there is no virtual machine here, None if there can be one."""
    if shutil.which("qemu-system-aarch64") is None:
        return "qemu-system-aarch64 is not installed: run tests/vm/install.sh"
    if not (lab_folder() / "vm" / "complete").exists():
        return "the arm64 kernel is not there: run tests/vm/install.sh"
    return None


class Machine:
    """A Cortex-A76 with one core, whose clock is its instructions: one each nanosecond, in every run the same."""

    def __init__(self, folder: Path, authorized: str) -> None:
        self.folder = folder
        self.port = free_port()
        host_key = Ed25519PrivateKey.generate()
        self.host_key = public_key(host_key)
        folder.mkdir()
        (folder / "initramfs").write_bytes(make_initramfs(authorized, host_key))

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs, (self.folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        self._control = ours.makefile("rw", encoding="utf-8")
        ours.close()
        try:
            self._control.readline()  # the greeting
            self.command("qmp_capabilities")
            self._wait()
        except BaseException:
            self.cut_power()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut_power()

    def freeze(self) -> None:
        self.command("stop")

    def thaw(self) -> None:
        self.command("cont")

    def plug(self, connected: bool) -> None:
        """Plug the network cable in or pull it out."""
        self.command("set_link", name="network", up=connected)

    def cut_power(self) -> None:
        self._process.kill()
        self._process.wait()
        self._control.close()

    def command(self, name: str, /, **arguments: object) -> None:
        """Have QEMU carry out a command of its machine protocol."""
        self._control.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._control.flush()
        while line := self._control.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:  # else it is an event
                return
        raise RuntimeError(f"{name}: the machine has ended: {self._log()}")

    def _command(self, control: int) -> list[str]:
        network = f"user,id=network,restrict=on,hostfwd=tcp:{ADDRESS}:{self.port}-:22"
        return [
            # A killed test run leaves no machine behind.
            *("setpriv", "--pdeathsig", "KILL", "qemu-system-aarch64"),
            *("-machine", "virt,gic-version=3", "-cpu", "cortex-a76", "-smp", "1", "-m", "512"),
            *("-accel", "tcg,tb-size=128", "-icount", "shift=0"),
            *("-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self.folder}/console"),
            *("-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"),
            *("-netdev", network, "-device", "virtio-net-pci,netdev=network,romfile="),
            *(
                "-kernel",
                str(kernel()),
                "-initrd",
                str(self.folder / "initramfs"),
                "-append",
                _KERNEL_ARGUMENTS,
            ),
        ]

    def _wait(self) -> None:
        """Wait until dropbear says that it listens."""
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        console = self.folder / "console"
        while time.monotonic() < deadline and self._process.poll() is None:
            if console.exists() and "Not backgrounding" in console.read_text(errors="replace"):
                return
            time.sleep(0.05)
        raise RuntimeError(f"the machine did not boot: {self._log()}")

    def _log(self) -> str:
        logs = (self.folder / "qemu.log", self.folder / "console")
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())
