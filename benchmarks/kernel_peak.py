"""How near single convolutions come to the peak of this core: python -m benchmarks.kernel_peak [--target x86-64-v3]

The peak is measured, not looked up: the first step of the probe that rooflines use (toolkit/roofline/probe.py), independent multiply-adds
on registers, or multiplies and adds where the target has no fused one. Peak and convolutions take turns within each round, so that both see the same clock; the share is
the ratio of medians with an interval from a bootstrap over rounds. Each convolution's answer is checked before it is timed.

Kernels are timed by themselves, inside a net whose other layers give them the layouts that they have in real ones (``inner``), and as
models of one layer with ONNX's layout on both sides (``alone``), by which a call of `model.run` is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fusekit
from fusekit.compiler.target import Target, find_target
from fusekit.errors import UserError
from fusekit.toolkit.measure.check import check_output
from fusekit.toolkit.measure.statistics import Rounds, median_ns, speedup
from fusekit.toolkit.reference import reference_outputs, seeded_inputs
from fusekit.toolkit.roofline.probe import SIZES, probe_bundle, probes
from fusekit.toolkit.zoo.net import Net

ROUND_NS = 60_000_000
MIN_SAMPLES = 5


@dataclass(frozen=True)
class Layer:
    """A convolution of `channels` to as many over an image of `size` x `size`."""

    channels: int
    kernel: int
    size: int
    alone: bool
    group: int = 1

    @property
    def name(self) -> str:
        kind = "depthwise" if self.group > 1 else "conv"
        where = "alone" if self.alone else "inner"
        return f"{kind} {self.kernel}x{self.kernel} {self.size}x{self.size} {self.channels}->{self.channels} {where}"

    @property
    def flops(self) -> int:
        """Multiplies and adds of the convolution."""
        return 2 * self.size**2 * self.channels * (self.channels // self.group) * self.kernel**2

    def save(self, path: Path) -> Path:
        """The net as an ONNX file; the layer's node is called ``conv``."""
        net, c = Net("layer", seed=1), self.channels
        outer, shape = c if self.alone else 4, (1, c if self.alone else 4, self.size, self.size)
        x = "x"
        if not self.alone:
            x = net.add("Relu", [net.conv(x, "before", (4, c))], "before.relu")
        x = net.conv(x, "conv", (c, c), self.kernel, pads=(self.kernel // 2,) * 4, group=self.group)
        if not self.alone:
            x = net.conv(net.add("Relu", [x], "relu"), "after", (c, 4))
        net.add("Relu", [x], "y")
        model = net.model({"x": shape}, {"y": (1, outer, self.size, self.size)})
        path.write_bytes(model.SerializeToString(deterministic=True))
        return path


LAYERS = (
    Layer(64, 1, 56, alone=False),
    Layer(64, 3, 56, alone=False),
    Layer(64, 1, 56, alone=True),
    Layer(64, 3, 56, alone=True),
    Layer(144, 3, 56, alone=False, group=144),
    Layer(96, 1, 14, alone=False),
    Layer(320, 1, 7, alone=False),
)


@dataclass(frozen=True)
class Row:
    """What one layer reached; times in ns, shares of the measured peak."""

    layer: str
    schedule: str
    median_ns: float
    gflops: float
    share: float
    share_low: float
    share_high: float


def timer_of(layer: Layer, target: Target, folder: Path) -> tuple[Callable[[], int], str]:
    """A function that runs the layer once and says for how many ns, and the kernel's schedule; UserError where an answer is wrong."""
    path = layer.save(folder / "layer.onnx")
    bundle = fusekit.compile(path, target=target.name, bands=False, winograd=False)
    model = fusekit.load(bundle)
    feeds, manifest = seeded_inputs(bundle.manifest), bundle.manifest
    got, want = model.run(feeds), reference_outputs(path, feeds)
    for output in manifest.outputs:
        check = check_output(
            output.name, got[output.name], want[output.name], rtol=output.rtol, atol=output.atol
        )
        if not check.ok:
            raise UserError(f"{layer.name} gives a wrong answer, so it is not timed: {check.detail}")
    step = next(i for i, kernel in enumerate(manifest.kernels) if kernel.label == "conv")

    def alone() -> int:
        start = time.perf_counter_ns()
        model.run(feeds)
        return time.perf_counter_ns() - start

    return (alone if layer.alone else lambda: model.run_profiled(feeds)[step]), manifest.kernels[
        step
    ].schedule


def sample(run: Callable[[], int]) -> list[int]:
    """A warm-up call, then samples until the round's time is over."""
    run()
    samples: list[int] = []
    end = time.perf_counter_ns() + ROUND_NS
    while len(samples) < MIN_SAMPLES or time.perf_counter_ns() < end:
        samples.append(run())
    return samples


def compare(target: Target, layers: Sequence[Layer], rounds: int) -> tuple[float, list[Row]]:
    """(peak in GFLOP/s, a row per layer)."""
    peak = fusekit.load(probe_bundle(target, threads=1, sizes=SIZES[:1]))
    flops = probes(target, threads=1)[0].flops
    with tempfile.TemporaryDirectory() as folder:
        timers = [timer_of(layer, target, Path(folder)) for layer in layers]
    at_peak: list[list[int]] = []
    times: list[list[list[int]]] = [[] for _ in layers]
    for _ in range(rounds):
        at_peak.append(sample(lambda: peak.run_profiled({})[0]))
        for taken, (run, _) in zip(times, timers, strict=True):
            taken.append(sample(run))
    rows = [
        row(layer, schedule, flops, at_peak, taken)
        for layer, (_, schedule), taken in zip(layers, timers, times, strict=True)
    ]
    return flops / median_ns(at_peak).value, rows


def row(layer: Layer, schedule: str, peak_flops: int, at_peak: Rounds, taken: Rounds) -> Row:
    """The statistics of one layer."""
    ratio, scale = speedup(at_peak, taken), layer.flops / peak_flops
    median = median_ns(taken).value
    return Row(
        layer.name,
        schedule,
        median,
        layer.flops / median,
        ratio.value * scale,
        ratio.low * scale,
        ratio.high * scale,
    )


def main() -> None:
    """Print a table, or JSON with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="host")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        target = find_target(options.target)
        peak, rows = compare(target, LAYERS, options.rounds)
    except UserError as error:
        sys.exit(f"kernel_peak: {error}")
    if options.json:
        print(
            json.dumps(
                {"target": target.name, "peak_gflops": peak, "layers": [asdict(r) for r in rows]}, indent=1
            )
        )
        return
    print(f"{target.name}: peak {peak:.1f} GFLOP/s on one core, measured")
    for r in rows:
        share = f"{100 * r.share:5.1f} % of peak [{100 * r.share_low:.1f}, {100 * r.share_high:.1f}]"
        print(f"  {r.layer:36} {r.median_ns / 1000:9.1f} us {r.gflops:7.1f} GFLOP/s {share}  {r.schedule}")


if __name__ == "__main__":
    main()
