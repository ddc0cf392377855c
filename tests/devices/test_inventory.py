from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.devices import load_inventory, open_device
from fusekit.devices.inventory import EmulatedEntry, LocalEntry, SshEntry
from fusekit.errors import UserError

CHECKED_IN = Path(__file__).parents[2] / "inventory.yaml"
TRANSPORTS = "known are local, emulated, ssh"
SSH_KEYS = "known are transport, host, user, target, port, key, agent, known_hosts, workdir, connect_timeout_s, emulated"


def written(folder: Path, text: str) -> Path:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return path


def test_checked_in_file_has_a_new_pi() -> None:
    devices = load_inventory(CHECKED_IN).devices
    assert list(devices) == ["local", "rpi5-emulated", "rpi5"]
    assert devices["local"] == LocalEntry(name="local", transport="local")
    assert devices["rpi5-emulated"] == EmulatedEntry(
        name="rpi5-emulated", transport="emulated", target="rpi5"
    )
    assert devices["rpi5"] == SshEntry(
        name="rpi5", transport="ssh", host="raspberrypi.local", user="pi", target="rpi5"
    )


def test_every_entry_opens_without_a_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path))
    for name, entry in load_inventory(CHECKED_IN).devices.items():
        with open_device(entry) as device:
            assert (device.name, device.transport, device.target) == (name, entry.transport, entry.target)
            assert device.emulated == (name == "rpi5-emulated")


def test_defaults_fill_what_an_entry_leaves_out(tmp_path: Path) -> None:
    text = """
defaults: {user: pi, port: 2222}
devices:
  here: {transport: local}
  a: {transport: ssh, host: a.local, target: rpi4}
  b: {transport: ssh, host: b.local, target: rpi4, user: me}
"""
    devices = load_inventory(written(tmp_path, text)).devices
    a, b = devices["a"], devices["b"]
    assert isinstance(a, SshEntry) and isinstance(b, SshEntry)
    assert (a.user, a.port, b.user, b.port) == ("pi", 2222, "me", 2222)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = "devices: {a: {transport: ssh, host: h, user: u, target: rpi4, key: keys/a, known_hosts: ~/hosts}}"
    entry = load_inventory(written(tmp_path, text)).devices["a"]
    assert isinstance(entry, SshEntry)
    assert (entry.key, entry.known_hosts) == (str(tmp_path / "keys/a"), str(Path.home() / "hosts"))


def ssh(**keys: object) -> str:
    entry = {"transport": "ssh", "host": "h", "user": "u", "target": "rpi5", **keys}
    lines = [f"    {key}: {value}" for key, value in entry.items() if value is not ...]
    return "\n".join(["devices:", "  pi:", *lines, ""])


MISTAKES = [
    (ssh(hots="x"), f": devices.pi: unknown key 'hots': did you mean 'host'? {SSH_KEYS}"),
    (ssh(zebra="x"), f": devices.pi: unknown key 'zebra': {SSH_KEYS}"),
    (ssh(name="x"), f": devices.pi: unknown key 'name': {SSH_KEYS}"),
    (ssh(host=...), ": devices.pi: `host` is missing"),
    (ssh(target=...), ": devices.pi: `target` is missing"),
    (ssh(port="'22'"), ": devices.pi: `port` is '22': input should be a valid integer"),
    (ssh(port="70000"), ": devices.pi: `port` is 70000: input should be less than or equal to 65535"),
    (ssh(agent="'yes'"), ": devices.pi: `agent` is 'yes': input should be a valid boolean"),
    (
        ssh(workdir="'~'"),
        ": devices.pi: `workdir` is '~': give a folder of its own, such as ~/.cache/fusekit or /data/fusekit",
    ),
    (
        ssh(password="x"),
        (
            ": devices.pi: `password` does not belong in an inventory: fusekit logs in with keys only; type "
            "`ssh-copy-id USER@HOST` once and give `key: PATH` where it is not your usual one"
        ),
    ),
    (
        "devices: {pi: {transport: shh}}",
        f": devices.pi: 'shh' is no transport: did you mean 'ssh'? {TRANSPORTS}",
    ),
    ("devices: {pi: {host: h}}", f": devices.pi: `transport` is missing: {TRANSPORTS}"),
    (
        "devices: {a b: {transport: local}}",
        ": 'a b' is no name for a device: use letters, digits, '.', '_' and '-'",
    ),
    ("devices: {pi: ssh}", ": `devices.pi` must be a mapping of names to values, like `name: value`"),
    ("device: {}", ": unknown key 'device': did you mean 'devices'? known are devices, defaults"),
    (
        "devices: {}",
        " lists no devices: add one under `devices:`, such as `local: {transport: local}`",
    ),
    ("- a", ": the file must be a mapping of names to values, like `name: value`"),
    (
        "defaults: {prot: 1}\ndevices: {a: {transport: local}}",
        (
            ": defaults: unknown key 'prot': did you mean 'port'? known are target, host, user, port, key, agent, "
            "known_hosts, workdir, connect_timeout_s, emulated"
        ),
    ),
    (
        "devices:\n  a: {transport: local}\n  a: {transport: local}\n",
        ", line 3: this is no YAML: the key 'a' is given twice",
    ),
    ("devices: {a: [}", ", line 1: this is no YAML: expected the node content, but found '}'"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_inventory(path)
    assert str(caught.value) == f"{path}{sentence}"


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_inventory(tmp_path / "none.yaml")
    assert (
        str(caught.value) == f"there is no inventory {tmp_path}/none.yaml: give one with `--inventory PATH`"
    )


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"^the inventory .*/inventory\.yaml cannot be read: "):
        load_inventory(path)


def test_unknown_device_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    path = written(tmp_path, "devices: {local: {transport: local}, other: {transport: local}}")
    with pytest.raises(UserError) as caught:
        load_inventory(path).entry("lokal")
    assert str(caught.value) == f"{path} has no device 'lokal': did you mean 'local'? known are local, other"
