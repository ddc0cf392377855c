"""What does the work of a sweep: compiles recipes and measures jobs, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ...devices import Device, DeviceEntry
from ...devices.device import DeviceError
from ...errors import UserError
from ..measure.caveat import caveats
from ..measure.record import Failure, RunRecord
from ..measure.session import measure
from .build import Build
from .job import Job, Recipe
from .result import Result, results_of

Opener = Callable[[DeviceEntry], Device]


@dataclass(frozen=True)
class Measured:
    """What came of one job: records, their figures if all are right, what to know about these, or why there are none."""

    records: tuple[RunRecord, ...]
    results: tuple[Result, ...]
    caveats: tuple[str, ...]
    failure: Failure | None


class PoolLost(UserError):
    """The pool is gone and whatever ran in it: the sweep cannot go on now."""


class Pool(Protocol):
    """Futures end with what was asked for or with the error that a user is told; each ends within bounded time."""

    at_once: int
    """Jobs that are worth handing over together."""

    def build(self, recipe: Recipe) -> Future[tuple[str, ...]]:
        """Compile a recipe; the bundles' hashes. To be asked once a recipe."""
        ...

    def measure(self, job: Job) -> Future[Measured]:
        """Measure a job whose recipe is built."""
        ...

    def release(self, recipe: Recipe) -> None:
        """No job of the recipe is left."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; what still runs is abandoned."""
        ...


def measure_job(job: Job, build: Build, open_device: Opener) -> Measured:
    """One session of a device, from the connection to the figures."""
    try:
        with open_device(job.device) as device:
            records = tuple(measure(device, build.bundles, build.feeds, build.want, job.settings))
    except DeviceError as error:
        return Measured((), (), (), Failure(error.kind, str(error)))
    failure = next((record.error for record in records if record.error is not None), None)
    return Measured(records, results_of(records) if failure is None else (), tuple(caveats(records)), failure)
