"""One engine from a model's path to its first output, in a process of its own.

Through the pipe whose number is the process's argument it is sent what to run, says when its imports are done, waits, and says how long the first output took and why there is none.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from fusekit.toolkit.compare.engine import Engine, Job, NotAvailable
from fusekit.toolkit.measure.denormals import flush_denormals

RUNS = 5
"""Inferences after the first, so that memory which an engine takes later is seen."""


@dataclass(frozen=True)
class Start:
    """What to run and where."""

    engine: Engine
    job: Job
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Started:
    """Wall time to the first output, None and a reason where there was none, and CPU time with that of converters."""

    ns: int | None
    reason: str = ""
    cpu_ns: int = 0


def cpu_ns() -> int:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(1e9 * sum(u.ru_utime + u.ru_stime for u in used))


def main() -> None:
    """Serve one start."""
    pipe: Connection = Connection(int(sys.argv[1]))
    start: Start = pipe.recv()
    os.sched_setaffinity(0, start.cpus)
    flush_denormals()
    try:
        for module in start.engine.modules:
            importlib.import_module(module)
    except ImportError as error:
        pipe.send(Started(None, f"not installed: {error}"))
        return
    pipe.send("imported")
    pipe.recv()
    begin, cpu_begin = time.perf_counter_ns(), cpu_ns()
    try:
        run = start.engine.load(start.job)
        run()
    except NotAvailable as error:
        pipe.send(Started(None, str(error)))
        return
    taken, cpu = time.perf_counter_ns() - begin, cpu_ns() - cpu_begin
    for _ in range(RUNS):
        run()
    pipe.send(Started(taken, cpu_ns=cpu))
