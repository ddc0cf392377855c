"""`fusekit devices exec`: a command in a shell on devices."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from ...devices import Completed, Device, DeviceEntry, DeviceError
from ...devices.printable import printable
from ...errors import UserError
from .each_device import at_once
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stderr, stdout

_LIMIT_BYTES = 1 << 20


def execute(
    name: DevicesArgument,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND…")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, max=3600, help="Seconds until it is ended.")
    ] = 60,
    inventory: InventoryOption = None,
) -> None:
    """Run COMMAND on devices, in the home folder, and print what it writes, up to 1 MiB of each device.

    Several words are a command and its arguments, exactly as they are; one word is a line for the shell there. Exits
    with code 1 where a command failed.
    """
    if not command:
        raise UserError(
            f"there is no command to run: write it after two hyphens, `fusekit devices exec {name} -- uptime`"
        )
    script = command[0] if len(command) == 1 else shlex.join(command)
    entries = find_inventory(inventory).select(name)
    failed = False

    def run(device: Device) -> Completed:
        try:
            return device.run(["sh", "-c", script], cwd=".", timeout_s=timeout)
        except DeviceError as error:
            if error.kind == "crash" and error.completed is not None:
                return error.completed
            raise

    def tell(entry: DeviceEntry, done: Completed) -> None:
        nonlocal failed
        prefix = f"{entry.name}: " if len(entries) > 1 else ""
        for console, output in ((stdout(), done.stdout), (stderr(), done.stderr)):
            for line in _lines(output):
                console.print(f"{prefix}{line}", soft_wrap=True)
        if done.exit_code != 0:
            failed = True
            stderr().print(f"{entry.name}: exit code {done.exit_code}")

    at_once(entries, run, tell, "running")
    if failed:
        raise typer.Exit(1)


def _lines(output: bytes) -> list[str]:
    """Safe for a terminal, whatever the device wrote."""
    lines = output[:_LIMIT_BYTES].decode(errors="replace").splitlines()
    cut = [f"… {len(output) - _LIMIT_BYTES} bytes more"] if len(output) > _LIMIT_BYTES else []
    return [printable(line.expandtabs()) for line in lines] + cut
