from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.devices import Inventory, load_inventory
from fusekit.errors import UserError

TEXT = """
defaults: {user: pi}
groups: {rack1: {tags: [lab]}, empty: {}}
devices:
  local: {transport: local}
  gate: {host: gate, target: none, tags: [lab]}
  pi4: {host: pi4, target: rpi4, group: rack1, tags: [a72]}
  pi5: {host: pi5, target: rpi5, group: rack1, tags: [a76]}
  desk: {host: desk, target: rpi5, tags: [a76]}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    path = tmp_path / "inventory.yaml"
    path.write_text(TEXT)
    return load_inventory(path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pi5", "pi5"),
        ("tag:a76", "pi5 desk"),
        ("tag:lab", "pi4 pi5"),
        ("group:rack1", "pi4 pi5"),
        ("all", "local pi4 pi5 desk"),
        ("desk, tag:a76,local,desk", "desk pi5 local"),
        ("gate", "gate"),
    ],
)
def test_text_selects_devices(inventory: Inventory, text: str, names: str) -> None:
    assert [entry.name for entry in inventory.select(text)] == names.split()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pi6", "no device 'pi6': did you mean 'pi5'? known are local, gate, pi4, pi5, desk, all"),
        ("pi5,", "no device '': known are local, gate, pi4, pi5, desk, all"),
        ("tag:a75", "no tag 'a75': did you mean 'a76'? known are lab, a72, a76"),
        ("group:rack2", "no group 'rack2': did you mean 'rack1'? known are rack1"),
        ("rack:1", "no device 'rack:1': known are local, gate, pi4, pi5, desk, all"),
    ],
)
def test_text_that_means_no_device_is_answered_with_the_known_ones(
    inventory: Inventory, text: str, sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        inventory.select(text)
    assert str(caught.value) == f"{inventory.path} has {sentence}"
