"""`fusekit devices`: its commands put together, and the list of what the inventory holds."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from ...devices import DeviceEntry
from ...devices.inventory import SshEntry
from .devices_doctor import doctor
from .devices_exec import execute
from .devices_import import import_hosts, print_schema
from .devices_lock import lock, unlock
from .devices_probe import probe
from .devices_trust import trust
from .each_device import at_once
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stdout

devices_app = typer.Typer(no_args_is_help=True, help="The devices of the inventory.")


@devices_app.command("list")
def list_devices(
    inventory: InventoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the devices of the inventory without reaching for them."""
    found = find_inventory(inventory)
    if as_json:
        entries = [entry.model_dump(mode="json", exclude={"via"}) for entry in found.devices.values()]
        sys.stdout.write(json.dumps(entries, indent=1) + "\n")
        return
    table = Table()
    for heading in ("device", "transport", "target", "where", "through", "group", "tags"):
        table.add_column(heading)
    for name, entry in found.devices.items():
        through = entry.jump if isinstance(entry, SshEntry) else None
        row = (
            entry.transport,
            entry.target,
            _where(entry),
            through or "",
            entry.group or "",
            " ".join(entry.tags),
        )
        table.add_row(name, *row)
    console = stdout()
    console.print(str(found.path), soft_wrap=True)
    console.print(table)


@devices_app.command("clean", epilog="Example: fusekit devices clean rpi5")
def clean(name: DevicesArgument, inventory: InventoryOption = None) -> None:
    """Remove everything that fusekit put on devices."""

    def tell(entry: DeviceEntry, removed: int) -> None:
        text = f"{removed} files removed" if removed else "nothing to remove"
        stdout().print(f"{entry.name}: {text}")

    at_once(find_inventory(inventory).select(name), lambda device: device.clean(), tell, "cleaning")


devices_app.command("probe", epilog="Example: fusekit devices probe rpi5")(probe)
devices_app.command("doctor", epilog="Example: fusekit devices doctor all")(doctor)
devices_app.command("trust", epilog="Example: fusekit devices trust rpi5")(trust)
devices_app.command(
    "lock", epilog="Example: fusekit devices lock rpi5 --minutes 30 -- ssh pi@raspberrypi.local"
)(lock)
devices_app.command("unlock", epilog="Example: fusekit devices unlock rpi5")(unlock)
devices_app.command("exec", epilog="Example: fusekit devices exec tag:lab -- uptime")(execute)
devices_app.command("import", epilog="Example: fusekit devices import ssh-config --write")(import_hosts)
devices_app.command("schema", epilog="Example: fusekit devices schema > inventory.schema.json")(print_schema)


def _where(entry: DeviceEntry) -> str:
    if isinstance(entry, SshEntry):
        port = "" if entry.port == 22 else f":{entry.port}"
        return f"{entry.user}@{entry.host}{port}"
    return "this machine" if entry.transport == "local" else "QEMU on this machine"
