"""This process as a device knows it: which machine, user and process wrote something there."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import uuid
from pathlib import Path

_CLIENT = re.compile(r"([0-9a-f]{8})-([0-9]{1,10})")


def client_id() -> str:
    """Name this process: eight hexadecimal digits for the machine and user, a hyphen and the process id."""
    return f"{_machine()}-{os.getpid()}"


def is_dead(client: str) -> bool:
    """Whether a client was a process of this machine and user that has ended; what others do cannot be known."""
    match = _CLIENT.fullmatch(client)
    return match is not None and match[1] == _machine() and not is_running(int(match[2]))


def is_this_process(client: str) -> bool:
    return client == client_id()


def is_running(pid: int) -> bool:
    """Whether a process of this machine has that id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def signature(doing: str) -> str:
    """Say for people who holds a lock and what for.

    >>> signature("bench").endswith(f"(bench, process {os.getpid()})")
    True
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return f"{user} at {socket.gethostname()} ({doing}, process {os.getpid()})"


def _machine() -> str:
    # Containers, and boards out of one image, may share a host name; a process id means something within one boot of
    # one of them only. The first namespace of a machine has the same number on all machines.
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    boot = boot_id.read_text().strip() if boot_id.exists() else f"{uuid.getnode():x}"
    namespace = Path("/proc/self/ns/pid")
    inside = os.readlink(namespace) if namespace.is_symlink() else ""
    return hashlib.sha256(f"{socket.gethostname()} {os.getuid()} {boot} {inside}".encode()).hexdigest()[:8]
