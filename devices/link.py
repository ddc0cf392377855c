"""A stream of bytes for paramiko that takes no more from the other side than it was asked for."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from contextlib import suppress

import paramiko

# Banner, keys and login take some 10 kB.
_LOGIN_BYTES = 1 << 20


class Link:
    """Wraps a socket or a channel; a device that sends more than `allow` said loses its connection, not our memory.

    Paramiko believes any length that a packet claims to have. `on_close` is called once.
    """

    def __init__(self, stream: socket.socket | paramiko.Channel, on_close: Callable[[], None]) -> None:
        self._stream = stream
        self._on_close = on_close
        self._received = 0
        self._limit: float = _LOGIN_BYTES
        # Paramiko asks for this name, which sockets have.
        self._closed = False

    def allow(self, n_bytes: float) -> None:
        """Take up to `n_bytes` more from now on; infinite for a link that carries others."""
        self._limit = self._received + n_bytes

    @property
    def exhausted(self) -> bool:
        """Whether the other side has sent all that it may."""
        return self._received >= self._limit

    def recv(self, n_bytes: int) -> bytes:
        if self.exhausted:
            raise OSError("more came than was asked for")
        room = self._limit - self._received
        data = self._stream.recv(n_bytes if room == math.inf else min(n_bytes, int(room)))
        self._received += len(data)
        return data

    def send(self, data: bytes) -> int:
        return self._stream.send(data)

    def settimeout(self, timeout_s: float | None) -> None:
        self._stream.settimeout(timeout_s)

    def getpeername(self) -> object:
        return self._stream.getpeername()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # A thread that waits in recv() keeps a socket open; this wakes it, and tells the other side.
        with suppress(OSError, EOFError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._on_close()
