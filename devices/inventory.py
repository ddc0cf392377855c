"""The inventory: which devices there are and how to reach them, from one YAML file that holds no secrets.

defaults: {user: pi}                       # for every device whose transport has the key
groups:
  rack1: {jump: gate, tags: [lab]}         # for every device with `group: rack1`
devices:
  gate: {host: gate.example.org, target: none}
  rpi5: {host: raspberrypi.local, target: rpi5, group: rack1, tags: [a76]}
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ..errors import UserError
from .entry import NAME_PATTERN, DeviceEntry, EmulatedEntry, LocalEntry, SshEntry
from .selection import ALL, select, suggest
from .strict_yaml import read_yaml

__all__ = ["DeviceEntry", "EmulatedEntry", "Inventory", "LocalEntry", "SshEntry", "load_inventory"]

_NAME = re.compile(NAME_PATTERN)
_SECRETS = frozenset({"passphrase", "secret", "token"})
_ENTRIES: Mapping[str, type[LocalEntry | EmulatedEntry | SshEntry]] = {
    "local": LocalEntry,
    "emulated": EmulatedEntry,
    "ssh": SshEntry,
}
_NOT_IN_THE_FILE = ("name", "via")


@dataclass(frozen=True)
class Inventory:
    """The devices of one file, in its order."""

    path: Path
    devices: Mapping[str, DeviceEntry]

    def entry(self, name: str) -> DeviceEntry:
        """Return the entry of a device; raises `UserError` with the known names."""
        if name in self.devices:
            return self.devices[name]
        raise UserError(
            f"{self.path} has no device {name!r}: {suggest(name, self.devices)}known are {', '.join(self.devices)}"
        )

    def select(self, text: str) -> tuple[DeviceEntry, ...]:
        """Return the devices that a `--device` option means: NAME, tag:WORD, group:NAME or all, by comma.

        Each device once, at its first mention; raises `UserError` where a part means none.
        """
        return select(text, self.devices, self.path)


def load_inventory(path: Path) -> Inventory:
    """Read an inventory file; every mistake in it is a `UserError` that names the file and the key.

    Paths in it may start with ~ and are otherwise relative to the file's folder.
    """
    top = _mapping(read_yaml(path), path, "the file")
    _refuse_unknown(top, ("devices", "defaults", "groups"), path, "")
    defaults = _shared(top.get("defaults"), path, "defaults")
    groups = {
        _checked_name(name, "group", path): {**defaults, **_shared(value, path, f"groups.{name}")}
        for name, value in _mapping(top.get("groups") or {}, path, "`groups`").items()
    }
    devices = _mapping(top.get("devices") or {}, path, "`devices`")
    if not devices:
        raise UserError(
            f"{path} lists no devices: add one under `devices:`, such as `local: {{transport: local}}`"
        )
    entries = {name: _entry(name, value, defaults, groups, path) for name, value in devices.items()}
    return Inventory(path, {name: _with_via(entry, entries, path) for name, entry in entries.items()})


def _checked_name(name: str, what: str, path: Path) -> str:
    if _NAME.fullmatch(name) and name != ALL:
        return name
    raise UserError(
        f"{path}: {name!r} is no name for a {what}: use letters, digits, '.', '_' and '-', and another word than 'all'"
    )


def _shared(value: object, path: Path, where: str) -> dict[str, object]:
    """Settings for several devices, of whichever transport."""
    given = _mapping(value or {}, path, f"`{where}`")
    known = [
        key for key in _keys(SshEntry) if key not in ("transport", "group")
    ]  # other transports have a part of them
    _refuse_unknown(given, known, path, where)
    return given


def _entry(
    name: str,
    value: object,
    defaults: Mapping[str, object],
    groups: Mapping[str, Mapping[str, object]],
    path: Path,
) -> DeviceEntry:
    where = f"devices.{_checked_name(name, 'device', path)}"
    given = _mapping(value, path, f"`{where}`")
    transport = given.get("transport", "ssh" if "host" in given else None)
    if not isinstance(transport, str) or transport not in _ENTRIES:
        came = (
            f"{transport!r} is no transport" if "transport" in given else "`host` or `transport` is missing"
        )
        hint = suggest(transport, _ENTRIES) if isinstance(transport, str) else ""
        raise UserError(f"{path}: {where}: {came}: {hint}known are {', '.join(_ENTRIES)}")
    model = _ENTRIES[transport]
    _refuse_unknown(given, _keys(model), path, where)
    shared = _settings_of(given.get("group"), defaults, groups, path, where)
    inherited = {key: setting for key, setting in shared.items() if key in _keys(model)}
    tags = {"tags": _all_tags(shared, given)} if {"tags"} & (shared.keys() | given.keys()) else {}
    try:
        entry = model.model_validate({**inherited, **given, **tags, "transport": transport, "name": name})
    except ValidationError as error:
        raise UserError(f"{path}: {where}: {_first_sentence(error)}") from error
    return _with_absolute_paths(entry, path.parent) if isinstance(entry, SshEntry) else entry


def _settings_of(
    group: object,
    defaults: Mapping[str, object],
    groups: Mapping[str, Mapping[str, object]],
    path: Path,
    where: str,
) -> Mapping[str, object]:
    if group is None:
        return defaults
    if isinstance(group, str) and group in groups:
        return groups[group]
    known = f"known are {', '.join(groups)}" if groups else f"add it, `groups: {{{group}: {{}}}}`"
    raise UserError(
        f"{path}: {where}: `group` is {group!r}, which is not under `groups`: {suggest(str(group), groups)}{known}"
    )


def _all_tags(shared: Mapping[str, object], given: Mapping[str, object]) -> object:
    """A device's own tags come on top of those of its group; other keys replace them."""
    ours, theirs = shared.get("tags") or [], given.get("tags") or []
    if isinstance(ours, list) and isinstance(theirs, list):
        return [*ours, *(tag for tag in theirs if tag not in ours)]
    return theirs or ours


def _with_via(entry: DeviceEntry, entries: Mapping[str, DeviceEntry], path: Path) -> DeviceEntry:
    """Resolve `jump`, along the whole chain."""
    if not isinstance(entry, SshEntry) or entry.jump is None:
        return entry
    chain = [entry]
    while (jump := chain[-1].jump) is not None:
        where = f"{path}: devices.{chain[-1].name}: `jump` is {jump!r}"
        following = entries.get(jump)
        if not isinstance(following, SshEntry):
            known = [
                name for name, other in entries.items() if isinstance(other, SshEntry) and other != chain[-1]
            ]
            raise UserError(
                f"{where}, which is no ssh device: {suggest(jump, known)}known are {', '.join(known)}"
            )
        if following in chain:
            names = " → ".join([*(link.name for link in chain), jump])
            raise UserError(f"{where}, which never arrives: {names}")
        chain.append(following)
    via = chain.pop()
    while chain:
        via = chain.pop().model_copy(update={"via": via})
    return via


def _with_absolute_paths(entry: SshEntry, folder: Path) -> SshEntry:
    def absolute(text: str | None) -> str | None:
        return None if text is None else str(folder.absolute() / Path(text).expanduser())

    return entry.model_copy(update={"key": absolute(entry.key), "known_hosts": absolute(entry.known_hosts)})


def _first_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = str(first["loc"][0])
    if first["type"] == "missing" and key != "password":
        return f"`{key}` is missing"
    if key == "password":  # what was given may be the password: it is not repeated
        return (
            "`password` says where the password comes from, never the password itself: write `password: prompt` or "
            "`password: {env: NAME}` with the name of an environment variable"
        )
    if key == "tags":
        return f"`tags` holds {reprlib.repr(first['input'])}: write words of letters, digits, '.', '_' and '-', like [lab, a76]"
    if key == "workdir" and first["type"] == "string_pattern_mismatch":
        return f"`workdir` is {first['input']!r}: give a folder of its own, such as ~/.cache/fusekit or /data/fusekit"
    problem = first["msg"][0].lower() + first["msg"][1:]
    return f"`{key}` is {reprlib.repr(first['input'])}: {problem}"


def _refuse_unknown(given: Mapping[str, object], known: Sequence[str], path: Path, where: str) -> None:
    prefix = f"{path}: {where}" if where else f"{path}"
    for key in given:
        if key in known:
            continue
        if key in _SECRETS:
            raise UserError(
                f"{prefix}: `{key}` does not belong in an inventory, which holds no secrets: type `ssh-add PATH` for a "
                "key with a passphrase, or give `password: prompt` or `password: {env: NAME}`"
            )
        raise UserError(f"{prefix}: unknown key {key!r}: {suggest(key, known)}known are {', '.join(known)}")


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys that a device of the file may have, those that describe it before those that select it."""
    keys = [key for key in model.model_fields if key not in _NOT_IN_THE_FILE]
    return sorted(keys, key=lambda key: key in ("tags", "group"))


def _mapping(value: object, path: Path, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {what} must be a mapping of names to values, like `name: value`")
    for key in value:
        if not isinstance(key, str):
            raise UserError(
                f"{path}: {what} has the key {key!r}, which is no text in YAML: write it in quotes"
            )
    return value
