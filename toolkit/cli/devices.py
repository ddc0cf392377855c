"""`fusekit devices`: what the inventory holds, what the devices are, whom to trust, and cleaning up."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from ...devices import DeviceEntry, Facts
from ...devices.inventory import SshEntry
from ...devices.trust import recorded_keys, scan
from ...devices.trust import trust as record_key
from ...errors import UserError
from .option import InventoryOption, find_device, find_inventory
from .screen import stdout

devices_app = typer.Typer(no_args_is_help=True, help="The devices of the inventory.")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A device of the inventory.")]


@devices_app.command("list")
def list_devices(inventory: InventoryOption = None) -> None:
    """List the devices of the inventory without reaching for them."""
    found = find_inventory(inventory)
    table = Table()
    for heading in ("device", "transport", "target", "where"):
        table.add_column(heading)
    for name, entry in found.devices.items():
        table.add_row(name, entry.transport, entry.target, _where(entry))
    console = stdout()
    console.print(str(found.path), soft_wrap=True)
    console.print(table)


@devices_app.command("probe", epilog="Example: fusekit devices probe rpi5")
def probe(name: NameArgument, inventory: InventoryOption = None) -> None:
    """Ask a device what it is and in which state."""
    with find_device(name, inventory) as device:
        facts = device.probe()
    table = Table(show_header=False)
    for key, value in _describe(facts):
        table.add_row(key, value)
    stdout().print(table)


@devices_app.command("trust", epilog="Example: fusekit devices trust rpi5")
def trust(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Record the key without asking.")] = False,
    inventory: InventoryOption = None,
) -> None:
    """Show the fingerprint of a device's host key and record the key if you agree.

    On the board, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints the fingerprint to compare with.
    """
    entry = find_inventory(inventory).entry(name)
    if not isinstance(entry, SshEntry):
        raise UserError(
            f"{name} is reached by '{entry.transport}' and has no host key: only ssh devices have one"
        )
    key = scan(entry)
    console = stdout()
    if key in recorded_keys(entry):
        console.print(f"{name} is trusted already: {key.type} {key.fingerprint}", soft_wrap=True)
        return
    console.print(
        f"{name} at {entry.host} port {entry.port} shows the key {key.type} {key.fingerprint}", soft_wrap=True
    )
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(
                f"there is no terminal to ask on: compare the fingerprint and type "
                f"`fusekit devices trust {name} --yes`"
            )
        typer.confirm("Is it the board's?", abort=True)
    console.print(f"recorded in {record_key(entry, key)}", soft_wrap=True)


@devices_app.command("clean", epilog="Example: fusekit devices clean rpi5")
def clean(name: NameArgument, inventory: InventoryOption = None) -> None:
    """Remove everything that fusekit put on a device."""
    with find_device(name, inventory) as device:
        removed = device.clean()
    stdout().print(f"{name}: {removed} files removed" if removed else f"{name}: nothing to remove")


def _where(entry: DeviceEntry) -> str:
    if isinstance(entry, SshEntry):
        port = "" if entry.port == 22 else f":{entry.port}"
        return f"{entry.user}@{entry.host}{port}"
    return "this machine" if entry.transport == "local" else "QEMU on this machine"


def _describe(facts: Facts) -> list[tuple[str, str]]:
    rows = [
        ("model", facts.model),
        ("architecture", facts.arch),
        ("system", f"{facts.os}, Linux {facts.kernel}"),
        ("CPUs", f"{facts.n_cpus} {' '.join(facts.cpu_parts)}".strip()),
        ("features", " ".join(facts.features)),
    ]
    if facts.memory_bytes is not None:
        rows.append(("memory", f"{facts.memory_bytes / 2**30:.1f} GiB"))
    if facts.governor is not None:
        rows.append(("governor", facts.governor))
    if facts.freq_khz is not None:
        rows.append(("clock", f"{facts.freq_khz // 1000} MHz"))
    if facts.temperature_mc is not None:
        rows.append(("temperature", f"{facts.temperature_mc / 1000:.1f} °C"))
    if facts.throttled is not None:
        rows.append(("throttled", facts.throttled))
    if facts.load1 is not None:
        rows.append(("load", f"{facts.load1:.2f}"))
    return rows
