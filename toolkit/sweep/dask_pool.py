"""The pool of a Dask cluster: recipes are compiled by any worker, devices measured by those that declare them.

A worker that alone reaches a device declares it, `dask worker ... --resources device:rpi5=1`: then the device's jobs go to
it, one at a time, whoever asks. A device that no worker declares may be measured by all of them.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import dask
import distributed

from ...devices.device import DeviceError
from ...errors import UserError
from ..zoo_model import PREFIX, model_path
from .build import Build, obtain
from .job import Job, Recipe
from .plan import model_files
from .pool import Measured, Opener, PoolLost, measure_job

CONNECT_TIMEOUT_S = 10.0
"""Until a scheduler that does not answer counts as absent."""
MANY = 1_000_000
"""Devices at once, where the cluster's own workers are the only limit."""

T = TypeVar("T")


class DaskPool:
    """Dask runs what a dead worker had on another one; a build stays in the cluster's memory until it is released."""

    def __init__(self, address: str, open_device: Opener, devices_at_once: int = MANY) -> None:
        """Connects to a scheduler; raises UserError where none answers or the package is not there."""
        self.at_once = devices_at_once
        self._address = address
        self._open_device = open_device
        self._client: Any = _connected(address)
        self._builds: dict[str, object] = {}
        self._session = secrets.token_hex(4)
        self._attempts = itertools.count()

    def build(self, recipe: Recipe) -> Future[tuple[str, ...]]:
        with self._reaching():
            return self._submit_build(recipe)

    def measure(self, job: Job) -> Future[Measured]:
        with self._reaching():
            return self._submit_job(job)

    def release(self, recipe: Recipe) -> None:
        self._builds.pop(recipe.key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._builds.clear()
        self._client.close()

    def _submit_build(self, recipe: Recipe) -> Future[tuple[str, ...]]:
        # A model goes along with its task, so that it is there again for the next worker when one dies.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "4 GiB"}):
            build = self._client.submit(obtain, recipe, _files(recipe), key=self._key("build", recipe.key))
        self._builds[recipe.key] = build
        hashes = self._client.submit(_hashes, build, key=self._key("hashes", recipe.key))
        return self._answer(hashes, f"compiling {recipe.name} for {recipe.target}")

    def _submit_job(self, job: Job) -> Future[Measured]:
        wanted = f"device:{job.device.name}"
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        declared = any(wanted in worker["resources"] for worker in workers)
        measured = self._client.submit(
            measure_job,
            job,
            self._builds[job.recipe.key],
            self._open_device,
            key=self._key("measure", job.key),
            resources={wanted: 1} if declared else None,
        )
        return self._answer(measured, f"measuring {job.label} on {job.device.name}")

    def _key(self, what: str, key: str) -> str:
        # Dask answers a key that it knows from memory; another attempt is another task.
        return f"fusekit-{what}-{key}-{self._session}-{next(self._attempts)}"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """What is asked of a scheduler that has gone meanwhile."""
        try:
            yield
        except (OSError, RuntimeError, distributed.CancelledError):
            raise self._lost() from None

    def _lost(self) -> PoolLost:
        return PoolLost(
            f"the Dask scheduler at {self._address} is gone: when there is one again, go on with --resume"
        )

    def _answer(self, asked: Any, doing: str) -> Future[T]:
        """The answer of the cluster as a future of the standard library."""
        answer: Future[T] = Future()

        def settle(done: Any) -> None:
            try:
                answer.set_result(done.result())
            except distributed.CancelledError:
                answer.set_exception(self._lost())
            except distributed.KilledWorker:
                answer.set_exception(DeviceError("lost", f"one worker after the other died {doing}"))
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                answer.set_exception(error)

        asked.add_done_callback(settle)
        return answer


def _hashes(build: Build) -> tuple[str, ...]:
    return build.hashes


def _files(recipe: Recipe) -> dict[str, bytes] | None:
    """The files of a model by name, the model first; a worker has the zoo's itself."""
    if recipe.model.startswith(PREFIX):
        return None
    with model_path(recipe.model) as path:
        return {str(file.relative_to(path.parent)): file.read_bytes() for file in model_files(path)}


def _connected(address: str) -> Any:
    make: Any = distributed.Client  # it has no annotations
    # What goes wrong there is told in a sentence.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return make(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address} ({error}): start one with `dask scheduler`, and workers with "
            f"`dask worker {address}`"
        ) from None
