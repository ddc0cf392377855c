"""One engine's worker process, seen from the comparison: stopped at all times but its own turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Pipe
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .engine import Engine, Job
from .message import Answer, Outputs, Prepare, Ready, Refusal, Samples, Turn

if TYPE_CHECKING:
    from typing import Self

    from .message import Reply, Request

ROOT = str(Path(__file__).absolute().parents[3])
"""Where `fusekit` is imported from."""
PREPARE_S = 600.0
TURN_S = 120.0
"""Beyond the length of the turn: room for a model of seconds."""


class Refused(Exception):
    """The engine takes no part, or no longer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Contestant:
    """A context manager that starts the worker and ends it; every other method raises `Refused`."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        # OpenMP's threads are counted when the library is loaded
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": str(threads),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=self._environment,
                pass_fds=[theirs.fileno()],
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._log.close()

    def prepare(self, job: Job, cpus: Sequence[int]) -> Ready:
        """Loads the model and runs it once."""
        reply = self._ask(Prepare(self._engine, job, tuple(cpus)), PREPARE_S)
        assert isinstance(reply, Ready)
        return reply

    def outputs(self) -> Sequence[npt.NDArray[np.generic]]:
        """What it computes now."""
        reply = self._ask(Answer(), TURN_S)
        assert isinstance(reply, Outputs)
        return reply.arrays

    def turn(self, turn_ms: int) -> tuple[int, ...]:
        """Samples in ns."""
        reply = self._ask(Turn(turn_ms), TURN_S + turn_ms / 1000)
        assert isinstance(reply, Samples)
        return reply.ns

    def _ask(self, request: Request, timeout_s: float) -> Reply:
        self._process.send_signal(signal.SIGCONT)
        try:
            self._pipe.send(request)
            if not self._pipe.poll(timeout_s):
                raise Refused(Refusal("crash", f"it did not answer within {timeout_s:.0f} s"))
            reply: Reply = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise Refused(Refusal("crash", self._last_words())) from None
        self._process.send_signal(signal.SIGSTOP)
        if isinstance(reply, Refusal):
            raise Refused(reply)
        return reply

    def _last_words(self) -> str:
        """How the process ended, and the last line that it printed."""
        code = self._process.wait()
        how = f"of signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended {how}" + (f": {lines[-1][:200]}" if lines else "")
