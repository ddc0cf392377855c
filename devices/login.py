"""Logging in to an SSH device: its host key checked, our key or password shown, every failure one sentence."""

from __future__ import annotations

import random
import socket
import stat
import time
from pathlib import Path
from typing import cast

import paramiko

from .device import DeviceError
from .entry import SshEntry
from .link import Link
from .route import login_turn, open_link
from .trust import HostKey, changed_key, known_hosts_path, not_ssh, unknown_key

# A server that has too many logins under way drops a connection before the login (MaxStartups).
_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2)


def log_in(entry: SshEntry) -> tuple[paramiko.SSHClient, Link]:
    """Connect and log in; tried again only where the server ended the connection before the login began."""
    key = _load_key(entry)
    password = entry.read_password()
    for pause_s in _PAUSES_S:
        try:
            return _log_in_once(entry, key, password)
        except DeviceError as error:
            if not error.passing:
                raise
        # Not all at the same moment again.
        time.sleep(pause_s * random.uniform(0.5, 1))
    try:
        return _log_in_once(entry, key, password)
    except DeviceError as error:
        if not error.passing:
            raise
        raise DeviceError(error.kind, f"{error} (tried {len(_PAUSES_S) + 1} times)") from error


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, entry: SshEntry) -> None:
        self._entry = entry

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise unknown_key(self._entry, HostKey.of(key))


def _log_in_once(
    entry: SshEntry, key: paramiko.PKey | None, password: str | None
) -> tuple[paramiko.SSHClient, Link]:
    client = paramiko.SSHClient()
    known_hosts = known_hosts_path(entry)
    if known_hosts.exists():
        client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(_RefuseUnknown(entry))
    with login_turn(entry):
        link = open_link(entry)
        start = time.monotonic()
        try:
            client.connect(
                entry.host,
                entry.port,
                username=entry.user,
                pkey=key,
                password=password,
                sock=cast(socket.socket, link),  # it needs no more of a socket than a Link has
                timeout=entry.connect_timeout_s,
                banner_timeout=entry.connect_timeout_s,
                auth_timeout=entry.connect_timeout_s,
                allow_agent=entry.agent if entry.agent is not None else key is None and password is None,
                look_for_keys=key is None and password is None,
            )
            link.settimeout(None)
            return client, link
        except BaseException as error:
            client.close()
            link.close()
            dropped = time.monotonic() - start < entry.connect_timeout_s
            raise _explained(entry, error, dropped) from error


def _explained(entry: SshEntry, error: BaseException, dropped: bool) -> BaseException:
    match error:
        case DeviceError():
            return error
        case paramiko.BadHostKeyException():
            return changed_key(entry, HostKey.of(error.key), HostKey.of(error.expected_key))
        case paramiko.AuthenticationException() if "EOF" in str(error) or "timeout" in str(error):
            return DeviceError(
                "lost",
                f"{entry.name} ended the connection during the login, or fell silent: if it repeats, and the agent has many "
                f"keys, give `key: PATH` for {entry.name} in the inventory",
            )
        case paramiko.AuthenticationException():
            return _refused(entry)
        case paramiko.SSHException() if "No authentication methods" in str(error):
            return _refused(entry)
        case paramiko.SSHException() | EOFError() | OSError():
            return not_ssh(entry, error, passing=dropped)
        case _:
            return error


def _refused(entry: SshEntry) -> DeviceError:
    if entry.password is not None and entry.key is None:
        return DeviceError(
            "auth",
            f"{entry.name} refuses the password of the user {entry.user}: type the command again with the right one, or "
            f"correct `user` and `password` of {entry.name} in the inventory",
        )
    tried = f"the key {entry.key}" if entry.key else "the keys of ~/.ssh and of the agent"
    option = f"-i {entry.key}.pub " if entry.key else ""
    port = "" if entry.port == 22 else f"-p {entry.port} "
    way = f"-o ProxyJump={entry.via.user}@{entry.via.host}:{entry.via.port} " if entry.via else ""
    return DeviceError(
        "auth",
        f"{entry.name} refuses {tried} for the user {entry.user}: type `ssh-copy-id {option}{port}{way}{entry.user}@"
        f"{entry.host}`, or correct `user` and `key` of {entry.name} in the inventory",
    )


def _load_key(entry: SshEntry) -> paramiko.PKey | None:
    if entry.key is None:
        return None
    try:
        if Path(entry.key).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise DeviceError(
                "auth",
                f"the key of {entry.name}, {entry.key}, can be read by others: type `chmod 600 {entry.key}`",
            )
        return paramiko.PKey.from_path(entry.key)
    except FileNotFoundError as error:
        raise DeviceError(
            "auth",
            f"the key of {entry.name}, {entry.key}, does not exist: correct `key` in the inventory, or make one with "
            f"`ssh-keygen -t ed25519 -f {entry.key}`",
        ) from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise DeviceError(
            "auth",
            f"the key of {entry.name}, {entry.key}, has a passphrase: type `ssh-add {entry.key}`, and in the inventory "
            "give `agent: true` in the place of `key`",
        ) from error
    except (paramiko.SSHException, ValueError, OSError) as error:
        raise DeviceError(
            "auth", f"the key of {entry.name}, {entry.key}, is no private key that can be read: {error}"
        ) from error
