"""`fusekit inspect`: any stage of a compilation as text, or how near its kernels come to what a device allows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ...errors import UserError
from ..writing import check_writable, writing
from ..zoo_model import model_path
from .option import (
    BandsOption,
    FusionOption,
    InventoryOption,
    ModelArgument,
    ShapeOption,
    TargetOption,
    ThreadsOption,
    WinogradOption,
    find_device,
    parse_shapes,
    parse_switch,
    parse_winograd,
)
from .screen import progress

if TYPE_CHECKING:
    from ...compiler.compile import Options
    from ...compiler.fusion import Level

STAGES = "graph|groups|ledger|layout|kernels|llvm|asm|plan"


def inspect(
    model: ModelArgument,
    dump: Annotated[str | None, typer.Option("--dump", metavar=STAGES, help="Print this stage.")] = None,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Time the kernels beside the device's own limits.")
    ] = False,
    target: TargetOption = "host",
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="For --roofline: a device of the inventory.")
    ] = "local",
    fusion: FusionOption = "full",
    bands: BandsOption = "on",
    winograd: WinogradOption = "auto",
    threads: ThreadsOption = 1,
    shape: ShapeOption = None,
    inventory: InventoryOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write it here; a roofline as a page, PDF or PNG."
        ),
    ] = None,
) -> None:
    """Print a stage of MODEL's compilation, or with --roofline how near its kernels come to what a device allows.

    Stages go from the imported graph to the assembly and the memory plan. A roofline measures the multiply-add peak and
    the bandwidths of the device in one run with the model, and lists for each kernel the least time that they allow.
    """
    from ...compiler.compile import Options

    if roofline == (dump is not None):
        raise UserError(f"inspect shows one thing at a time: give --dump {STAGES} or --roofline")
    options = Options(
        target=target,
        fusion=cast("Level", fusion),
        threads=threads,
        bands=parse_switch(bands, "--bands"),
        winograd=parse_winograd(winograd),
        shapes=parse_shapes(shape),
    )
    if dump is not None:
        _dump(model, options, dump, output)
    else:
        _roofline(model, options, device, inventory, output)


def _dump(model: str, options: Options, stage: str, output: Path | None) -> None:
    from ...compiler.inspect import dump as dump_stage

    with model_path(model) as path:
        text = dump_stage(path, options, stage)
    if output is None:
        sys.stdout.write(text)
    else:
        with writing(output):
            output.write_text(text, encoding="utf-8")


def _roofline(model: str, options: Options, device: str, inventory: Path | None, output: Path | None) -> None:
    from ...compiler.target import find_target
    from ..report.roofline import check_suffix, write_roofline
    from ..roofline.roofline import measure_roofline
    from .roofline_table import print_roofline
    from .variant import announce_first_link

    if output is not None:
        check_suffix(output)
        check_writable(output)
    with find_device(device, inventory) as place, model_path(model) as path, progress() as shown:
        options = replace(options, target=place.target if options.target == "host" else options.target)
        announce_first_link(find_target(options.target).triple)
        shown.add_task(f"timing the kernels of {path.stem} on {device}", total=None)
        found = measure_roofline(place, path, options)
    print_roofline(found)
    if output is not None:
        with writing(output):
            write_roofline(found, output)
