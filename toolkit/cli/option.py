"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ...compiler.bundle import MAX_THREADS
from ...devices import Device, DeviceEntry, Inventory, load_inventory, open_device
from ...devices.entry import NO_TARGET, UNKNOWN_TARGET, ask_for_passwords
from ...errors import UserError

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="An ONNX file, or zoo:NAME.")]
InventoryOption = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        metavar="FILE",
        help="The devices; by default ./inventory.yaml, or else the one that comes with fusekit.",
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME=N,N,…", help="The shape of an input with dynamic dimensions; may repeat."
    ),
]
FusionOption = Annotated[str, typer.Option(metavar="none|basic|full", help="What may be fused.")]
FusionsOption = Annotated[str, typer.Option("--fusion", metavar="LEVEL,…", help="Fusion levels, by comma.")]
BandsOption = Annotated[
    str, typer.Option(metavar="on|off", help="Whether heavy operators in a row share a kernel, row by row.")
]
WinogradOption = Annotated[
    str, typer.Option(metavar="auto|off", help="Whether 3x3 convolutions may run by Winograd's F(4x4, 3x3).")
]
SchedulesOption = Annotated[
    Path | None,
    typer.Option(
        "--schedules",
        metavar="FILE",
        help="Schedules that `fusekit tune` found; by default those that come with fusekit.",
    ),
]
ThreadsOption = Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of the model.")]
ThreadCountsOption = Annotated[str, typer.Option("--threads", metavar="N,…", help="Thread counts, by comma.")]
TargetOption = Annotated[
    str, typer.Option(help="A board (rpi3, rpi4, rpi5), a CPU (cortex-a76, x86-64-v3, …) or host.")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="A device of the inventory.")]
DevicesArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME,…", help="Devices of the inventory, by comma: NAME, tag:WORD, group:NAME or all."
    ),
]
DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME,…",
        help="Devices of the inventory, by comma: NAME, tag:WORD, group:NAME or all.",
    ),
]


def parse_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes by input name.

    >>> parse_shapes(["x=1,3,224,224"])
    {'x': (1, 3, 224, 224)}
    """
    shapes = {}
    for text in texts or ():
        name, equals, numbers = text.rpartition("=")
        try:
            shape = tuple(int(number) for number in numbers.split(","))
        except ValueError:
            shape = ()
        if not (name and equals and shape) or min(shape) < 1:
            raise UserError(f"--shape '{text}' is no shape: write it like --shape input=1,3,224,224")
        shapes[name] = shape
    return shapes


def parse_fusions(text: str) -> tuple[str, ...]:
    """Fusion levels without repetition, in the given order."""
    from ...compiler.fusion import LEVELS

    levels = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for level in levels:
        if level not in LEVELS:
            raise UserError(f"unknown fusion level {level!r}: levels are {', '.join(LEVELS)}")
    return levels


def parse_thread_counts(text: str) -> tuple[int, ...]:
    """Thread counts without repetition, in the given order."""
    try:
        counts = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > MAX_THREADS:
        raise UserError(f"--threads '{text}' is no list of thread counts: give 1 to {MAX_THREADS}, like 1,4")
    return counts


def parse_cpus(text: str) -> tuple[int, ...]:
    """CPU numbers in the given order; none for no text."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UserError(f"--cpus '{text}' is no list of CPU numbers: write it like 3,2,1,0") from None


def parse_switch(text: str, option: str, on: str = "on") -> bool:
    """True for the word `on`, False for off."""
    if text not in (on, "off"):
        raise UserError(f"{option} is {on} or off, not '{text}'")
    return text == on


def parse_winograd(text: str) -> bool:
    """True for auto, False for off."""
    return parse_switch(text, "--winograd", on="auto")


def find_inventory(path: Path | None) -> Inventory:
    """The inventory of the option, of this folder, or the one that comes with fusekit; in this order."""
    if path is not None:
        return load_inventory(path)
    here = Path("inventory.yaml")
    return load_inventory(here if here.is_file() else Path(__file__).parents[2] / "inventory.yaml")


def find_device(name: str, inventory: Path | None) -> Device:
    """The one device that a text selects; it connects at its first use."""
    entries = find_devices(name, inventory)
    if len(entries) > 1:
        names = ", ".join(entry.name for entry in entries)
        raise UserError(
            f"--device {name} means {len(entries)} devices, and one is wanted here: name one of {names}"
        )
    return open_device(entries[0])


def find_devices(text: str, inventory: Path | None) -> tuple[DeviceEntry, ...]:
    """The devices that a text selects, each with a target to compile for; asks now for the passwords of those that have one."""
    found = find_inventory(inventory)
    entries = found.select(text)
    for entry in entries:
        if entry.target == UNKNOWN_TARGET:
            raise UserError(
                f"{entry.name} has the target '{UNKNOWN_TARGET}' in {found.path}: type `fusekit devices probe "
                f"{entry.name}`, which says which one fits, and write it there"
            )
        if entry.target == NO_TARGET:
            raise UserError(
                f"{entry.name} has the target '{NO_TARGET}' in {found.path}: others are reached through it, and nothing "
                "runs on it"
            )
    ask_for_passwords(entries)
    return entries
