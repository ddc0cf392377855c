"""`fusekit devices import` and `schema`: inventories from what other tools know, and for editors."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer

from ...devices.entry import NO_TARGET, UNKNOWN_TARGET
from ...devices.imported_host import Imported, ImportedHost
from ...devices.inventory_text import append_devices
from ...devices.schema import inventory_schema
from ...errors import UserError
from .option import InventoryOption, find_inventory
from .screen import stderr, stdout

_HERE = Path("inventory.yaml")


class Source(StrEnum):
    """Whose hosts."""

    SSH_CONFIG = "ssh-config"
    ANSIBLE = "ansible"


def import_hosts(
    source: Annotated[Source, typer.Argument(help="Whose hosts.")],
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="By default ~/.ssh/config; Ansible's has to be given."),
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="PATTERN,…", help="Names to take, such as 'pi*,rack-?'.")
    ] = "*",
    target: Annotated[
        str | None, typer.Option(help="What the devices are; without it, `fusekit devices probe` says later.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Add them to the inventory instead of printing them.")
    ] = False,
    inventory: InventoryOption = None,
) -> None:
    """Turn the hosts of ~/.ssh/config or of an Ansible inventory into lines of a fusekit inventory.

    Host patterns, HostName, User, Port, IdentityFile and ProxyJump are followed; Ansible's groups become tags. For
    Ansible inventories that are made by programs, give the file that `ansible-inventory --list` prints.
    """
    from ...compiler.target import find_target

    if target is not None:
        find_target(target)
    found = _read(source, path)
    chosen = _chosen(found.hosts, only)
    goal = inventory or _HERE
    present = find_inventory(goal).devices if write and goal.exists() else {}
    new = [host for host in chosen if host.name not in present]
    told = stderr()
    for sentence in (
        *found.left_out,
        *(f"{h.name} is in {goal} already" for h in chosen if h.name in present),
    ):
        told.print(f"note: {sentence}", soft_wrap=True)
    lines = [line for host in new for line in _with_target(host, target).lines()]
    if not write:
        stdout().print("\n".join(["devices:", *(f"  {line}" for line in lines)]), soft_wrap=True)
        return
    if lines:
        append_devices(goal, lines)
    told.print(f"{len(new)} devices added to {goal}", soft_wrap=True)
    if new:
        names = ",".join(host.name for host in new if host.target != NO_TARGET)
        told.print(f"next: fusekit devices trust {names}", soft_wrap=True)
        told.print(f"then: fusekit devices probe {names}, which says the target of each", soft_wrap=True)


def print_schema() -> None:
    """Print the JSON schema of inventories, by which an editor completes and checks them."""
    from ...compiler.target import TARGETS

    sys.stdout.write(json.dumps(inventory_schema(["host", *TARGETS]), indent=1) + "\n")


def _read(source: Source, path: Path | None) -> Imported:
    from ...devices.ansible import read_ansible_inventory
    from ...devices.ssh_config import read_ssh_config

    if source is Source.SSH_CONFIG:
        return read_ssh_config(path or Path.home() / ".ssh" / "config")
    if path is None:
        raise UserError("import ansible wants its inventory: type `fusekit devices import ansible FILE`")
    return read_ansible_inventory(path)


def _chosen(hosts: tuple[ImportedHost, ...], only: str) -> list[ImportedHost]:
    """Those that a pattern names, and those that they are reached through."""
    names = {host.name for host in hosts if any(fnmatch(host.name, part.strip()) for part in only.split(","))}
    if not names:
        known = ", ".join(host.name for host in hosts) or "none"
        raise UserError(f"there is no host to import by --only '{only}': known are {known}")
    by_name = {host.name: host for host in hosts}
    for name in list(names):
        jump = by_name[name].jump
        while jump is not None and jump not in names:
            names.add(jump)
            jump = by_name[jump].jump
    return [host for host in hosts if host.name in names]


def _with_target(host: ImportedHost, target: str | None) -> ImportedHost:
    """With the option's target, but for one that others are reached through."""
    return host if target is None or host.target != UNKNOWN_TARGET else replace(host, target=target)
