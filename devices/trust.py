"""Which host keys are trusted: fusekit's own known_hosts file, in OpenSSH's format.

Nothing is ever accepted on first sight: a key gets into the file by `trust` alone, after a person has seen its
fingerprint.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import paramiko

from .device import DeviceError
from .inventory import SshEntry


@dataclass(frozen=True)
class HostKey:
    """A host's public key: its type ("ssh-ed25519") and its base64 text, as in a known_hosts line."""

    type: str
    text: str

    @staticmethod
    def of(key: paramiko.PKey) -> HostKey:
        return HostKey(key.get_name(), key.get_base64())

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: SHA256:…"""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def config_dir() -> Path:
    """Return the folder of what a person decided: FUSEKIT_CONFIG or ~/.config/fusekit."""
    return Path(os.environ.get("FUSEKIT_CONFIG") or Path.home() / ".config" / "fusekit")


def known_hosts_path(entry: SshEntry) -> Path:
    """Return the file that holds the trusted host key of a device."""
    return Path(entry.known_hosts) if entry.known_hosts else config_dir() / "known_hosts"


def scan(entry: SshEntry) -> HostKey:
    """Ask a device for its host key, without logging in; kind "unreachable" where nothing answers."""
    # The way to it may lead through another machine, whose key is checked here.
    from .route import open_link

    transport = paramiko.Transport(cast(socket.socket, open_link(entry)))
    try:
        transport.start_client(timeout=entry.connect_timeout_s)
        return HostKey.of(transport.get_remote_server_key())
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise not_ssh(entry, error) from error
    finally:
        transport.close()


def trust(entry: SshEntry, key: HostKey) -> Path:
    """Record a host key and return the file; kind "host_key" where another one is recorded for this address."""
    path = known_hosts_path(entry)
    recorded = recorded_keys(entry)
    if key in recorded:
        return path
    if recorded:
        raise changed_key(entry, key, recorded[0])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = path.read_text() if path.exists() else ""
    separator = "\n" if before and not before.endswith("\n") else ""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(f"{before}{separator}{host_id(entry)} {key.type} {key.text}\n")
    part.replace(path)
    return path


def recorded_keys(entry: SshEntry) -> tuple[HostKey, ...]:
    """Return the host keys that are recorded for a device's address."""
    path = known_hosts_path(entry)
    found = paramiko.HostKeys(str(path)).lookup(host_id(entry)) if path.exists() else None
    return tuple(HostKey.of(key) for key in found.values()) if found else ()


def host_id(entry: SshEntry) -> str:
    """Return the name under which known_hosts lists a device's address."""
    return entry.host if entry.port == 22 else f"[{entry.host}]:{entry.port}"


def unknown_key(entry: SshEntry, key: HostKey) -> DeviceError:
    """Say that a device's host key has never been seen."""
    return DeviceError(
        "host_key",
        f"the host key of {entry.name} ({host_id(entry)}) is not known: it shows {key.fingerprint}; "
        f"compare it with the board's and type `fusekit devices trust {entry.name}`",
    )


def changed_key(entry: SshEntry, got: HostKey, recorded: HostKey) -> DeviceError:
    """Say that a device shows another host key than the recorded one."""
    return DeviceError(
        "host_key",
        f"THE HOST KEY OF {entry.name} ({host_id(entry)}) HAS CHANGED: it shows {got.fingerprint}, but "
        f"{recorded.fingerprint} is recorded: another machine may be answering in its place; nothing was sent; only if "
        f"you know that the board was installed anew, remove its line from {known_hosts_path(entry)} and type "
        f"`fusekit devices trust {entry.name}`",
    )


def not_ssh(entry: SshEntry, error: BaseException, *, passing: bool = False) -> DeviceError:
    """Say that something listens at a device's address but does not speak SSH with us."""
    detail = f" ({error})" if str(error) else ""
    return DeviceError(
        "unreachable",
        f"{entry.name} does not answer as an SSH server at {entry.host} port {entry.port}{detail}: is this the right "
        "`host` and `port` in the inventory, and is the board still starting?",
        passing=passing,
    )
