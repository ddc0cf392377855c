"""The table of a tuning: the kernels for which a better choice was found, and what it means for the whole model."""

from __future__ import annotations

from rich.table import Table

from ...compiler.choice import Choice
from ..duration import duration
from ..measure.caveat import caveats
from ..measure.statistics import Speedup
from ..tune.tune import TunedKernel, Tuning
from .screen import stdout


def print_tuning(found: Tuning) -> None:
    """A row a kernel whose choice is kept or was near it, the one that saves the most time first; then the sums."""
    console = stdout()
    console.print(f"{found.model} on {found.record.device.name} ({found.cpu}), 1 thread", soft_wrap=True)
    better = [k for k in found.kernels if k.best != k.analytic]
    if better:
        table = Table()
        table.add_column("kernel")
        for heading in ("steps", "analytic", "best", "gain", "95 % interval"):
            table.add_column(heading, justify="right")
        for heading in ("analytic choice", "best choice", "kept"):
            table.add_column(heading)
        for kernel in sorted(better, key=lambda k: k.best_ns - k.analytic_ns):
            table.add_row(*_cells(kernel))
        console.print(table)
    kept = sum(k.kept for k in better)
    console.print(
        f"kernels searched: {len(found.kernels)}, choices kept: {kept}; {duration(found.analytic_ns)} by the analytic choices, "
        f"{duration(found.tuned_ns)} tuned, {_gain(found.whole)} for the sum of all kernels, {found.mean_gain:.3f}x in the "
        f"geometric mean of those searched",
        soft_wrap=True,
    )
    for caveat in caveats([found.record]):
        console.print(f"note: {caveat}", style="dim", soft_wrap=True)


def _cells(kernel: TunedKernel) -> list[str]:
    gain = kernel.gain
    return [
        f"{kernel.label} ({kernel.signature.tunable})",
        str(kernel.steps),
        duration(kernel.analytic_ns),
        duration(kernel.best_ns),
        f"{gain.value:.3f}x",
        f"{gain.low:.3f}–{gain.high:.3f}",
        _text(kernel, kernel.analytic),
        _text(kernel, kernel.best),
        "yes" if kernel.kept else "no, not clearly faster",
    ]


def _text(kernel: TunedKernel, choice: Choice) -> str:
    if kernel.signature.tunable != "winograd":
        return str(choice)
    return "Winograd" if choice.winograd else "direct"


def _gain(gain: Speedup) -> str:
    return f"{gain.value:.3f}x ({gain.low:.3f}–{gain.high:.3f})"
