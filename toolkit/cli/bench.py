"""`fusekit bench`: variants of a model timed in turn on a device, checked first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ...devices import Device
from ..duration import duration, interval
from ..measure.caveat import caveats
from ..measure.record import RunRecord, Settings, write_records
from ..measure.session import measure
from ..measure.statistics import median_ns, speedup_of
from ..writing import check_writable
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
    parse_cpus,
    parse_fusions,
    parse_shapes,
    parse_switch,
    parse_thread_counts,
    parse_winograd,
)
from .outcome import exit_if_any_failed, refuse_if_nothing_ran
from .screen import progress, stderr, stdout
from .variant import announce_first_link, compile_variants


def bench(
    model: ModelArgument,
    device: DevicesOption,
    fusion: FusionsOption = "none,basic,full",
    threads: ThreadCountsOption = "1",
    bands: BandsOption = "on",
    winograd: WinogradOption = "auto",
    shape: ShapeOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Visits to each variant, in turn.")] = 10,
    round_ms: Annotated[int, typer.Option("--round-ms", min=1, help="Time of one visit in ms.")] = 100,
    cpus: Annotated[str, typer.Option(metavar="N,…", help="CPUs to pin the threads to, by comma.")] = "",
    counters: Annotated[bool, typer.Option("--counters", help="Read hardware counters too.")] = False,
    inventory: InventoryOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The records; by default a new file in reports/records."
        ),
    ] = None,
) -> None:
    """Time MODEL on devices at several fusion levels, interleaved in one process, every output checked first.

    Several devices are timed one after the other; `fusekit sweep` times them at once.

    Writes records (JSON lines with the raw samples) and prints medians and speed-ups with their 95 % intervals. On
    an emulated device the outputs are checked and no times are taken.
    """
    settings = Settings(rounds=rounds, round_ms=round_ms, cpus=parse_cpus(cpus), counters=counters)
    fusions, counts = parse_fusions(fusion), parse_thread_counts(threads)
    banded, shapes = parse_switch(bands, "--bands"), parse_shapes(shape)
    if output is not None:
        check_writable(output)
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
            seed=settings.seed,
        )
        for target in dict.fromkeys(entry.target for entry in entries)
    }
    written: list[RunRecord] = []

    def bench_on(place: Device) -> None:
        todo = variants[place.target]
        announce_first_link(todo.bundles[0].manifest.target.triple)
        with progress() as shown:
            doing = "checking" if place.emulated else "timing"
            shown.add_task(f"{doing} {len(todo.bundles)} variants on {place.name}", total=None)
            records = measure(place, todo.bundles, todo.feeds, todo.want, settings)
        written.extend(records)
        path = output or _new_path(records[0])
        write_records(path, written if output else records)
        refuse_if_nothing_ran(records)
        print_table(records)
        stderr().print(f"records: {path}", soft_wrap=True)
        exit_if_any_failed(records)

    in_turn(entries, bench_on)


def print_table(records: Sequence[RunRecord]) -> None:
    """One row a variant; the speed-up is over `none` at the same thread count."""
    console = stdout()
    first = records[0]
    console.print(f"{first.model} on {first.device.name} ({first.target})", soft_wrap=True)
    table = Table()
    table.add_column("level")
    table.add_column("threads", justify="right")
    table.add_column("kernels", justify="right")
    if not first.device.emulated:
        for heading in ("median", "95 % interval", "speed-up vs none"):
            table.add_column(heading, justify="right")
    table.add_column("check")
    for record in records:
        row = [record.fusion, str(record.threads), str(len(record.kernels))]
        if not first.device.emulated:
            row += _times(record, records)
        table.add_row(*row, _check(record))
    console.print(table)
    if first.device.emulated:
        console.print(
            "Emulated: the answers count, times would mean nothing and were not taken.", style="dim"
        )
    for caveat in caveats(records):
        console.print(f"note: {caveat}", style="dim", soft_wrap=True)


def _times(record: RunRecord, records: Sequence[RunRecord]) -> list[str]:
    if record.samples_ns is None:
        return ["–", "–", "–"]
    median = median_ns(record.samples_ns)
    cells = [duration(median.value), interval(median.low, median.high)]
    baseline = next((r for r in records if r.fusion == "none" and r.threads == record.threads), None)
    if baseline is None or baseline is record or baseline.samples_ns is None:
        return [*cells, "–"]
    if baseline.bundle == record.bundle:
        return [*cells, "the same code"]
    gain = speedup_of(baseline, record)
    text = f"{gain.value:.2f}x ({gain.low:.2f}–{gain.high:.2f})"
    return [*cells, text if gain.claim else f"{text}, no difference shown"]


def _check(record: RunRecord) -> Text:
    if record.error is not None:
        return Text.assemble((record.error.kind, "red"), f": {record.error.message}")
    outputs = "output" if len(record.checks) == 1 else "outputs"
    return Text.assemble(("ok", "green"), f" ({len(record.checks)} {outputs})")


def _new_path(record: RunRecord) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{record.model}-{record.device.name}-{stamp}")
    return Path("reports", "records", f"{name}.jsonl")
