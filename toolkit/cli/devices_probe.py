"""`fusekit devices probe`: what devices are, the state they are in, and which target fits."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ...devices import DeviceEntry, Facts
from ...devices.entry import NO_TARGET, UNKNOWN_TARGET
from ..byte_size import byte_size
from ..fitting_target import cpu_name, fitting_target, poor_fit
from ..throttle import throttle_events
from .each_device import at_once
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stdout


def probe(
    name: DevicesArgument,
    inventory: InventoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Ask devices what they are and in which state, and say which target fits them."""
    answers: dict[str, object] = {}

    def tell(entry: DeviceEntry, facts: Facts) -> None:
        if as_json:
            answers[entry.name] = {**dataclasses.asdict(facts), "fitting_target": fitting_target(facts)}
            return
        table = Table(title=entry.name, title_justify="left", show_header=False)
        for key, value in (*_describe(facts), ("target", _fit(entry, facts))):
            table.add_row(key, Text(value))
        stdout().print(table)

    try:
        at_once(find_inventory(inventory).select(name), lambda device: device.probe(), tell, "asking")
    finally:
        if answers:
            sys.stdout.write(json.dumps(answers, indent=1) + "\n")


def _describe(facts: Facts) -> list[tuple[str, str]]:
    parts = ", ".join(cpu_name(part) for part in facts.cpu_parts if part.startswith("0x"))
    bits = f", {facts.userland_bits}-bit programs" if facts.userland_bits else ""
    rows = [
        ("model", facts.model),
        ("architecture", f"{facts.arch}{bits}"),
        ("system", f"{facts.os}, Linux {facts.kernel}"),
        ("CPUs", f"{facts.n_cpus} x {parts}" if parts else str(facts.n_cpus)),
        ("features", " ".join(facts.features)),
        ("caches", ", ".join(f"{cache.name} {byte_size(cache.size_bytes)}" for cache in facts.caches)),
        ("memory", _memory(facts)),
        ("disk", "" if facts.disk_free_bytes is None else f"{facts.disk_free_bytes / 2**30:.1f} GiB free"),
        ("governor", ", ".join(facts.governors) or facts.governor or ""),
        ("clock", _clock(facts)),
        ("temperature", "" if facts.temperature_mc is None else f"{facts.temperature_mc / 1000:.1f} °C"),
        ("throttling", _throttling(facts)),
        ("load", "" if facts.load1 is None else f"{facts.load1:.2f}"),
        ("counters", _counters(facts)),
    ]
    return [row for row in rows if row[1]]


def _memory(facts: Facts) -> str:
    if facts.memory_bytes is None:
        return ""
    free = f", {facts.available_bytes / 2**30:.1f} GiB free" if facts.available_bytes is not None else ""
    swapped = f", {byte_size(facts.swap_used_bytes)} swapped out" if facts.swap_used_bytes else ""
    return f"{facts.memory_bytes / 2**30:.1f} GiB{free}{swapped}"


def _clock(facts: Facts) -> str:
    if facts.freq_khz is None:
        return ""
    limit = f" of {facts.max_freq_khz // 1000}" if facts.max_freq_khz else ""
    return f"{facts.freq_khz // 1000}{limit} MHz"


def _throttling(facts: Facts) -> str:
    if facts.throttled is None:
        return ""
    return ", ".join(throttle_events(facts.throttled)) or "none since the last start"


def _counters(facts: Facts) -> str:
    if facts.perf_event_paranoid is None:
        return ""
    access = "open" if facts.perf_event_paranoid <= 2 else "closed"
    return f"{access} to users (perf_event_paranoid {facts.perf_event_paranoid})"


def _fit(entry: DeviceEntry, facts: Facts) -> str:
    best = fitting_target(facts)
    known = "none of fusekit's fits" if best is None else f"{best} fits"
    if entry.target in (UNKNOWN_TARGET, NO_TARGET):
        return known
    reason = poor_fit(facts, entry.target)
    return f"{entry.target} fits" if reason is None else f"{entry.target} does not fit: {reason}; {known}"
