"""Variants of one model for one device, compiled, with the inputs and answers that they are checked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api import compile
from ..link import runner_runtime_is_built
from ..measure.stage import runner_arch
from ..reference import Arrays, reference_outputs, seeded_inputs
from ..zoo_model import model_path
from .screen import progress, stderr

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle


@dataclass(frozen=True)
class Variants:
    """Bundles in the order of levels within thread counts, and one set of inputs and outputs for all."""

    bundles: tuple[Bundle, ...]
    feeds: Arrays
    want: Arrays


def compile_variants(
    model: str,
    target: str,
    *,
    fusions: Sequence[str],
    threads: Sequence[int],
    bands: bool,
    winograd: bool,
    shapes: Mapping[str, tuple[int, ...]],
    seed: int = 0,
) -> Variants:
    """Compiles every level at every thread count and asks ONNX Runtime for the right outputs."""
    with model_path(model) as path, progress() as shown:
        task = shown.add_task("", total=len(fusions) * len(threads) + 1)
        bundles = []
        for count in threads:
            for level in fusions:
                shown.update(
                    task, description=f"compiling {path.stem} · {target} · {level} · {count} threads"
                )
                bundle = compile(
                    path,
                    target=target,
                    fusion=level,
                    threads=count,
                    bands=bands,
                    winograd=winograd,
                    shapes=shapes,
                )
                bundles.append(bundle)
                shown.advance(task)
        shown.update(task, description="asking ONNX Runtime")
        feeds = seeded_inputs(bundles[0].manifest, seed)
        return Variants(tuple(bundles), feeds, reference_outputs(path, feeds))


def announce_first_link(triple: str) -> None:
    """Says why the first link of an architecture takes long."""
    architecture = runner_arch(triple)
    if not runner_runtime_is_built(architecture):
        stderr().print(f"building the runner for {architecture}: once, about a minute", style="dim")
