"""`fusekit devices trust`: host keys, recorded after a person has seen their fingerprints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import paramiko
import typer

from ...devices.inventory import SshEntry
from ...devices.trust import HostKey, host_id, recorded_keys, scan
from ...devices.trust import trust as record_key
from ...errors import UserError
from .option import DevicesArgument, InventoryOption, find_inventory
from .screen import stdout


def trust(
    name: DevicesArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Record the keys without asking.")] = False,
    inventory: InventoryOption = None,
) -> None:
    """Show the fingerprints of devices' host keys and record each key if you agree; those jumped through come first.

    On the board, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints the fingerprint to compare with.
    """
    entries = find_inventory(inventory).select(name)
    with_keys = [entry for entry in entries if isinstance(entry, SshEntry)]
    if not with_keys:
        raise UserError(
            f"{entries[0].name} is reached by '{entries[0].transport}' and has no host key: only ssh devices have one"
        )
    links = {link.name: link for entry in with_keys for link in _way_to(entry)}
    for link in links.values():
        _trust_one(link, yes)


def _way_to(entry: SshEntry) -> Iterator[SshEntry]:
    """The machines on the way to a device, the nearest first, and the device."""
    if entry.via is not None:
        yield from _way_to(entry.via)
    yield entry


def _trust_one(entry: SshEntry, yes: bool) -> None:
    key = scan(entry)
    console = stdout()
    if key in recorded_keys(entry):
        console.print(f"{entry.name} is trusted already: {key.type} {key.fingerprint}", soft_wrap=True)
        return
    console.print(
        f"{entry.name} at {entry.host} port {entry.port} shows the key {key.type} {key.fingerprint}",
        soft_wrap=True,
    )
    if _is_known_to_ssh(entry, key):
        console.print("ssh has the same key for it in ~/.ssh/known_hosts", soft_wrap=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(
                f"there is no terminal to ask on: compare the fingerprint and type "
                f"`fusekit devices trust {entry.name} --yes`"
            )
        typer.confirm("Is it the board's?", abort=True)
    console.print(f"recorded in {record_key(entry, key)}", soft_wrap=True)


def _is_known_to_ssh(entry: SshEntry, key: HostKey) -> bool:
    path = Path.home() / ".ssh" / "known_hosts"
    try:
        found = paramiko.HostKeys(str(path)).lookup(host_id(entry))
    except OSError:
        return False
    return found is not None and any(HostKey.of(other) == key for other in found.values())
