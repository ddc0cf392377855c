"""`fusekit verify`: a device's outputs against ONNX Runtime, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ...devices import Device
from ..measure.record import RunRecord, Settings
from ..measure.session import verify as verify_on
from .each_device import in_turn
from .option import (
    BandsOption,
    DevicesOption,
    FusionsOption,
    InventoryOption,
    ModelArgument,
    ShapeOption,
    ThreadCountsOption,
    WinogradOption,
    find_devices,
    parse_fusions,
    parse_shapes,
    parse_switch,
    parse_thread_counts,
    parse_winograd,
)
from .outcome import exit_if_any_failed, refuse_if_nothing_ran
from .screen import progress, stdout
from .variant import announce_first_link, compile_variants


def verify(
    model: ModelArgument,
    device: DevicesOption,
    fusion: FusionsOption = "full",
    threads: ThreadCountsOption = "1",
    bands: BandsOption = "on",
    winograd: WinogradOption = "auto",
    shape: ShapeOption = None,
    inventory: InventoryOption = None,
) -> None:
    """Run MODEL on devices and compare every output with ONNX Runtime's; exit code 1 where one is wrong."""
    fusions, counts = parse_fusions(fusion), parse_thread_counts(threads)
    banded, shapes = parse_switch(bands, "--bands"), parse_shapes(shape)
    entries = find_devices(device, inventory)
    variants = {
        target: compile_variants(
            model,
            target,
            fusions=fusions,
            threads=counts,
            bands=banded,
            winograd=parse_winograd(winograd),
            shapes=shapes,
        )
        for target in dict.fromkeys(entry.target for entry in entries)
    }

    def verify_one(place: Device) -> None:
        todo = variants[place.target]
        announce_first_link(todo.bundles[0].manifest.target.triple)
        with progress() as shown:
            shown.add_task(f"running on {place.name}", total=None)
            records = verify_on(place, todo.bundles, todo.feeds, todo.want, Settings())
        refuse_if_nothing_ran(records)
        print_checks(records)
        exit_if_any_failed(records)

    in_turn(entries, verify_one)


def print_checks(records: Sequence[RunRecord]) -> None:
    """One row an output; a failure without outputs is a row of its own."""
    first = records[0]
    console = stdout()
    console.print(f"{first.model} on {first.device.name} against {first.reference}", soft_wrap=True)
    table = Table()
    for heading in ("level", "threads", "output", "largest error", "limit", "check"):
        table.add_column(heading)
    for record in records:
        start = (record.fusion, str(record.threads))
        for check in record.checks:
            verdict = (
                Text("ok", "green") if check.ok else Text.assemble(("wrong", "red"), f": {check.detail}")
            )
            table.add_row(*start, check.name, _number(check.max_abs_error), _number(check.limit), verdict)
        if not record.checks and record.error is not None:
            failure = Text.assemble((record.error.kind, "red"), f": {record.error.message}")
            table.add_row(*start, "–", "–", "–", failure)
    console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"
