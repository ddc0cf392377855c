"""Measures the table of docs/accuracy.md: the largest error of every function on every target, in ULP, as Markdown.

``python -m tests.compiler.elementwise.measure_accuracy --log2-points 26`` takes 2**26 arguments, spread evenly over the bit patterns of
float32 and random within each step; 32 takes all there are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fusekit.compiler.graph import Type

from .accuracy import POWER, UNARY, expected, near_quadrants, powers, ulp_error
from .definition import Array
from .functions_graph import TARGETS, Call, bundle_of, graph_of, run

CHUNK = 1 << 20


def arguments(log2_points: int) -> Iterator[tuple[Array, Array, Array]]:
    """Chunks of arguments of the unary functions, and of bases and exponents."""
    random = np.random.default_rng(0)
    step = 1 << (32 - log2_points)
    yield np.resize(near_quadrants(CHUNK), CHUNK), *powers(CHUNK, seed=0)
    for number in range(max(1, (1 << log2_points) // CHUNK)):
        base = (np.arange(CHUNK, dtype=np.uint64) + number * CHUNK) * step
        bits = base + random.integers(0, step, CHUNK, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32), *powers(CHUNK, seed=number + 1)


FUNCTIONS = UNARY | {"Pow": POWER}


def largest_errors(
    target: str, names: Sequence[str], log2_points: int, folder: Path
) -> dict[str, tuple[float, str]]:
    """Each of the functions `names` to its largest error on `target` and the arguments that gave it."""
    worst: dict[str, tuple[float, str]] = dict.fromkeys(names, (0.0, ""))
    bundle = None
    for x, base, exponent in arguments(log2_points):
        inputs = {name: (base, exponent) if name == "Pow" else (x,) for name in names}
        functions = {name: FUNCTIONS[name] for name in names}
        calls = [Call(f.op, inputs[n], Type("float32", (CHUNK,)), f.attrs) for n, f in functions.items()]
        graph, feeds = graph_of(calls)
        bundle = bundle or bundle_of(graph, target)
        for (name, function), got in zip(functions.items(), run(bundle, feeds, folder), strict=True):
            error = ulp_error(got, expected(function, *inputs[name]))
            at = int(np.argmax(error))
            worst[name] = max(worst[name], (float(error[at]), str([float(a[at]) for a in inputs[name]])))
    return worst


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log2-points", type=int, default=24)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--functions", nargs="+", default=FUNCTIONS, choices=FUNCTIONS, metavar="FUNCTION")
    parser.add_argument("--arguments", action="store_true", help="print where the largest errors are, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        columns = [
            largest_errors(t, options.functions, options.log2_points, Path(folder)) for t in options.targets
        ]
    print(f"| function | {' | '.join(options.targets)} |")
    print(f"|---{'|---' * len(columns)}|")
    for name in columns[0]:
        cells = [
            f"{e:.2f}" + (f" at {at}" if options.arguments else "") for e, at in (c[name] for c in columns)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
