"""Devices: an inventory in, places to run programs out. Knows nothing of ONNX or LLVM."""

from .device import Completed, Device, DeviceError, Facts, Kind, Lock
from .inventory import DeviceEntry, Inventory, load_inventory
from .open_device import open_device

__all__ = [
    "Completed",
    "Device",
    "DeviceEntry",
    "DeviceError",
    "Facts",
    "Inventory",
    "Kind",
    "Lock",
    "load_inventory",
    "open_device",
]
