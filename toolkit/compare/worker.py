"""The process that one engine runs in: python -m fusekit.toolkit.compare.worker FD

It answers requests of the pipe FD until the other end closes. What engines print goes to the process's standard output and error, which the
pipe is none of.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import time
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from ..measure.denormals import flush_denormals
from .engine import Engine, Job, NotAvailable, Run
from .message import Answer, Outputs, Prepare, Ready, Refusal, Samples, Turn

if TYPE_CHECKING:
    from .message import Reply, Request

MIN_SAMPLES = 3
WARMUP = 2
"""Calls at the start of a turn that are not counted: they bring code and data back into the caches and wake parked threads."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serves one engine."""
    # a worker that is stopped would otherwise outlive a parent that is killed
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    pipe: Connection = Connection(int(sys.argv[1]))
    run: Run | None = None
    job: Job | None = None
    try:
        while True:
            request: Request = pipe.recv()
            if not isinstance(request, Prepare):
                assert run is not None, "prepared first"
                pipe.send(_answer(request, run))
                continue
            job = request.job  # engines may read its arrays in place as long as they run
            prepared = _prepare(request.engine, job, request.cpus)
            if isinstance(prepared, Refusal):
                pipe.send(prepared)
                return
            ready, run = prepared
            pipe.send(ready)
    except EOFError:
        return


def _prepare(engine: Engine, job: Job, cpus: tuple[int, ...]) -> tuple[Ready, Run] | Refusal:
    # threads that are started later inherit both
    os.sched_setaffinity(0, cpus)
    flush_denormals()
    try:
        for module in engine.modules:
            importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            return Refusal(
                "unavailable", f"the package {error.name} is not installed: pip install 'fusekit[peers]'"
            )
        return Refusal("unavailable", _said(error))
    start = time.perf_counter_ns()
    try:
        run = _first_run(engine, job)
    except NotAvailable as error:
        return Refusal("unavailable", str(error))
    taken = time.perf_counter_ns() - start
    gc.collect()
    gc.disable()
    return Ready(_versions(engine), taken), run


def _first_run(engine: Engine, job: Job) -> Run:
    try:
        run = engine.load(job)
        run()
    except NotAvailable:
        raise
    except Exception as error:  # engines raise classes of their own for what they do not support
        raise NotAvailable(f"it cannot run the model: {_said(error)}") from error
    return run


def _answer(request: Turn | Answer, run: Run) -> Reply:
    if isinstance(request, Turn):
        return Samples(tuple(_turn(run, request.turn_ms)))
    return Outputs([np.array(array) for array in run()])


def _turn(run: Run, turn_ms: int) -> list[int]:
    """Warm-up calls, then samples until the time is over."""
    for _ in range(WARMUP):
        run()
    taken: list[int] = []
    now = time.perf_counter_ns()
    end = now + turn_ms * 1_000_000
    while len(taken) < MIN_SAMPLES or now < end:
        start = time.perf_counter_ns()
        run()
        now = time.perf_counter_ns()
        taken.append(now - start)
    return taken


def _versions(engine: Engine) -> str:
    from ... import __version__

    return ", ".join(f"{name} {version(name)}" for name in engine.distributions) or f"fusekit {__version__}"


def _said(error: Exception) -> str:
    """The first line of an exception, cut to what fits a table."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}"[:200] if lines else type(error).__name__


if __name__ == "__main__":
    main()
