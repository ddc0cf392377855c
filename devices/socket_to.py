"""A TCP connection to an SSH device that notices when the other side is gone."""

from __future__ import annotations

import socket

from .device import DeviceError
from .inventory import SshEntry
from .trust import not_ssh

# A pulled cable is noticed after this long, whether or not data is on its way.
DEAD_AFTER_S = 20


def socket_to(entry: SshEntry) -> socket.socket:
    """Connect within the entry's `connect_timeout_s`; every failure is kind "unreachable" with a hint."""
    where = f"{entry.name} ({entry.host} port {entry.port})"
    try:
        link = socket.create_connection((entry.host, entry.port), timeout=entry.connect_timeout_s)
    except socket.gaierror as error:
        raise DeviceError(
            "unreachable",
            f"{entry.name} cannot be found: the name {entry.host} is not known here: is the board switched on and in "
            f"the same network? If it has another name or only an address, edit `host` of {entry.name} in the inventory",
        ) from error
    except ConnectionRefusedError as error:
        raise DeviceError(
            "unreachable",
            f"{where} refuses connections: is SSH switched on there (`sudo raspi-config`, Interface Options) and is "
            "`port` in the inventory right?",
        ) from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise not_ssh(entry, error, passing=True) from error
    except TimeoutError as error:
        raise DeviceError(
            "unreachable",
            f"{where} did not answer within {entry.connect_timeout_s:g} s: is the board switched on and in the same "
            "network?",
        ) from error
    except OSError as error:
        raise DeviceError(
            "unreachable",
            f"{where} cannot be reached: {error.strerror or error}: is the board switched on and in the same network?",
        ) from error
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Keepalive alone does not end a connection with data under way; this does.
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_S * 1000)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_AFTER_S // 2)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_AFTER_S // 4)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    return link
