"""A sweep over devices that answer at once, in a process of its own: `python -m tests.toolkit.sweep_fleet …`.

The compiler, the journal, the pools and the records are the real ones.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusekit.devices import Device, DeviceEntry, load_inventory
from fusekit.toolkit.measure import stage
from fusekit.toolkit.sweep.journal import FILE, Journal, read_journal
from fusekit.toolkit.sweep.local_pool import LocalPool
from fusekit.toolkit.sweep.plan import make_plan
from fusekit.toolkit.sweep.pool import Pool
from fusekit.toolkit.sweep.progress import progress_of
from fusekit.toolkit.sweep.run_sweep import Patience, run_sweep
from fusekit.toolkit.sweep.sweep_file import load_sweep_file

from .fake_bundle import WEIGHTS, N
from .fake_device import FakeDevice, lines_of

SESSION_S = 0.03


class QuickDevice(FakeDevice):
    """Computes the model of fake_model.c from the input that it was sent."""

    def __init__(self, entry: DeviceEntry) -> None:
        super().__init__(self._answer_later, {})
        self.name = entry.name
        self.target = entry.target

    def _answer_later(self, argv: Sequence[str]) -> Sequence[dict[str, object]]:
        time.sleep(SESSION_S * random.uniform(0.5, 1.5))
        return [dict(line) for line in lines_of(argv, argv[argv.index("--variants") + 1].split(","))]

    def get(self, path: str, limit_bytes: int) -> bytes:
        x = np.frombuffer(self.files["input.0.bin"], np.float32, N)
        return (2 * x[::-1] + WEIGHTS).astype(np.float32).tobytes()


def open_quick(entry: DeviceEntry) -> Device:
    """What takes the place of `open_device`; nothing is linked for it."""
    setattr(stage, "link_runner", lambda arch, objects: b"the runner")  # noqa: B010 - it is imported there
    return QuickDevice(entry)


def sweep(file: Path, inventory: Path, folder: Path, pool: Callable[[], Pool]) -> None:
    """What `fusekit sweep --resume` does."""
    plan = make_plan(load_sweep_file(file), load_inventory(inventory).select("all"))
    with Journal(folder) as journal, pool() as workers:
        jobs = progress_of(read_journal(folder)).jobs
        finished = {job.job.key for job in jobs if job.state == "finished"}
        run_sweep(file.stem, plan, finished, folder, journal, workers, threading.Event(), Patience())


def lines_in(folder: Path) -> int:
    """Lines of the journal so far."""
    path = folder / FILE
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def here() -> Pool:
    return LocalPool(open_quick, 2)


def main_killed(file: Path, inventory: Path, folder: Path, kills: int) -> None:
    """Runs a sweep that is killed at random moments, then to its end; prints how many kills met a running one."""
    moments = random.Random(5)
    met = 0
    for _ in range(kills):
        child = os.fork()
        if not child:
            sweep(file, inventory, folder, here)
            os._exit(0)
        last = lines_in(folder) + moments.randrange(1, 9)
        deadline = time.monotonic() + 60
        while lines_in(folder) < last and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, SESSION_S))
        os.kill(child, signal.SIGKILL)
        met += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    sweep(file, inventory, folder, here)
    print(met)


def main_dask(file: Path, inventory: Path, folder: Path, workers: int) -> None:
    """Runs a sweep on a cluster, one worker of which is killed in the middle; prints that worker's name."""
    distributed: Any = importlib.import_module("distributed")
    from fusekit.toolkit.sweep.dask_pool import DaskPool

    cluster = distributed.LocalCluster(workers, threads_per_worker=2, dashboard_address=None)
    address = cluster.scheduler_address

    def kill_one() -> None:
        while sum(entry.entry == "finished" for entry in read_journal(folder)) < 3:
            time.sleep(0.005)
        with distributed.Client(address, set_as_default=False) as client:
            name, pid = min(client.run(os.getpid).items())
        os.kill(pid, signal.SIGKILL)
        print(name)

    killer = threading.Timer(0.1, kill_one)
    with Journal(folder):
        pass  # there is one to read
    killer.start()
    sweep(file, inventory, folder, lambda: DaskPool(address, open_quick))
    killer.join()
    cluster.close()


if __name__ == "__main__":
    mode, file, inventory, folder, count = sys.argv[1:]
    main = {"killed": main_killed, "dask": main_dask}[mode]
    main(Path(file), Path(inventory), Path(folder), int(count))
