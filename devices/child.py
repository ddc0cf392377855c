"""A child process on this machine whose time and output are bounded."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

_CHUNK_BYTES = 1 << 16
# A child that left the group may hold the pipes open.
_LAST_WORDS_S = 5.0


@dataclass(frozen=True)
class Ended:
    """A child that is gone; `why` says whether it ended by itself or was ended, with its whole group."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    why: Literal["itself", "time", "output"]


def run_child(command: Sequence[str], cwd: Path, timeout_s: float, limit_bytes: int) -> Ended:
    """Run a program to its end, `timeout_s` seconds or `limit_bytes` of output; raises OSError where it does not start.

    `exit_code` follows the shell: 128 + signal for a death by signal.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process, selectors.DefaultSelector() as selector:
        why: Literal["itself", "time", "output"] = "itself"
        written = _Written(process, selector)
        try:
            deadline = time.monotonic() + timeout_s
            while not written.ended and why == "itself":
                if not written.read(deadline):
                    why = "time"
                elif written.n_bytes > limit_bytes:
                    why = "output"
            if why == "itself" and not _ends(process, deadline):
                why = "time"
        except BaseException:
            _kill_group(process)
            raise
        if why != "itself":
            _kill_group(process)
            give_up = time.monotonic() + _LAST_WORDS_S
            while not written.ended and written.n_bytes <= limit_bytes and written.read(give_up):
                pass
        code = process.wait()
        return Ended(
            code if code >= 0 else 128 - code,
            bytes(written.stdout[:limit_bytes]),
            bytes(written.stderr[:limit_bytes]),
            why,
        )


class _Written:
    """What a process has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._selector = selector
        self._register(process.stdout, self.stdout)
        self._register(process.stderr, self.stderr)

    @property
    def n_bytes(self) -> int:
        return len(self.stdout) + len(self.stderr)

    @property
    def ended(self) -> bool:
        """Whether nobody can write any more."""
        return not self._selector.get_map()

    def read(self, deadline: float) -> bool:
        """Take what comes next; whether it, or the end of a pipe, came before `deadline`."""
        ready = self._selector.select(max(0.0, deadline - time.monotonic()))
        for key, _ in ready:
            data = os.read(key.fd, _CHUNK_BYTES)
            key.data.extend(data)
            if not data:
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def _register(self, pipe: IO[bytes] | None, buffer: bytearray) -> None:
        assert pipe is not None
        self._selector.register(pipe, selectors.EVENT_READ, buffer)


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether a process that has closed its outputs ends before `deadline`."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
