"""Inspection: every stage of a compilation as text."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import UserError
from .compile import Options, Stages, lower_graph
from .importers.onnx import import_onnx
from .kernel import Kernel
from .kernel_cache import kernel_text
from .objects import listing
from .passes import canonicalise


def dump(path: Path, options: Options, stage: str) -> str:
    """The text of a stage of compiling the model at `path`: one of `STAGES`.

    Raises UserError for an unknown stage and wherever compiling does.
    """
    if stage not in STAGES:
        near = difflib.get_close_matches(stage, STAGES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown stage {stage!r}: {hint}stages are {', '.join(STAGES)}")
    options = options.checked()
    stages = lower_graph(canonicalise(import_onnx(Path(path), options.shapes)), options)
    return STAGES[stage](stages).rstrip() + "\n"


def _kernels(stages: Stages) -> list[Kernel]:
    """The kernels in order of first use, each once."""
    return list({item.kernel.symbol: item.kernel for item in stages.lowered}.values())


def _kernel(kernel: Kernel) -> str:
    return f"{kernel.symbol}: {kernel.schedule}\n{kernel}\n"


STAGES: Mapping[str, Callable[[Stages], str]] = {
    "graph": lambda s: str(s.graph),
    "groups": lambda s: str(s.fused),
    "ledger": lambda s: "\n".join(map(str, s.fused.ledger)),
    "layout": lambda s: str(s.placed),
    "kernels": lambda s: "\n".join(map(_kernel, _kernels(s))),
    "llvm": lambda s: "\n".join(map(kernel_text, _kernels(s))),
    "asm": lambda s: "\n".join(listing(kernel_text(k), k.target) for k in _kernels(s)),
    "plan": lambda s: str(s.plan),
}
"""What each stage prints, in the order of the pipeline."""
