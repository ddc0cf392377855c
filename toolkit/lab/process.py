"""Processes by what is theirs alone: a pid may belong to another process later, and after a reboot it does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """One process of one boot of this machine."""

    pid: int
    start_ticks: int
    """When it started, in clock ticks since the boot."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has a pid now; None where there is none or it has ended and is not yet reaped."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        return None if _fields(stat)[0] == "Z" else cls._parse(stat, BOOT_ID.read_text())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the process of a file with its line of /proc/PID/stat and the boot's id; None where there is none."""
        try:
            stat, boot = path.read_text().splitlines()
            return cls._parse(stat, boot)
        except (OSError, ValueError, IndexError):
            return None

    @classmethod
    def _parse(cls, stat: str, boot: str) -> Self:
        return cls(int(stat.split(maxsplit=1)[0]), int(_fields(stat)[19]), boot.strip())

    @property
    def runs(self) -> bool:
        return self == self.of(self.pid)

    def companions(self) -> list[int]:
        """Return the pids of all others in this process's mount namespace: whatever a board started, orphans too."""
        own = _mount_namespace(self.pid)
        if own is None or own == _mount_namespace(os.getpid()):  # gone, or not yet a board
            return []
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if pid != self.pid and _mount_namespace(pid) == own]

    def end(self) -> None:
        """End it and its companions at once, like a power cut; whoever has its pid by now is left alone."""
        if not self.runs:
            return
        # A stopped server starts no session while its sessions are counted.
        kill([self.pid], signal.SIGSTOP)
        doomed = [self, *filter(None, map(Process.of, self.companions()))]
        kill(process.pid for process in doomed)
        deadline = time.monotonic() + 5
        while any(process.runs for process in doomed) and time.monotonic() < deadline:
            time.sleep(0.002)


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes of which some may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _fields(stat: str) -> list[str]:
    """Return what follows the program's name, which may hold spaces and brackets."""
    return stat.rpartition(")")[2].split()


def _mount_namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None
