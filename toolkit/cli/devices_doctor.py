"""`fusekit devices doctor`: what to mend on devices before measuring."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from ...devices import Device, DeviceEntry, Facts, Lock
from ..doctor import diagnose
from .each_device import at_once
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stdout


def doctor(
    name: DevicesArgument,
    inventory: InventoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say what on a device spoils measurements, and the command that mends it; nothing is changed there.

    Exits with code 2 where there is something to mend.
    """
    answers: dict[str, object] = {}
    found_any = False

    def tell(entry: DeviceEntry, answer: tuple[Facts, Lock | None]) -> None:
        nonlocal found_any
        findings = diagnose(entry, *answer)
        found_any = found_any or bool(findings)
        if as_json:
            answers[entry.name] = [dataclasses.asdict(finding) for finding in findings]
            return
        console = stdout()
        if not findings:
            console.print(f"{entry.name}: nothing to fix", style="green")
        for finding in findings:
            console.print(f"{entry.name}: {finding.problem}", soft_wrap=True)
            console.print(f"  → {finding.fix}", soft_wrap=True, style="cyan")

    try:
        at_once(find_inventory(inventory).select(name), _examine, tell, "examining")
    finally:
        if answers:
            sys.stdout.write(json.dumps(answers, indent=1) + "\n")
    if found_any:
        raise typer.Exit(2)


def _examine(device: Device) -> tuple[Facts, Lock | None]:
    return device.probe(), device.locked()
