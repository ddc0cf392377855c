"""Where faults are made: a board, ways to reach it, and a count of the connections that were tried."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fusekit.devices import Device, DeviceError, load_inventory, open_device
from fusekit.devices.entry import SshEntry
from fusekit.devices.socket_to import socket_to

from .board import Board
from .fixtures import Lab, LabDevice, describe

SCRIPT = b"#!/bin/sh\n"
MEGABYTES_3 = {"runner": SCRIPT, "weights.bin": bytes(range(256)) * 12_000}
PATIENCE_S = 1
PROGRAM = SCRIPT + b": > started; exec sleep 30\n"


@dataclass
class FaultBench:
    """A board to break, and how it is reached."""

    lab: Lab
    board: Board
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    connects: list[str] = field(default_factory=list)
    """One entry for every TCP connection that fusekit tried."""

    def describe(self, board: Board | None = None, **changed: object) -> LabDevice:
        return describe(self.lab, board or self.board, self.folder, self.monkeypatch, **changed)

    def entry(self, board: Board | None = None, **changed: object) -> SshEntry:
        described = self.describe(board, **changed)
        entry = load_inventory(described.inventory).entry(described.name)
        assert isinstance(entry, SshEntry)
        return entry

    def reach(self, board: Board | None = None, **changed: object) -> Device:
        """Return a board as a device; `changed` replaces keys of its inventory entry."""
        return open_device(self.entry(board, **changed))

    def impatient(self) -> None:
        """Take silence for death after PATIENCE_S."""
        self.monkeypatch.setattr("fusekit.devices.connection.DEAD_AFTER_S", PATIENCE_S)


@pytest.fixture
def bench(
    lab: Lab, pi5_board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultBench]:
    shutil.rmtree(pi5_board.home / ".cache", ignore_errors=True)  # whatever a test before left there
    bench = FaultBench(lab, pi5_board, tmp_path, monkeypatch)

    def counted(entry: SshEntry) -> socket.socket:
        bench.connects.append(entry.name)
        return socket_to(entry)

    monkeypatch.setattr("fusekit.devices.route.socket_to", counted)
    monkeypatch.setattr("fusekit.devices.login._PAUSES_S", (0.02, 0.04))
    yield bench


def error_of(action: Callable[[], object]) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        action()
    assert str(caught.value).isprintable()
    return caught.value


def left_behind(board: Board) -> list[str]:
    """The names of what lies in the board's work folder."""
    folder = board.home / ".cache" / "fusekit"
    return sorted(str(path.relative_to(folder)) for path in folder.glob("**/*") if path.name != "runs")


def when_started(board: Board, folder: str, act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as PROGRAM runs in `folder`, a path of the board."""
    sign = board.home / Path(folder).relative_to("/home/pi") / "started"

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not sign.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Processes that stand still, as those of a machine whose memory card hangs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        thaw(pids)


def thaw(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def nothing_runs(board: Board) -> bool:
    """Whether all that a board ran for us ends soon."""
    deadline = time.monotonic() + 10
    while board.session_pids():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def replaced(board: Board, name: str, script: str) -> Iterator[None]:
    """Another command in the place of one of the board's."""
    path = board.root / "bin" / name
    original = path.readlink()
    path.unlink()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    try:
        yield
    finally:
        path.unlink()
        path.symlink_to(original)
