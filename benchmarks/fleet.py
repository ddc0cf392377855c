"""What a fleet costs its host: python -m benchmarks.fleet [--count 8,32,128] [--models zoo:ds_cnn,zoo:blazeface_like] [--jobs 16]

For each count a lab of that many boards, a third of each CPU, goes up; `fusekit sweep` deploys the models at three fusion levels to all of
them and checks every output; the lab goes down. The boards are emulated on the same machine and take most of its time, so CPU seconds and
memory are those of the sweep's own processes. What is compiled and linked is in the cache before anything is counted. Needs what
`fusekit lab up` needs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fusekit.toolkit.lab.lab import lab_up
from fusekit.toolkit.measure.record import read_records

CPUS = ("cortex-a76", "cortex-a72", "cortex-a53")
LEVELS = ("none", "basic", "full")
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What one fleet took; memory is the largest sum over the sweep's processes, by share and by residence."""

    n_boards: int
    n_records: int
    n_verified: int
    up_s: float
    sweep_s: float
    cpu_s: float
    pss_bytes: int
    rss_bytes: int


class Memory:
    """Watches the memory of a process and of what it starts, until it ends."""

    def __init__(self, pid: int) -> None:
        self.pss_bytes = self.rss_bytes = 0
        self._root = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            seen = [_memory(pid) for pid in _tree(self._root)]
            self.pss_bytes = max(self.pss_bytes, sum(pss for pss, _ in seen))
            self.rss_bytes = max(self.rss_bytes, sum(rss for _, rss in seen))


def cost_of(count: int, models: Sequence[str], jobs: int, folder: Path) -> Cost:
    """Measures one fleet in a new folder."""
    folder.mkdir()
    start = time.monotonic()
    lab = lab_up(folder / "lab", CPUS, count)
    up_s = time.monotonic() - start
    try:
        sweep = folder / "sweep.yaml"
        sweep.write_text(json.dumps({"models": list(models), "devices": ["tag:lab"], "fusion": list(LEVELS)}))
        before = _children_cpu_s()
        start = time.monotonic()
        with (folder / "sweep.log").open("wb") as log:
            process = subprocess.Popen(
                _fusekit(
                    "sweep", sweep, "--inventory", lab.inventory, "--jobs", jobs, "-o", folder / "swept"
                ),
                stdout=log,
                stderr=log,
            )
        memory = Memory(process.pid)
        process.wait()
        memory.stop()
        if process.returncode != 0:
            print((folder / "sweep.log").read_text())
        sweep_s = time.monotonic() - start
        cpu_s = _children_cpu_s() - before
    finally:
        lab.down()
    records = read_records([folder / "swept"])
    return Cost(
        n_boards=count,
        n_records=len(records),
        n_verified=sum(record.verified for record in records),
        up_s=up_s,
        sweep_s=sweep_s,
        cpu_s=cpu_s,
        pss_bytes=memory.pss_bytes,
        rss_bytes=memory.rss_bytes,
    )


def print_costs(costs: Sequence[Cost]) -> None:
    """A row a fleet, then how the largest compares with the smallest."""
    print("boards  verified      up s  sweep s  CPU s  CPU s a board  PSS MiB  RSS MiB")
    for cost in costs:
        verified = f"{cost.n_verified}/{cost.n_records}"
        print(
            f"{cost.n_boards:6}  {verified:>9}  {cost.up_s:7.1f}  {cost.sweep_s:7.1f}  {cost.cpu_s:5.1f}  "
            f"{cost.cpu_s / cost.n_boards:13.2f}  {cost.pss_bytes / MEBIBYTE:7.0f}  {cost.rss_bytes / MEBIBYTE:7.0f}"
        )
    first, last = costs[0], costs[-1]
    if last.n_boards > first.n_boards:
        print(
            f"{last.n_boards / first.n_boards:.1f} times as many boards take {last.sweep_s / first.sweep_s:.1f} times the "
            f"time, {last.cpu_s / first.cpu_s:.1f} times the CPU and {last.pss_bytes / first.pss_bytes:.1f} times the memory"
        )


def _tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            for child in children.read_text().split():
                yield from _tree(int(child))


def _memory(pid: int) -> tuple[int, int]:
    """A process's proportional share of the pages it uses, and all of them, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0, 0
    kibibytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return kibibytes["Pss"] * 1024, kibibytes["Rss"] * 1024


def _fusekit(*arguments: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from fusekit.toolkit.cli import main; main()",
        *(str(argument) for argument in arguments),
    ]


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("--count", default="8,32,128", help="boards, by comma")
    parser.add_argument("--models", default="zoo:ds_cnn,zoo:blazeface_like", help="models, by comma")
    parser.add_argument("--jobs", type=int, default=16, help="boards worked on at once")
    given = parser.parse_args()
    models = given.models.split(",")
    with tempfile.TemporaryDirectory(prefix="fusekit-fleet-") as folder:
        cost_of(len(CPUS), models, given.jobs, Path(folder, "warm-up"))
        costs = [
            cost_of(int(count), models, given.jobs, Path(folder, count)) for count in given.count.split(",")
        ]
    print(f"{os.cpu_count()} CPUs, {given.jobs} boards at once, models {given.models}")
    print_costs(costs)


if __name__ == "__main__":
    main()
