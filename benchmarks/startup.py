"""How soon a model runs and how much memory it takes: python -m benchmarks.startup MODEL [--engines …] [--tflite FILE] [--runs 5]

- compile: with an empty cache of kernels and with a full one, wall and CPU time;
- first output: from the model's path in a fresh process, imports done; engines in turn, in the order reversed every other time. fusekit finds
  the bundle that it compiled before; what other engines convert, ncnn and MNN, they convert every time;
- memory: the most that a process takes (PSS) over what it took when its imports were done, and all that the runner takes as a process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import TypeVar

import fusekit
from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model
from fusekit.errors import UserError
from fusekit.toolkit.byte_size import byte_size
from fusekit.toolkit.compare.engine import Engine, Job
from fusekit.toolkit.compare.lineup import PEERS, lineup
from fusekit.toolkit.compare.session import pinned
from fusekit.toolkit.duration import duration
from fusekit.toolkit.link import link_runner
from fusekit.toolkit.link.toolchain import host_arch
from fusekit.toolkit.reference import seeded_inputs
from fusekit.toolkit.zoo_model import model_path

from .startup_worker import Start, Started, cpu_ns

POLL_S = 0.002
WORKER = "from benchmarks.startup_worker import main; main()"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Of one compilation, child processes included."""

    wall_ns: int
    cpu_ns: int


def compile_cost(model: Path, options: Options, cache: Path) -> tuple[Cost, Bundle]:
    """Compile with the kernels that `cache` holds."""
    before = os.environ.get("FUSEKIT_CACHE")
    os.environ["FUSEKIT_CACHE"] = str(cache)
    try:
        wall, cpu = time.perf_counter_ns(), cpu_ns()
        bundle = compile_model(model, options)
        return Cost(time.perf_counter_ns() - wall, cpu_ns() - cpu), bundle
    finally:
        if before is None:
            del os.environ["FUSEKIT_CACHE"]
        else:
            os.environ["FUSEKIT_CACHE"] = before


def pss_bytes(pid: int) -> int:
    """The memory of a process, shared pages by share; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)


def first_output(start: Start, poll: bool) -> tuple[Started, int]:
    """A fresh process' first output; with `poll` also the bytes that it took at most, which would disturb the clock."""
    pipe, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": str(start.job.threads), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
    try:
        pipe.send(start)
        said = pipe.recv()
        if isinstance(said, Started):
            return said, 0
        at_first = most = pss_bytes(process.pid) if poll else 0
        pipe.send("go")
        while poll and not pipe.poll(POLL_S):
            most = max(most, pss_bytes(process.pid))
        found: Started = pipe.recv()
        return found, max(most, pss_bytes(process.pid)) - at_first if poll else 0
    except (EOFError, ConnectionError):
        return Started(None, f"its process ended with exit code {process.wait()}"), 0
    finally:
        process.kill()
        process.wait()
        pipe.close()


def runner_bytes(bundle: Bundle, cpus: Sequence[int]) -> int:
    """The most that the runner takes, all of the process."""
    with tempfile.TemporaryDirectory(prefix="fusekit-startup-") as name:
        folder = Path(name)
        (folder / "runner").write_bytes(link_runner(host_arch(), [bundle.files["model.o"]]))
        (folder / "runner").chmod(0o755)
        (folder / "weights").write_bytes(bundle.files["weights.bin"])
        command = [str(folder / "runner"), "--nonce", "0", "--out", name, "--cpus", ",".join(map(str, cpus))]
        command += [
            "--weights",
            f"{bundle.manifest.symbol}={folder / 'weights'}",
            "--rounds",
            "3",
            "--round-ms",
            "50",
        ]
        for number, array in enumerate(seeded_inputs(bundle.manifest).values()):
            (folder / f"input{number}").write_bytes(array.tobytes())
            command += ["--input", str(folder / f"input{number}")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        most = 0
        while process.poll() is None:
            most = max(most, pss_bytes(process.pid))
            time.sleep(POLL_S)
        if process.returncode:
            raise RuntimeError(f"the runner exited with {process.returncode}")
        return most


def in_turn(names: Sequence[str], runs: int, measure: Callable[[str], Result]) -> dict[str, list[Result]]:
    """`runs` results for each name, in turn."""
    found: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(runs):
        for name in names if number % 2 == 0 else names[::-1]:
            found[name].append(measure(name))
    return found


def report(model: Path, engines: Mapping[str, Engine], tflite: Path | None, threads: int, runs: int) -> None:
    """Measure and print."""
    options = Options(threads=threads)
    with tempfile.TemporaryDirectory(prefix="fusekit-startup-") as name:
        cold, bundle = compile_cost(model, options, Path(name))
        warm, _ = compile_cost(model, options, Path(name))
    print(f"compile  cold {_cost(cold)}, warm {_cost(warm)}, code {byte_size(bundle.manifest.code_bytes)}")
    fusekit.compile(model, threads=threads)  # so that it is in the cache
    cpus = pinned((), threads)
    feeds, outputs = seeded_inputs(bundle.manifest), tuple(t.name for t in bundle.manifest.outputs)
    with tempfile.TemporaryDirectory(prefix="fusekit-startup-") as name:

        def start(engine: str) -> Start:
            folder = Path(tempfile.mkdtemp(dir=name))
            return Start(engines[engine], Job(model, tflite, feeds, outputs, threads, folder), cpus)

        timed = in_turn(list(engines), runs, lambda engine: first_output(start(engine), poll=False)[0])
        taken = in_turn(list(engines), 2, lambda engine: first_output(start(engine), poll=True)[1])
    runner = max(runner_bytes(bundle, cpus) for _ in range(2))
    print(
        f"{'engine':18} {'first output':>12} {'fastest':>10} {'slowest':>10} {'CPU time':>10} {'memory':>12}"
    )
    for engine, found in timed.items():
        times = [started.ns for started in found if started.ns is not None]
        if len(times) < runs:
            print(f"{engine:18} {next(started.reason for started in found if started.ns is None)[:100]}")
            continue
        cpu = statistics.median(started.cpu_ns for started in found)
        clock = [f"{duration(ns):>10}" for ns in (statistics.median(times), min(times), max(times), cpu)]
        print(f"{engine:18}   {' '.join(clock)} {byte_size(max(taken[engine])):>12}")
    print(f"{'the runner, all':18} {'':45} {byte_size(runner):>12}")


def _cost(cost: Cost) -> str:
    return f"{duration(cost.wall_ns)} ({duration(cost.cpu_ns)} of CPU)"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("model", metavar="MODEL", help="an ONNX file or zoo:NAME")
    parser.add_argument("--engines", default=",".join(PEERS), metavar="NAME,…")
    parser.add_argument("--tflite", type=Path, metavar="FILE", help="the .tflite original, for litert")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="of each engine")
    given = parser.parse_args()
    try:
        with model_path(given.model) as path:
            print(f"{given.model} on {platform.machine()}, {given.threads} threads")
            report(path, lineup("full", given.engines.split(",")), given.tflite, given.threads, given.runs)
    except UserError as error:
        sys.exit(f"startup: {error}")


if __name__ == "__main__":
    main()
