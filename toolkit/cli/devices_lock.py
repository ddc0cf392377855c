"""`fusekit devices lock` and `unlock`: having devices for oneself, and taking them back."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Annotated

import typer

from ...devices import DeviceEntry, Lock, open_device
from ...devices.client import signature
from ...errors import UserError
from .each_device import at_once
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stdout


def lock(
    name: DevicesArgument,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND…", help="Runs here; the lock ends with it.")
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.05, max=24 * 60, help="When it ends at the latest.")
    ] = 60,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Minutes to wait for others to finish.")] = 0,
    inventory: InventoryOption = None,
) -> None:
    """Have devices for yourself until COMMAND ends, or else until Ctrl-C: fusekit's commands of others wait or refuse.

    Commands of fusekit that run on a device lock it by themselves: this is for work by hand.
    """
    entries = find_inventory(inventory).select(name)
    names = ", ".join(entry.name for entry in entries)
    console = stdout()
    with ExitStack() as held:
        # In one order for all, so that two people never wait for each other.
        for entry in sorted(entries, key=lambda entry: entry.name):
            device = held.enter_context(open_device(entry))
            held.enter_context(device.lock(signature("by hand"), for_s=60 * minutes, wait_s=60 * wait))
        end = datetime.now() + timedelta(minutes=minutes)
        until = f"until {end:%H:%M:%S} at the latest"
        if command:
            console.print(f"locked: {names}, while the command runs, {until}", soft_wrap=True)
            code = _run(command)
        else:
            console.print(f"locked: {names}, {until}; Ctrl-C ends it", soft_wrap=True)
            code = _wait(60 * minutes)
    console.print(f"unlocked: {names}", soft_wrap=True)
    raise typer.Exit(code)


def unlock(name: DevicesArgument, inventory: InventoryOption = None) -> None:
    """Remove the lock of devices whoever holds it; see first that nothing of theirs is running any more."""

    def tell(entry: DeviceEntry, removed: Lock | None) -> None:
        text = f"the lock of {removed.owner} is removed" if removed else "was not locked"
        stdout().print(f"{entry.name}: {text}", soft_wrap=True)

    at_once(find_inventory(inventory).select(name), lambda device: device.unlock(), tell, "unlocking")


def _run(command: list[str]) -> int:
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise UserError(f"{command[0]} does not start: {error.strerror}") from error


def _wait(seconds: float) -> int:
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    return 0
