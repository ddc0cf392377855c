"""`fusekit tune`: the schedules of a model's kernels searched by timing them on a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..writing import check_writable, writing
from ..zoo_model import model_path
from .option import (
    InventoryOption,
    ModelArgument,
    ShapeOption,
    TargetOption,
    find_device,
    parse_cpus,
    parse_shapes,
)
from .screen import progress, stderr
from .variant import announce_first_link


def tune(
    model: ModelArgument,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="A device of the inventory.")
    ] = "local",
    target: TargetOption = "host",
    shape: ShapeOption = None,
    cpus: Annotated[
        str, typer.Option(metavar="N", help="The CPU to pin to; here the first by default.")
    ] = "",
    inventory: InventoryOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.toml", help="Write what was found into this schedule table."
        ),
    ] = None,
) -> None:
    """Search the schedules of MODEL's kernels by timing the legal ones on a device, with one thread.

    Every variant's outputs are checked, variants are timed in turn in one process, and a choice is kept only where a
    second comparison shows that it gains 3 % or more. What was timed is kept in the cache: an interrupted search goes on.
    """
    from ...compiler.compile import Options
    from ...compiler.schedule_table import ScheduleTable, read_table
    from ...compiler.target import find_target
    from ..tune.tune import tune as tune_model
    from .tuning_table import print_tuning

    options = Options(target=target, shapes=parse_shapes(shape))
    pinned = parse_cpus(cpus)
    with find_device(device, inventory) as place, model_path(model) as path:
        options = replace(options, target=place.target if target == "host" else target)
        compiled_for = find_target(options.target)
        table = ScheduleTable(compiled_for.cpu, {})
        if output is not None:
            check_writable(output)
            if output.exists():
                table = read_table(output).checked(compiled_for)
        announce_first_link(compiled_for.triple)
        with progress() as shown:
            task = shown.add_task("", total=None)
            found = tune_model(
                place, path, options, pinned, lambda text: shown.update(task, description=text)
            )
    print_tuning(found)
    if output is not None:
        with writing(output):
            output.write_text(table.updated(found.decided()).to_toml(), encoding="utf-8")
        stderr().print(f"schedule table: {output}", soft_wrap=True)
