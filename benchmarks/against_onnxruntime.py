"""fusekit's levels against ONNX Runtime on one model: python -m benchmarks.against_onnxruntime MODEL [--threads 1] [--json FILE]

All run in this process and take turns: forwards in even rounds, backwards in odd ones, so that a drift of the clock falls on all alike. Each
turn has a warm-up call, then calls until its time is over. ONNX Runtime runs twice, with its graph optimisation off and with all of it, at the
same number of threads. A ratio is a ratio of medians with an interval from a bootstrap over rounds; where the interval holds 1, nothing is
claimed. Every output of fusekit is checked first.

MODEL is a file or ``zoo:NAME``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fusekit
from fusekit.compiler.target import find_target
from fusekit.errors import UserError
from fusekit.toolkit.measure.check import check_output
from fusekit.toolkit.measure.statistics import Estimate, Speedup, median_ns, speedup
from fusekit.toolkit.reference import Arrays, reference_outputs, seeded_inputs
from fusekit.toolkit.zoo_model import model_path

LEVELS = ("none", "basic", "full")
PLAIN, OPTIMISED = "onnxruntime off", "onnxruntime all"
PAIRS = (
    (PLAIN, "none"),
    (OPTIMISED, "basic"),
    (OPTIMISED, "full"),
    ("none", "basic"),
    ("none", "full"),
    ("basic", "full"),
)
"""(baseline, variant): which ratios are shown."""
MIN_SAMPLES = 3

Run = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Raw samples in ns by contestant and round, and what they say."""

    model: str
    target: str
    threads: int
    onnxruntime: str
    samples_ns: Mapping[str, Sequence[Sequence[int]]]

    @property
    def medians(self) -> Mapping[str, Estimate]:
        """Median ns with its interval, by contestant."""
        return {name: median_ns(rounds) for name, rounds in self.samples_ns.items()}

    @property
    def ratios(self) -> Mapping[tuple[str, str], Speedup]:
        """Time of the first over time of the second: above 1, the second is faster."""
        return {(a, b): speedup(self.samples_ns[a], self.samples_ns[b]) for a, b in PAIRS}


def contestants(path: Path, threads: int) -> dict[str, Run]:
    """What takes turns, by name; UserError where an answer of fusekit's is wrong."""
    runs: dict[str, Run] = {}
    feeds: Arrays | None = None
    want: Arrays = {}
    for level in LEVELS:
        bundle = fusekit.compile(path, fusion=level, threads=threads)
        if feeds is None:
            feeds = seeded_inputs(bundle.manifest)
            want = reference_outputs(path, feeds)
        model = fusekit.load(bundle)
        got = model.run(feeds)
        for output in bundle.manifest.outputs:
            check = check_output(
                output.name, got[output.name], want[output.name], rtol=output.rtol, atol=output.atol
            )
            if not check.ok:
                raise UserError(
                    f"{path.name} at level {level} gives a wrong {check.name}, so nothing is timed: {check.detail}"
                )
        runs[level] = lambda model=model, feeds=feeds: model.run(feeds)  # type: ignore[misc]
    assert feeds is not None
    runs[PLAIN] = onnxruntime_run(path, feeds, threads, optimised=False)
    runs[OPTIMISED] = onnxruntime_run(path, feeds, threads, optimised=True)
    return runs


def onnxruntime_run(path: Path, feeds: Arrays, threads: int, *, optimised: bool) -> Run:
    """A call of ONNX Runtime with `threads` threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    plain = dict(feeds)
    return lambda: session.run(None, plain)


def take_turns(runs: Mapping[str, Run], rounds: int, turn_ms: int) -> dict[str, list[list[int]]]:
    """Samples in ns, by name and round."""
    samples: dict[str, list[list[int]]] = {name: [] for name in runs}
    forwards = list(runs)
    for number in range(rounds):
        for name in forwards if number % 2 == 0 else forwards[::-1]:
            samples[name].append(turn(runs[name], turn_ms))
    return samples


def turn(run: Run, turn_ms: int) -> list[int]:
    """A warm-up call, then samples until the time is over."""
    run()
    taken: list[int] = []
    now = time.perf_counter_ns()
    end = now + turn_ms * 1_000_000
    while len(taken) < MIN_SAMPLES or now < end:
        start = now = time.perf_counter_ns()
        run()
        now = time.perf_counter_ns()
        taken.append(now - start)
    return taken


def table(result: Comparison) -> str:
    """What a person reads."""
    lines = [f"{result.model}, {result.target}, {result.threads} thread(s), {result.onnxruntime}"]
    for name, median in result.medians.items():
        lines.append(
            f"  {name:16} {median.value / 1e6:9.3f} ms  [{median.low / 1e6:.3f}, {median.high / 1e6:.3f}]"
        )
    for (baseline, variant), ratio in result.ratios.items():
        claim = "" if ratio.claim else "  no difference shown"
        lines.append(
            f"  {variant} against {baseline}: {ratio.value:.3f}x  [{ratio.low:.3f}, {ratio.high:.3f}]{claim}"
        )
    return "\n".join(lines)


def as_json(result: Comparison) -> str:
    """Everything, raw samples included."""
    ratios = {f"{b} against {a}": [r.value, r.low, r.high] for (a, b), r in result.ratios.items()}
    medians = {name: [m.value, m.low, m.high] for name, m in result.medians.items()}
    whole = {**vars(result), "median_ns": medians, "ratio": ratios}
    return json.dumps(whole, indent=1) + "\n"


def main() -> None:
    """Print the table; with --json also write the raw samples."""
    import onnxruntime as ort

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--turn-ms", type=int, default=150)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        with model_path(options.model) as path:
            samples = take_turns(contestants(path, options.threads), options.rounds, options.turn_ms)
    except UserError as error:
        sys.exit(f"against_onnxruntime: {error}")
    runtime = f"onnxruntime {ort.__version__}"
    result = Comparison(options.model, find_target("host").name, options.threads, runtime, samples)
    print(table(result))
    if options.json:
        options.json.write_text(as_json(result))


if __name__ == "__main__":
    main()
