"""The inventory: which devices there are and how to reach them, from one YAML file that holds no secrets.

defaults: {user: pi}                     # for every device whose transport has the key
devices:
  rpi5: {transport: ssh, host: raspberrypi.local, target: rpi5}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UserError

_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SECRETS = frozenset({"password", "passphrase", "secret", "token"})


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: str


class LocalEntry(_Entry):
    """This machine."""

    transport: Literal["local"]
    target: str = "host"


class EmulatedEntry(_Entry):
    """An aarch64 board under qemu-aarch64 on this machine."""

    transport: Literal["emulated"]
    target: str


class SshEntry(_Entry):
    """A board that is reached over SSH."""

    transport: Literal["ssh"]
    host: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    target: str
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    key: str | None = None
    """Path of the private key; without it the keys of ~/.ssh and of the agent are tried, as `ssh` does."""
    agent: bool | None = None
    """Whether to ask ssh-agent; by default only when `key` is not given."""
    known_hosts: str | None = None
    """Path of the file with the recorded host keys; by default fusekit's own."""
    workdir: Annotated[str, Field(pattern=r"^(~/|/)[^/\n]+(/[^/\n]+)*$")] = "~/.cache/fusekit"
    """The one folder on the device that fusekit writes to."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=120, strict=False)] = 10.0
    emulated: bool = False
    """True for a board that is itself an emulator: its answers are checked, its times never shown."""


DeviceEntry = LocalEntry | EmulatedEntry | SshEntry
_ENTRIES: Mapping[str, type[LocalEntry | EmulatedEntry | SshEntry]] = {
    "local": LocalEntry,
    "emulated": EmulatedEntry,
    "ssh": SshEntry,
}


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
            f"{self.path} has no device {name!r}: {_suggest(name, self.devices)}known are {_listing(self.devices)}"
        )


def load_inventory(path: Path) -> Inventory:
    """Read an inventory file; every mistake in it is a `UserError` that names the file and the key.

    Paths in it may start with ~ and are otherwise relative to the file's folder.
    """
    top = _mapping(_read_yaml(path), path, "the file")
    _refuse_unknown(top, ("devices", "defaults"), path, "")
    defaults = _mapping(top.get("defaults") or {}, path, "`defaults`")
    every_key = dict.fromkeys(key for model in _ENTRIES.values() for key in _keys(model))
    _refuse_unknown(defaults, [key for key in every_key if key != "transport"], path, "defaults")
    devices = _mapping(top.get("devices") or {}, path, "`devices`")
    if not devices:
        raise UserError(
            f"{path} lists no devices: add one under `devices:`, such as `local: {{transport: local}}`"
        )
    return Inventory(path, {name: _entry(name, value, defaults, path) for name, value in devices.items()})


def _entry(name: str, value: object, defaults: Mapping[str, object], path: Path) -> DeviceEntry:
    where = f"devices.{name}"
    if not _DEVICE_NAME.fullmatch(name):
        raise UserError(f"{path}: {name!r} is no name for a device: use letters, digits, '.', '_' and '-'")
    given = _mapping(value, path, f"`{where}`")
    transport = given.get("transport")
    if not isinstance(transport, str) or transport not in _ENTRIES:
        came = f"{transport!r} is no transport" if "transport" in given else "`transport` is missing"
        hint = _suggest(transport, _ENTRIES) if isinstance(transport, str) else ""
        raise UserError(f"{path}: {where}: {came}: {hint}known are {_listing(_ENTRIES)}")
    model = _ENTRIES[transport]
    _refuse_unknown(given, _keys(model), path, where)
    inherited = {key: default for key, default in defaults.items() if key in _keys(model)}
    try:
        entry = model.model_validate({**inherited, **given, "name": name})
    except ValidationError as error:
        raise UserError(f"{path}: {where}: {_first_sentence(error)}") from error
    return _with_absolute_paths(entry, path.parent) if isinstance(entry, SshEntry) else entry


def _with_absolute_paths(entry: SshEntry, folder: Path) -> SshEntry:
    def absolute(text: str | None) -> str | None:
        return None if text is None else str(folder.absolute() / Path(text).expanduser())

    return entry.model_copy(update={"key": absolute(entry.key), "known_hosts": absolute(entry.known_hosts)})


def _first_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"`{key}` is missing"
    if key == "workdir" and first["type"] == "string_pattern_mismatch":
        return f"`workdir` is {first['input']!r}: give a folder of its own, such as ~/.cache/fusekit or /data/fusekit"
    problem = first["msg"][0].lower() + first["msg"][1:]
    return f"`{key}` is {first['input']!r}: {problem}"


def _refuse_unknown(
    given: Mapping[str, object], known: list[str] | tuple[str, ...], path: Path, where: str
) -> None:
    prefix = f"{path}: {where}" if where else f"{path}"
    for key in given:
        if key in known:
            continue
        if key in _SECRETS:
            raise UserError(
                f"{prefix}: `{key}` does not belong in an inventory: fusekit logs in with keys only; "
                "type `ssh-copy-id USER@HOST` once and give `key: PATH` where it is not your usual one"
            )
        raise UserError(f"{prefix}: unknown key {key!r}: {_suggest(key, known)}known are {_listing(known)}")


def _keys(model: type[BaseModel]) -> list[str]:
    return [key for key in model.model_fields if key != "name"]


def _suggest(word: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _listing(names: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    return ", ".join(names)


def _mapping(value: object, path: Path, what: str) -> dict[str, object]:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise UserError(f"{path}: {what} must be a mapping of names to values, like `name: value`")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        return mapping


def _read_yaml(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"there is no inventory {path}: give one with `--inventory PATH`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the inventory {path} cannot be read: {error}") from error
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: this is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is no YAML: {error}") from error
