"""`fusekit inspect`: any stage of a compilation as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..writing import writing
from ..zoo_model import model_path
from .option import (
    BandsOption,
    FusionOption,
    ModelArgument,
    ShapeOption,
    TargetOption,
    ThreadsOption,
    parse_shapes,
    parse_switch,
)

if TYPE_CHECKING:
    from ...compiler.fusion import Level

STAGES = "graph|groups|ledger|layout|kernels|llvm|asm|plan"


def inspect(
    model: ModelArgument,
    dump: Annotated[str, typer.Option("--dump", metavar=STAGES, help="The stage to print.")],
    target: TargetOption = "host",
    fusion: FusionOption = "full",
    bands: BandsOption = "on",
    threads: ThreadsOption = 1,
    shape: ShapeOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here.")
    ] = None,
) -> None:
    """Print a stage of MODEL's compilation: from the imported graph to the assembly and the memory plan."""
    from ...compiler.compile import Options
    from ...compiler.inspect import dump as dump_stage

    options = Options(
        target=target,
        fusion=cast("Level", fusion),
        threads=threads,
        bands=parse_switch(bands, "--bands"),
        shapes=parse_shapes(shape),
    )
    with model_path(model) as path:
        text = dump_stage(path, options, dump)
    if output is None:
        sys.stdout.write(text)
    else:
        with writing(output):
            output.write_text(text, encoding="utf-8")
