from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fusekit.devices.schema import inventory_schema

CHECKED_IN = Path(__file__).parents[2] / "inventory.yaml"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return inventory_schema(["host", "rpi5"])


def errors(schema: dict[str, Any], text: str) -> list[str]:
    return [
        error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(text))
    ]


def test_schema_is_one_and_takes_the_checked_in_inventory(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert errors(schema, CHECKED_IN.read_text()) == []


def test_schema_takes_groups_jumps_and_passwords(schema: dict[str, Any]) -> None:
    text = """
defaults: {user: pi, tags: [lab]}
groups: {rack1: {jump: gate}}
devices:
  gate: {host: gate, target: none, password: {env: GATE_PASSWORD}}
  pi: {host: pi, target: rpi5, group: rack1, password: prompt}
"""
    assert errors(schema, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "devices: {}",
        "device: {}",
        "devices: {a b: {transport: local}}",
        "devices: {a: {host: h, hots: h}}",
        "devices: {a: {host: h, target: rpi6}}",
        "devices: {a: {host: h, password: hunter2}}",
        "devices: {a: {host: h, name: b}}",
        "devices: {a: {user: u}}",
        "defaults: {transport: ssh}\ndevices: {a: {transport: local}}",
    ],
)
def test_schema_refuses_what_the_inventory_refuses(schema: dict[str, Any], text: str) -> None:
    assert errors(schema, text)


def test_every_key_is_explained(schema: dict[str, Any]) -> None:
    for device in schema["properties"]["devices"]["additionalProperties"]["anyOf"]:
        for key, value in device["properties"].items():
            assert key == "transport" or value.get("description"), key
