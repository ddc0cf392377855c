"""From an entry of the inventory to a device."""

from __future__ import annotations

from typing import assert_never

from ..cache import cache_dir
from .device import Device
from .emulated import EmulatedDevice
from .inventory import DeviceEntry, EmulatedEntry, LocalEntry, SshEntry
from .local import LocalDevice
from .ssh import SshDevice


def open_device(entry: DeviceEntry) -> Device:
    """Return the device of an entry; close it, or use it as a context manager.

    An SSH device connects when it is first used, and again when it is used after its connection ended.
    """
    match entry:
        case LocalEntry():
            return LocalDevice(entry.name, entry.target, cache_dir() / "devices" / entry.name)
        case EmulatedEntry():
            return EmulatedDevice(entry.name, entry.target, cache_dir() / "devices" / entry.name)
        case SshEntry():
            return SshDevice(entry)
        case _:
            assert_never(entry)
