"""`fusekit compare`: a model in fusekit and in other engines, here or on a board, timed in turn, checked first."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...compiler.bundle import MAX_THREADS
from ...errors import UserError
from ..api import compile
from ..writing import check_writable
from ..zoo_model import PREFIX, model_path
from .option import (
    FusionOption,
    InventoryOption,
    ShapeOption,
    find_device,
    parse_cpus,
    parse_fusions,
    parse_shapes,
)
from .screen import progress, stderr

if TYPE_CHECKING:
    from ..compare.record import EngineRecord

ALL = "onnxruntime,openvino,litert,ncnn,mnn"


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="ONNX files, or zoo:NAME.")],
    engines: Annotated[
        str,
        typer.Option(metavar="NAME,…", help="Engines by comma; also onnxruntime-none and fusekit-LEVEL."),
    ] = ALL,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of every engine.")] = 1,
    fusion: FusionOption = "full",
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A device of the inventory to do it on; by default this machine."),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PROGRAM",
            help="A Python of the device that has the engines; by default fusekit makes an environment there.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Turns of each engine.")] = 10,
    turn_ms: Annotated[int, typer.Option("--turn-ms", min=1, help="Time of one turn in ms.")] = 150,
    cpus: Annotated[
        str, typer.Option(metavar="N,…", help="CPUs to pin every engine to; by default the first.")
    ] = "",
    tflite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The .tflite original, for litert.")
    ] = None,
    shape: ShapeOption = None,
    inventory: InventoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records instead of a table.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The records; by default a new file in reports/comparisons.",
        ),
    ] = None,
) -> None:
    """Time MODEL in fusekit and in other engines on this machine or a board, in turn, every output checked first.

    Each engine runs in a process of its own that is stopped while others run: float32, the same inputs, threads and
    CPUs, denormals flushed. The ratios are an engine's time over fusekit's, with 95 % intervals. Peers come with
    `pip install 'fusekit[peers]'`, or to a board by themselves; litert needs the model's .tflite original beside it.
    """
    from ..compare.lineup import lineup
    from ..compare.on_device import compare_on, prepare_place
    from ..compare.record import Rules, line_of, write_engine_records
    from ..compare.session import compare as compare_engines
    from ..compare.session import pinned, subject_of
    from .standing_table import print_standings

    level, *more = parse_fusions(fusion)
    if more:
        raise UserError(
            f"--fusion {fusion} is more than one level: give one, and others as --engines fusekit-{more[0]}"
        )
    chosen = lineup(level, [name.strip() for name in engines.split(",")])
    shapes = parse_shapes(shape)
    if tflite is not None and (len(models) > 1 or not tflite.is_file()):
        raise UserError(f"--tflite {tflite} is the file of one model: give one MODEL and a file that exists")
    if python is not None and device is None:
        raise UserError(f"--python {python} is a Python of a device: name the device with --device")
    pins = parse_cpus(cpus)
    path = output or _new_path()
    check_writable(path)
    records: list[EngineRecord] = []
    with ExitStack() as stack:
        place, target, usable = None, "host", None
        if device is not None:
            board = stack.enter_context(find_device(device, inventory))
            place = prepare_place(board, python, chosen.values())
            target, usable = board.target, place.python.cpus
        rules = Rules(threads, pinned(pins, threads, usable), rounds, turn_ms)
        shown = stack.enter_context(progress())
        task = shown.add_task("", total=len(models))
        for model in models:
            shown.update(task, description=f"{model} in {len(chosen)} engines")
            with model_path(model) as file:
                bundle = compile(file, target, level, threads, shapes=shapes)
                subject = subject_of(_name(model), file, tflite, bundle, rules.seed)
                if place is None:
                    records += compare_engines(subject, chosen, rules)
                else:
                    records += compare_on(place, subject, chosen, rules)
            write_engine_records(path, records)
            shown.advance(task)
    if as_json:
        sys.stdout.writelines(line_of(record) + "\n" for record in records)
    else:
        print_standings(records)
    stderr().print(f"records: {path}", soft_wrap=True)
    if any(record.error is not None and record.error.kind != "unavailable" for record in records):
        raise typer.Exit(1)


def _name(model: str) -> str:
    """As a table shows it: a file without its folder and suffix, a zoo name as it is."""
    return model if model.startswith(PREFIX) else Path(model).stem


def _new_path() -> Path:
    return Path("reports", "comparisons", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
