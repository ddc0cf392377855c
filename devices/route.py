"""The way to an SSH device: a TCP connection from here, or a channel through its jump host.

All devices behind one jump host share one connection to it, and only a few log in through it at once: an SSH server
drops connections at random when too many have not logged in yet (MaxStartups).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko

from .device import DeviceError
from .entry import SshEntry
from .link import Link
from .socket_to import socket_to

if TYPE_CHECKING:
    from .connection import Connection

LOGINS_AT_ONCE = 8
# RFC 4254, 5.1: why a server does not open a channel.
_PROHIBITED = 1


def open_link(entry: SshEntry) -> Link:
    """Connect to the device's SSH port within `connect_timeout_s`; kind "unreachable", or the jump host's own error."""
    if entry.via is None:
        return Link(socket_to(entry), lambda: None)
    hop = _hop(entry.via)
    connection = hop.join()
    try:
        return Link(_channel(entry, entry.via, connection), hop.leave)
    except BaseException:
        hop.leave()
        raise


@contextmanager
def login_turn(entry: SshEntry) -> Iterator[None]:
    """Wait for one's turn to log in through the jump host of a device."""
    if entry.via is None:
        yield
        return
    with _hop(entry.via).logins:
        yield


class _Hop:
    """This process's one connection to a jump host, open as long as somebody uses it."""

    def __init__(self, entry: SshEntry) -> None:
        self.logins = threading.BoundedSemaphore(LOGINS_AT_ONCE)
        self._entry = entry
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._users = 0

    def join(self) -> Connection:
        # A connection needs a way, which may lead through a connection.
        from .connection import Connection

        with self._lock:
            if self._connection is not None and not self._connection.alive:
                self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = Connection(self._entry, carries_others=True)
            self._users += 1
            return self._connection

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._connection is not None:
                self._connection.close()
                self._connection = None


_hops: dict[SshEntry, _Hop] = {}
_hops_lock = threading.Lock()


def _hop(entry: SshEntry) -> _Hop:
    with _hops_lock:
        return _hops.setdefault(entry, _Hop(entry))


def _channel(entry: SshEntry, jump: SshEntry, connection: Connection) -> paramiko.Channel:
    try:
        return connection.open_channel(entry.host, entry.port, entry.connect_timeout_s)
    except paramiko.ChannelException as error:
        if error.code == _PROHIBITED:
            raise DeviceError(
                "unreachable",
                f"{jump.name} lets nothing through to {entry.name}: set `AllowTcpForwarding yes` in its sshd_config",
            ) from error
        raise DeviceError(
            "unreachable",
            f"{jump.name} does not reach {entry.name} at {entry.host} port {entry.port}: is the board switched on, and is "
            f"this its address as {jump.name} sees it?",
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise DeviceError(
            "unreachable",
            f"{jump.name} did not reach {entry.name} at {entry.host} port {entry.port} within "
            f"{entry.connect_timeout_s:g} s: is the board switched on?",
        ) from error
