"""Engines for the model of fake_model.c that do in a worker process what real ones do when it is least wanted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusekit.toolkit.compare.engine import Job, NotAvailable, Run

from .fake_bundle import N


def answer(job: Job) -> npt.NDArray[np.floating]:
    """``y = reverse(2 * x) + w``."""
    backward = job.feeds["x"].astype(np.float32)[:, ::-1]
    return backward + backward + np.arange(N, dtype=np.float32)


@dataclass(frozen=True)
class Right:
    """Right after `delay_s`; it prints, as engines do."""

    delay_s: float = 0.0
    modules = ("numpy",)
    distributions = ("numpy",)

    def load(self, job: Job) -> Run:
        def run() -> list[npt.NDArray[np.generic]]:
            print("running")
            time.sleep(self.delay_s)
            return [answer(job)]

        return run


@dataclass(frozen=True)
class WrongFrom(Right):
    """Wrong from that call on."""

    call: int = 0

    def load(self, job: Job) -> Run:
        calls = iter(range(1 << 30))
        return lambda: [answer(job) + np.float32(next(calls) >= self.call)]


@dataclass(frozen=True)
class DyingAt(Right):
    """Its process dies of a signal in that call."""

    call: int = 0

    def load(self, job: Job) -> Run:
        calls = iter(range(1 << 30))

        def run() -> list[npt.NDArray[np.generic]]:
            if next(calls) == self.call:
                os.write(2, b"engine: out of order\n")
                os.kill(os.getpid(), signal.SIGSEGV)
            return [answer(job)]

        return run


@dataclass(frozen=True)
class Absent(Right):
    """A package that is not installed."""

    modules = ("no_such_engine.runtime",)


@dataclass(frozen=True)
class Refusing(Right):
    """It cannot run the model, or its converter says why."""

    by_converter: bool = False

    def load(self, job: Job) -> Run:
        if self.by_converter:
            raise NotAvailable("its converter failed with exit code 3")
        raise RuntimeError("Mul is not supported\nat node 0")


@dataclass(frozen=True)
class Telling(Right):
    """It refuses to run on any CPU but 0, with other threads, and where denormals count."""

    def load(self, job: Job) -> Run:
        tiny = np.float32(1e-40) * np.ones(1, np.float32)
        told = (os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"], bool((tiny != 0).any()))
        if told != ({0}, "1", False):
            raise RuntimeError(str(told))
        return super().load(job)
