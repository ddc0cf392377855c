from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from fusekit.compiler.target import TARGETS
from fusekit.devices import load_inventory, open_device
from fusekit.devices.inventory import EmulatedEntry, LocalEntry, SshEntry
from fusekit.devices.schema import inventory_schema
from fusekit.errors import UserError

CHECKED_IN = Path(__file__).parents[2] / "inventory.yaml"
TRANSPORTS = "known are local, emulated, ssh"
SHARED_KEYS = "host, user, target, port, jump, key, agent, password, known_hosts, workdir, connect_timeout_s, emulated, tags"
SSH_KEYS = f"known are transport, {SHARED_KEYS}, group"
PASSWORD = (
    "`password` says where the password comes from, never the password itself: write `password: prompt` or "
    "`password: {env: NAME}` with the name of an environment variable"
)
NAME = "use letters, digits, '.', '_' and '-', and another word than 'all'"


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


def test_inventories_of_the_document_load_and_keep_their_schema(tmp_path: Path) -> None:
    document = (CHECKED_IN.parent / "docs" / "adding-a-device.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    assert list(load_inventory(written(tmp_path, first)).devices) == ["rpi5"]
    inventory = load_inventory(written(tmp_path, second))
    assert [entry.name for entry in inventory.select("group:rack1,shed")] == ["shelf-1", "shelf-2", "shed"]
    validator = jsonschema.Draft202012Validator(inventory_schema(["host", *TARGETS]))
    for text in (first, second):
        validator.validate(yaml.safe_load(text))


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


def test_group_settings_lie_between_defaults_and_a_device(tmp_path: Path) -> None:
    text = """
defaults: {user: pi, port: 2222, tags: [lab]}
groups:
  rack1: {port: 3333, target: rpi4, tags: [rack, lab]}
devices:
  a: {host: a.local, group: rack1, tags: [a72]}
  b: {host: b.local, group: rack1, port: 22, target: rpi5}
  c: {host: c.local, target: rpi3}
"""
    devices = load_inventory(written(tmp_path, text)).devices
    a, b, c = (devices[name] for name in "abc")
    assert isinstance(a, SshEntry) and isinstance(b, SshEntry) and isinstance(c, SshEntry)
    assert (a.user, a.port, a.target, a.tags) == ("pi", 3333, "rpi4", ("rack", "lab", "a72"))
    assert (b.port, b.target, b.tags) == (22, "rpi5", ("rack", "lab"))
    assert (c.port, c.target, c.tags) == (2222, "rpi3", ("lab",))


def test_jump_is_resolved_along_its_chain(tmp_path: Path) -> None:
    text = """
defaults: {user: pi, target: rpi5}
devices:
  pi: {host: 10.0.0.7, jump: rack}
  rack: {host: rack, jump: gate, target: none, key: keys/rack}
  gate: {host: gate.example.org, target: none}
"""
    pi = load_inventory(written(tmp_path, text)).devices["pi"]
    assert isinstance(pi, SshEntry) and pi.via is not None and pi.via.via is not None
    assert (pi.via.name, pi.via.key, pi.via.via.host) == (
        "rack",
        str(tmp_path / "keys/rack"),
        "gate.example.org",
    )
    assert pi.via.via.via is None


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
    (ssh(password="hunter2"), f": devices.pi: {PASSWORD}"),
    (ssh(password="{env: 7}"), f": devices.pi: {PASSWORD}"),
    (ssh(password="{evn: NAME}"), f": devices.pi: {PASSWORD}"),
    (
        ssh(passphrase="x"),
        (
            ": devices.pi: `passphrase` does not belong in an inventory, which holds no secrets: type `ssh-add PATH` "
            "for a key with a passphrase, or give `password: prompt` or `password: {env: NAME}`"
        ),
    ),
    (
        ssh(tags="[a b]"),
        ": devices.pi: `tags` holds 'a b': write words of letters, digits, '.', '_' and '-', like [lab, a76]",
    ),
    (
        ssh(tags="lab"),
        ": devices.pi: `tags` holds 'lab': write words of letters, digits, '.', '_' and '-', like [lab, a76]",
    ),
    (
        ssh(group="rack"),
        ": devices.pi: `group` is 'rack', which is not under `groups`: add it, `groups: {rack: {}}`",
    ),
    (
        "groups: {rack1: {}}\ndevices: {a: {transport: local, group: rack2}}",
        ": devices.a: `group` is 'rack2', which is not under `groups`: did you mean 'rack1'? known are rack1",
    ),
    ("groups: {a b: {}}\ndevices: {a: {transport: local}}", f": 'a b' is no name for a group: {NAME}"),
    (
        "devices: {here: {transport: local}, gate: {host: h, user: u, target: t}, pi: {host: h, user: u, target: t, jump: gatr}}",
        ": devices.pi: `jump` is 'gatr', which is no ssh device: did you mean 'gate'? known are gate",
    ),
    (
        "devices: {a: {host: h, user: u, target: t, jump: b}, b: {host: h, user: u, target: t, jump: a}}",
        ": devices.b: `jump` is 'a', which never arrives: a → b → a",
    ),
    (
        "devices: {pi: {transport: shh}}",
        f": devices.pi: 'shh' is no transport: did you mean 'ssh'? {TRANSPORTS}",
    ),
    ("devices: {pi: {user: u}}", f": devices.pi: `host` or `transport` is missing: {TRANSPORTS}"),
    ("devices: {a b: {transport: local}}", f": 'a b' is no name for a device: {NAME}"),
    ("devices: {all: {transport: local}}", f": 'all' is no name for a device: {NAME}"),
    ("devices: {pi: ssh}", ": `devices.pi` must be a mapping of names to values, like `name: value`"),
    (
        "devices: {off: {transport: local}}",
        ": `devices` has the key False, which is no text in YAML: write it in quotes",
    ),
    ("device: {}", ": unknown key 'device': did you mean 'devices'? known are devices, defaults, groups"),
    (
        "devices: {}",
        " lists no devices: add one under `devices:`, such as `local: {transport: local}`",
    ),
    ("- a", ": the file must be a mapping of names to values, like `name: value`"),
    (
        "defaults: {prot: 1}\ndevices: {a: {transport: local}}",
        f": defaults: unknown key 'prot': did you mean 'port'? known are {SHARED_KEYS}",
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


def test_file_that_everybody_can_write(tmp_path: Path) -> None:
    path = written(tmp_path, "devices: {local: {transport: local}}")
    path.chmod(0o666)
    with pytest.raises(UserError) as caught:
        load_inventory(path)
    assert str(caught.value) == (
        f"the inventory {path} can be written by everybody, who could lead you to another machine: type `chmod o-w {path}`"
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
