"""The pool of this machine: a process for each compilation, a thread for each device that is measured."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self
from weakref import WeakSet, WeakValueDictionary

from ...devices import Device, DeviceEntry
from .build import Build, obtain
from .daemon_threads import DaemonThreads
from .job import Job, Recipe
from .pool import Measured, Opener, measure_job

DEVICES_AT_ONCE = 16


class LocalPool:
    """Compiles on half of the CPUs, since a compilation has workers of its own; a device costs this machine little."""

    def __init__(self, open_device: Opener, devices_at_once: int = DEVICES_AT_ONCE) -> None:
        self.at_once = devices_at_once
        self._open_device = open_device
        self._compilers = DaemonThreads(max(1, (os.cpu_count() or 1) // 2))
        self._testers = DaemonThreads(devices_at_once)
        # Devices that measure one model at the same time share what is sent to them.
        self._builds: WeakValueDictionary[str, Build] = WeakValueDictionary()
        self._devices: WeakSet[Device] = WeakSet()
        self._lock = threading.Lock()

    def build(self, recipe: Recipe) -> Future[tuple[str, ...]]:
        return self._compilers.submit(lambda: obtain(recipe).hashes)

    def measure(self, job: Job) -> Future[Measured]:
        return self._testers.submit(lambda: measure_job(job, self._build(job.recipe), self._opened))

    def release(self, recipe: Recipe) -> None:
        """Nothing is held for a recipe: its build is in the cache."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for device in self._devices:
                # What uses the device in another thread ends with an error of its own.
                with suppress(Exception):
                    device.close()

    def _build(self, recipe: Recipe) -> Build:
        with self._lock:
            found = self._builds.get(recipe.key)
            if found is None:
                found = self._builds[recipe.key] = obtain(recipe)
            return found

    def _opened(self, entry: DeviceEntry) -> Device:
        device = self._open_device(entry)
        with self._lock:
            self._devices.add(device)
        return device
