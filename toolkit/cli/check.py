"""`fusekit check`: whether a model compiles, and what it would come to, without generating code."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..byte_size import byte_size
from ..zoo_model import model_path
from .option import ModelArgument, ShapeOption, TargetOption, parse_shapes
from .screen import stdout

if TYPE_CHECKING:
    from ...compiler.summary import Summary, Value


def check(
    model: ModelArgument,
    target: TargetOption = "host",
    shape: ShapeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say in about a second whether MODEL compiles, and what it would come to: operators, work, memory, kernels.

    Exits with code 2 where it does not compile; the error names every operator that is not supported and its node.
    """
    from ...compiler.summary import summarise

    shapes = parse_shapes(shape)
    with model_path(model) as path:
        summary = summarise(path, target, shapes)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(summary), indent=1) + "\n")
    else:
        print_summary(summary)


def print_summary(summary: Summary) -> None:
    """One line a fact."""
    kernels = [f"{count} at {level}" for level, count in summary.kernels.items()]
    rows = [
        *_values("input", summary.inputs),
        *_values("output", summary.outputs),
        ("operators", ", ".join(f"{op} {count}" for op, count in summary.ops.items())),
        ("work", f"{summary.flops / 1e6:.1f} MFLOP"),
        ("weights", byte_size(summary.weights_bytes)),
        ("arena", f"{byte_size(summary.arena_bytes)}, and {byte_size(summary.scratch_bytes)} a thread"),
        ("kernels", ", ".join(kernels)),
        *_values("largest in arena", summary.largest, made=True),
        ("targets", "all: " + ", ".join(summary.targets)),
    ]
    console = stdout()
    console.print(f"{summary.name} compiles for {summary.target}", soft_wrap=True, markup=False)
    for heading, text in rows:
        console.print(f"{heading:18}{text}", soft_wrap=True, markup=False)


def _values(heading: str, values: Sequence[Value], made: bool = False) -> list[tuple[str, str]]:
    """A line a value, the heading at the first."""
    texts = []
    for value in values:
        shape = "x".join(map(str, value.shape)) or "scalar"
        by = f", made by {value.node}" if made and value.node != value.name else ""
        size = f", {byte_size(value.bytes)}" if made else ""
        texts.append(f"{value.name} {value.dtype} {shape}{size}{by}")
    return list(zip([heading, *[""] * (len(texts) - 1)], texts, strict=True)) if texts else []
