"""The JSON schema of an inventory, by which editors complete, explain and check it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from .entry import NAME_PATTERN, NO_TARGET, UNKNOWN_TARGET, EmulatedEntry, LocalEntry, SshEntry

_NOT_IN_THE_FILE = ("name", "via")


def inventory_schema(targets: Sequence[str]) -> dict[str, Any]:
    """Return the schema; `targets` are those that the compiler knows.

    `user` and `target` may come from `defaults` or a group, so a device need not have them itself: what is missing
    then, `fusekit devices list` says.
    """
    known_targets = [*targets, UNKNOWN_TARGET, NO_TARGET]
    ssh = _properties(SshEntry, known_targets)
    devices = [
        {**_object(ssh), "required": ["host"]},
        {**_object(_properties(EmulatedEntry, known_targets)), "required": ["transport"]},
        {**_object(_properties(LocalEntry, known_targets)), "required": ["transport"]},
    ]
    shared = _object({key: value for key, value in ssh.items() if key not in ("transport", "group")})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fusekit inventory",
        **_object(
            {
                "defaults": {
                    **shared,
                    "description": "Settings for every device whose transport has the key.",
                },
                "groups": _named(
                    shared, "Settings for every device with `group: NAME`, on top of `defaults`."
                ),
                "devices": {**_named({"anyOf": devices}, "The devices by name."), "minProperties": 1},
            }
        ),
        "required": ["devices"],
    }


def _properties(entry: type[SshEntry | EmulatedEntry | LocalEntry], targets: Sequence[str]) -> dict[str, Any]:
    schema = TypeAdapter(entry).json_schema()
    definitions = schema.get("$defs", {})
    properties = definitions.get(entry.__name__, schema)["properties"]
    found = {
        key: _inlined(value, definitions) for key, value in properties.items() if key not in _NOT_IN_THE_FILE
    }
    return {**found, "target": {**found["target"], "enum": list(targets)}}


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    """Without references, which the parts of this schema could not follow."""
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(inner, definitions) for key, inner in value.items() if key != "title"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _named(value: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": NAME_PATTERN},
        "additionalProperties": value,
    }
