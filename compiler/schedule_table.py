"""ScheduleTable: choices that `fusekit tune` measured to be better than the analytic ones, for one CPU.

A table is a TOML file with a line for each `Signature`. It acts through the kernels alone: what it decides is in their text, and so in the names of
cached objects and in a bundle's hash. The tables in `schedules/` are used wherever no other is given.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from ..errors import UserError
from .analytic_choice import analytic_choice
from .choice import Choice, Signature, obstacle
from .target import TARGETS, Machine, Target

SCHEMA = 1
FOLDER = Path(__file__).parent / "schedules"

_HEAD = """\
# Choices that were measured to be better than the analytic ones: how much faster the kernels ran, where, and in which model.
# Written by `fusekit tune`; docs/tuning.md says how to review it.
schema = {schema}
cpu = {cpu}

[choices]
"""


@dataclass(frozen=True)
class Entry:
    """A choice and what is known of it: the analytic kernel's time over its own, the device's CPU, and the model that was timed."""

    choice: Choice
    gain: float
    device: str
    model: str


@dataclass(frozen=True)
class ScheduleTable:
    """Entries for the CPU that LLVM calls `cpu`; `source` is what messages call the table."""

    cpu: str
    entries: Mapping[Signature, Entry]
    source: str = "the schedule table"

    def choice(self, signature: Signature) -> Choice | None:
        """What the table says of a stage; None where it says nothing."""
        entry = self.entries.get(signature)
        return None if entry is None else entry.choice

    def checked(self, target: Target) -> ScheduleTable:
        """The table itself; UserError where it is another target's or holds a choice that is not legal on this one."""
        if self.cpu != target.cpu:
            raise UserError(
                f"{self.source} is for {self.cpu}, not for {target.cpu}: tune for the target {target.name} too"
            )
        for signature, entry in self.entries.items():
            if reason := obstacle(entry.choice, signature, target.machine):
                raise UserError(
                    f"{self.source} gives '{signature}' the choice '{entry.choice}', but {reason}: "
                    f"remove the line or tune again"
                )
        return self

    def updated(self, decided: Mapping[Signature, Entry | None]) -> ScheduleTable:
        """The table with what was decided in place of what it said of the same signatures; None removes an entry."""
        entries = {**self.entries, **decided}
        return ScheduleTable(
            self.cpu, {k: entry for k, entry in entries.items() if entry is not None}, self.source
        )

    def to_toml(self) -> str:
        """Canonical text, entries sorted by signature: equal tables give equal bytes."""
        lines = sorted(f"{json.dumps(str(k))} = {_inline(entry)}\n" for k, entry in self.entries.items())
        return _HEAD.format(schema=SCHEMA, cpu=json.dumps(self.cpu)) + "".join(lines)


def read_table(path: Path) -> ScheduleTable:
    """The table of a file, every line of it legal; UserError with what is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"the schedule table {path} cannot be read ({error.strerror}): make one with fusekit tune MODEL -o {path}"
        ) from None
    except ValueError as error:
        raise UserError(
            f"{path} is no schedule table ({error}): make one with fusekit tune MODEL -o {path}"
        ) from None
    if type(raw.get("schema")) is not int or raw["schema"] != SCHEMA:
        raise UserError(
            f"the schedule table {path} has schema {raw.get('schema')!r}, this fusekit reads {SCHEMA}: tune again"
        )
    target = next((t for t in TARGETS.values() if t.cpu == raw.get("cpu")), None)
    if target is None:
        known = ", ".join(dict.fromkeys(t.cpu for t in TARGETS.values()))
        raise UserError(f"the schedule table {path} is for the CPU {raw.get('cpu')!r}: known are {known}")
    choices = raw.get("choices")
    if not isinstance(choices, dict) or set(raw) != {"schema", "cpu", "choices"}:
        raise UserError(f"the schedule table {path} has other parts than schema, cpu and choices: tune again")
    entries = dict(_entry(path, text, values) for text, values in choices.items())
    return ScheduleTable(target.cpu, entries, f"the schedule table {path}").checked(target)


def table_for(target: Target) -> ScheduleTable:
    """The table that comes with fusekit for a target; an empty one where there is none."""
    return _shipped(target.cpu)


@cache
def _shipped(cpu: str) -> ScheduleTable:
    path = FOLDER / f"{cpu}.toml"
    return read_table(path) if path.is_file() else ScheduleTable(cpu, {})


@dataclass(frozen=True)
class Chooser:
    """Decides by the table, and by arithmetic where it says nothing."""

    table: ScheduleTable
    machine: Machine

    def __call__(self, signature: Signature) -> Choice:
        return self.table.choice(signature) or analytic_choice(signature, self.machine)


_DEFAULTS = asdict(Choice())
_KNOWN: Mapping[str, type] = {field.name: type(_DEFAULTS[field.name]) for field in fields(Choice)} | {
    "gain": float,
    "device": str,
    "model": str,
}


def _entry(path: Path, text: str, values: Any) -> tuple[Signature, Entry]:
    """One line, parsed; UserError where anything in it is not what it should be."""
    try:
        signature = Signature.parse(text)
    except ValueError as error:
        raise UserError(
            f"the schedule table {path} has a line for another fusekit ({error}): tune again"
        ) from None
    given: dict[str, Any] = values if isinstance(values, dict) else {}
    for name, value in given.items():
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"the schedule table {path} gives '{text}' an unknown {name!r}: {hint}known are {', '.join(_KNOWN)}"
            )
        if type(value) is not _KNOWN[name]:
            raise UserError(
                f"the schedule table {path} gives '{text}' {name} = {value!r}: it has to be of type {_KNOWN[name].__name__}"
            )
    if missing := [name for name in ("gain", "device", "model") if name not in given]:
        raise UserError(f"the schedule table {path} does not say the {missing[0]} of '{text}': tune again")
    if not 0 < given["gain"] < inf:
        raise UserError(
            f"the schedule table {path} gives '{text}' gain = {given['gain']}: it has to be above 0 and finite"
        )
    choice = Choice(**{name: value for name, value in given.items() if name in _DEFAULTS})
    return signature, Entry(choice, given["gain"], given["device"], given["model"])


def _inline(entry: Entry) -> str:
    """The entry as an inline table, the block always and of the rest what differs from the default."""
    choice = asdict(entry.choice)
    shown = {
        name: value for name, value in choice.items() if name in ("mr", "nv") or value != _DEFAULTS[name]
    }
    shown |= {"gain": round(entry.gain, 3), "device": entry.device, "model": entry.model}
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in shown.items()) + " }"
