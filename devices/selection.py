"""Which devices a text means: `rpi5`, `tag:lab`, `group:rack1`, `all`, several by comma."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path

from ..errors import UserError
from .entry import NO_TARGET, DeviceEntry

ALL = "all"


def select(text: str, devices: Mapping[str, DeviceEntry], path: Path) -> tuple[DeviceEntry, ...]:
    """Return each meant device once, in the order of the text and within a part in that of the inventory.

    `all`, tags and groups leave out machines with `target: none`; their names do not. Raises `UserError` for a part
    that means no device.
    """
    chosen: dict[str, DeviceEntry] = {}
    for part in dict.fromkeys(part.strip() for part in text.split(",")):
        chosen |= {entry.name: entry for entry in _meant(part, devices, path)}
    return tuple(chosen.values())


def _meant(part: str, devices: Mapping[str, DeviceEntry], path: Path) -> list[DeviceEntry]:
    if part in devices:
        return [devices[part]]
    runnable = [entry for entry in devices.values() if entry.target != NO_TARGET]
    kind, colon, word = part.partition(":")
    if part == ALL:
        found, known = runnable, list(devices)
    elif colon and kind == "tag":
        found = [entry for entry in runnable if word in entry.tags]
        known = list(dict.fromkeys(tag for entry in devices.values() for tag in entry.tags))
    elif colon and kind == "group":
        found = [entry for entry in runnable if entry.group == word]
        known = list(dict.fromkeys(entry.group for entry in devices.values() if entry.group is not None))
    else:
        found, known, kind, word = [], [*devices, ALL], "device", part
    if found:
        return found
    listing = ", ".join(known) or "none"
    raise UserError(f"{path} has no {kind} {word!r}: {suggest(word, known)}known are {listing}")


def suggest(word: str, known: Collection[str]) -> str:
    """Return "did you mean …? " where a known word is near, else nothing.

    >>> suggest("lokal", ["local", "rpi5"])
    "did you mean 'local'? "
    """
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""
