"""Hosts of ~/.ssh/config and of Ansible inventories, as an inventory that loads."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from fusekit.devices import load_inventory
from fusekit.devices.ansible import read_ansible_inventory
from fusekit.devices.imported_host import Imported, ImportedHost
from fusekit.devices.inventory import SshEntry
from fusekit.devices.inventory_text import append_devices
from fusekit.devices.ssh_config import read_ssh_config
from fusekit.errors import UserError

SSH_CONFIG = """
Host pi5 rack-1
  HostName 10.0.0.7
  ProxyJump gate
Host *.example.org !no.example.org
  Port 23
Host gate
  HostName gate.example.org
  Port 2222
Host deep
  User deeper
  ProxyJump admin@outer:2200,gate
Host wrapped
  ProxyCommand nc %h %p
Match exec "touch {folder}/ran" host zebra
  User somebody
Include {folder}/more/*.conf
Host *
  User lab
  IdentityFile ~/.ssh/id_lab
"""

ANSIBLE_INI = """
loner ansible_host=10.1.1.1
[a72]
pi4-[08:10] ansible_host=10.0.1.1 # in the cellar
[a76]
pi5-a ansible_port=2222 ansible_user=me ansible_ssh_private_key_file=~/.ssh/k
pi5-b ansible_password=hunter2
win ansible_connection=winrm
odd ansible_host="{{ address }}"
[rack:children]
a72
a76
[rack:vars]
ansible_user=pi
ansible_ssh_common_args='-o ProxyJump=jump@gate.example.org:2200'
"""

ANSIBLE_YAML = """
all:
  vars: {ansible_user: pi}
  children:
    rack:
      vars: {ansible_port: 2222}
      children:
        a76: {hosts: {pi5-a: {ansible_host: 10.0.0.5, ansible_password: !vault "6162"}}}
    other: {hosts: {"x[1:2]": }}
"""

ANSIBLE_LIST = """
{"_meta": {"hostvars": {"pi5-a": {"ansible_host": "10.0.0.5", "ansible_user": "pi"}}},
 "all": {"children": ["ungrouped", "a76"]}, "a76": {"hosts": ["pi5-a"]}}
"""


def by_name(imported: Imported) -> dict[str, ImportedHost]:
    return {host.name: host for host in imported.hosts}


@pytest.fixture
def ssh_config(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("Host included\n  Port 24\n")
    path = tmp_path / "config"
    path.write_text(SSH_CONFIG.replace("{folder}", str(tmp_path)))
    return path


def test_ssh_config_gives_its_hosts_with_what_patterns_add(ssh_config: Path, tmp_path: Path) -> None:
    imported = read_ssh_config(ssh_config)
    hosts = by_name(imported)
    assert list(hosts)[:6] == ["pi5", "rack-1", "gate", "deep", "wrapped", "included"]
    lab = {"user": "lab", "key": "~/.ssh/id_lab"}
    assert hosts["pi5"] == ImportedHost("pi5", "10.0.0.7", jump="gate", **lab)  # type: ignore[arg-type]
    assert hosts["gate"] == ImportedHost("gate", "gate.example.org", port=2222, target="none", **lab)  # type: ignore[arg-type]
    assert hosts["included"].port == 24
    assert hosts["wrapped"].remarks == ("its ProxyCommand is left out: fusekit knows ProxyJump only",)
    assert not (tmp_path / "ran").exists()


def test_host_with_a_port_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host a b\n  Port many\nHost c\n")
    imported = read_ssh_config(tmp_path / "config")
    assert list(by_name(imported)) == ["c"]
    assert imported.left_out[0] == "a has the port 'many', which is no number, and is left out"


def test_chain_of_jumps_becomes_devices(ssh_config: Path) -> None:
    hosts = by_name(read_ssh_config(ssh_config))
    assert hosts["deep"].jump == "gate-via-outer"
    assert (hosts["gate-via-outer"].host, hosts["gate-via-outer"].jump) == ("gate.example.org", "outer")
    outer = hosts["outer"]
    assert (outer.host, outer.user, outer.port, outer.jump, outer.target) == (
        "outer",
        "admin",
        2200,
        None,
        "none",
    )


def test_ansible_ini_gives_hosts_with_group_variables_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(ANSIBLE_INI)
    imported = read_ansible_inventory(path)
    hosts = by_name(imported)
    assert hosts["loner"] == ImportedHost("loner", "10.1.1.1", getpass.getuser())
    assert [name for name in hosts if name.startswith("pi4")] == ["pi4-08", "pi4-09", "pi4-10"]
    assert hosts["pi4-09"] == ImportedHost(
        "pi4-09", "10.0.1.1", "pi", jump="gate.example.org", tags=("rack", "a72")
    )
    assert (hosts["pi5-a"].user, hosts["pi5-a"].port, hosts["pi5-a"].key) == ("me", 2222, "~/.ssh/k")
    assert hosts["gate.example.org"].target == "none"
    assert imported.left_out == (
        "win is reached by winrm, not by ssh, and is left out",
        "odd has templates that only Ansible fills in: import what `ansible-inventory --list` prints",
    )


def test_passwords_are_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(ANSIBLE_INI)
    host = by_name(read_ansible_inventory(path))["pi5-b"]
    assert host.lines()[0] == "# its password is not copied: it is asked for"
    assert "password: prompt" in host.lines()[1]
    assert "hunter2" not in repr(host)


@pytest.mark.parametrize("text", [ANSIBLE_YAML, ANSIBLE_LIST])
def test_ansible_yaml_and_list_give_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    host = by_name(read_ansible_inventory(path))["pi5-a"]
    assert (host.host, host.user, "a76" in host.tags) == ("10.0.0.5", "pi", True)


def test_ansible_yaml_inherits_and_expands(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(ANSIBLE_YAML)
    hosts = by_name(read_ansible_inventory(path))
    assert list(hosts) == ["pi5-a", "x1", "x2"]
    assert (hosts["pi5-a"].port, hosts["pi5-a"].tags, hosts["x1"].port) == (2222, ("rack", "a76"), 22)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("hosts", "a 'b", ", line 1: this is no line of an Ansible inventory: No closing quotation"),
        ("hosts", "pi[1:99999]", ": the range [1:99999] means no hosts, or more than 10000"),
        ("hosts", "pi[1:3:0]", ": the range [1:3:0] means no hosts, or more than 10000"),
        ("hosts.yml", "[1]", " is no Ansible inventory: it holds no groups"),
    ],
)
def test_broken_ansible_inventory_is_one_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_ansible_inventory(path)
    assert str(caught.value) == f"{path}{sentence}"


def test_broken_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the Ansible inventory .*/none cannot be read: "):
        read_ansible_inventory(tmp_path / "none")
    with pytest.raises(UserError, match=r"^the ssh configuration .*/none cannot be read: "):
        read_ssh_config(tmp_path / "none")
    (tmp_path / "hosts.yml").write_text("a: [")
    with pytest.raises(UserError, match=r"^.*/hosts.yml is no Ansible inventory: while parsing"):
        read_ansible_inventory(tmp_path / "hosts.yml")
    (tmp_path / "config").write_text("Host a\n  what\n")
    with pytest.raises(UserError, match=r"^.*/config is no ssh configuration that can be read: "):
        read_ssh_config(tmp_path / "config")
    (tmp_path / "circle").write_text(f"Include {tmp_path}/circle\n")
    with pytest.raises(UserError, match=r"^.*/circle is included by itself: take the Include out"):
        read_ssh_config(tmp_path / "circle")


@pytest.mark.parametrize(
    "before",
    [
        None,
        "devices:\n",
        "# mine\ndevices:\n    a: {transport: local}   # here\n\n# and\ndefaults: {user: pi}\n",
        "devices:\n  a:\n    transport: local\n",
        "devices:\n  a: {transport: local}",
    ],
)
def test_appended_devices_load_and_everything_else_stays(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "inventory.yaml"
    if before is not None:
        path.write_text(before)
    hosts = [
        ImportedHost("1", "10.0.0.1", "no", tags=("lab",), remarks=("a\x1bb",)),
        ImportedHost("b", "b: c", "u"),
    ]
    append_devices(path, [line for host in hosts for line in host.lines()])
    devices = load_inventory(path).devices
    first, second = devices["1"], devices["b"]
    assert isinstance(first, SshEntry) and isinstance(second, SshEntry)
    assert (first.user, first.tags, second.host) == ("no", ("lab",), "b: c")
    for line in (before or "").splitlines():
        assert line in path.read_text().splitlines()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (
            "devices: {a: {transport: local}}\n",
            " has its `devices` on one line: write each on a line of its own under `devices:`, then they can be added to",
        ),
        ("defaults: {}\n", " has no `devices:` to add to: write that line into it"),
        (
            "devices:\n  a: {transport: lokal}\n",
            ": devices.a: 'lokal' is no transport: did you mean 'local'?",
        ),
    ],
)
def test_inventory_that_cannot_be_added_to_stays_as_it_is(tmp_path: Path, before: str, sentence: str) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(before)
    with pytest.raises(UserError) as caught:
        append_devices(path, ImportedHost("b", "b", "u").lines())
    assert str(caught.value).startswith(f"{path}{sentence}")
    assert path.read_text() == before and list(tmp_path.iterdir()) == [path]
