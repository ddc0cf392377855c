"""A password is read where it is used, and shown nowhere."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from fusekit.devices import DeviceError, load_inventory
from fusekit.devices import entry as entry_module
from fusekit.devices.inventory import SshEntry


def entry(folder: Path, password: str) -> SshEntry:
    path = folder / "inventory.yaml"
    path.write_text(f"devices: {{pi: {{host: h, user: me, target: rpi5, password: {password}}}}}")
    found = load_inventory(path).entry("pi")
    assert isinstance(found, SshEntry)
    return found


def test_password_comes_from_the_environment_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi = entry(tmp_path, "{env: PI_PASSWORD}")
    monkeypatch.setenv("PI_PASSWORD", "hunter2")
    assert pi.read_password() == "hunter2"
    assert "hunter2" not in f"{pi!r} {pi} {pi.model_dump_json()}"


def test_password_of_a_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PI_PASSWORD", raising=False)
    with pytest.raises(DeviceError) as caught:
        entry(tmp_path, "{env: PI_PASSWORD}").read_password()
    assert caught.value.kind == "auth"
    assert str(caught.value) == (
        "the password of pi comes from the environment variable PI_PASSWORD, which is not set: "
        "type `read -rs PI_PASSWORD && export PI_PASSWORD` first"
    )


def test_password_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "hunter2"

    monkeypatch.setattr(getpass, "getpass", ask)
    monkeypatch.setattr(entry_module, "has_terminal", lambda: True)
    entry_module.ask_once.cache_clear()
    pi = entry(tmp_path, "prompt")
    assert (pi.read_password(), pi.read_password()) == ("hunter2", "hunter2")
    assert asked == ["password of me@h (pi): "]
    assert "hunter2" not in repr(pi)


def test_password_without_anybody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_module, "has_terminal", lambda: False)
    entry_module.ask_once.cache_clear()
    with pytest.raises(DeviceError) as caught:
        entry(tmp_path, "prompt").read_password()
    assert caught.value.kind == "auth"
    assert str(caught.value) == (
        "pi has `password: prompt` and there is no terminal to ask on: give `password: {env: NAME}` in the inventory, "
        "or a `key`"
    )


def test_device_without_a_password(tmp_path: Path) -> None:
    assert entry(tmp_path, "null").read_password() is None
