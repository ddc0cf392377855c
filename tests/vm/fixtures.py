"""Pytest fixtures: virtual machines, and one as a device that fusekit reaches as `vm`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fusekit.devices import Device, load_inventory, open_device
from fusekit.toolkit.lab.board import ADDRESS, make_key

from .initramfs import USER
from .machine import Machine, missing

Boot = Callable[[str], Machine]


@pytest.fixture(scope="module")
def user_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Skip where there is no machine; with FUSEKIT_REQUIRE_LANES=1 that is a failure."""
    reason = missing()
    if reason:
        if os.environ.get("FUSEKIT_REQUIRE_LANES") == "1":
            pytest.fail(f"the lane of the virtual machine is required: {reason}")
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("user") / "id_ed25519"
    make_key(path)
    return path


@pytest.fixture(scope="module")
def boot(user_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boots a machine by name that runs until the end of the module."""
    authorized = user_key.with_name(f"{user_key.name}.pub").read_text()
    with ExitStack() as machines:
        yield lambda name: machines.enter_context(Machine(tmp_path_factory.mktemp("vm") / name, authorized))


@pytest.fixture(scope="module")
def machine(boot: Boot) -> Machine:
    return boot("machine")


@pytest.fixture
def inventory(machine: Machine, user_key: Path, tmp_path: Path) -> Path:
    """An inventory with the machine as `vm`, trusted."""
    return describe(machine, user_key, tmp_path, machine.port)


@pytest.fixture
def device(inventory: Path) -> Iterator[Device]:
    with open_device(load_inventory(inventory).entry("vm")) as device:
        yield device
        device.clean()


def describe(machine: Machine, key: Path, folder: Path, port: int) -> Path:
    """Write an inventory with a machine as `vm`, reached at `port`, and its host key."""
    (folder / "known_hosts").write_text(f"[{ADDRESS}]:{port} {machine.host_key}\n")
    inventory = folder / "vm.yaml"
    inventory.write_text(
        "devices:\n"
        f"  vm: {{transport: ssh, host: {ADDRESS}, port: {port}, user: {USER}, key: {key},\n"
        "       known_hosts: known_hosts, target: rpi5, emulated: true}\n"
    )
    return inventory
