"""Devices without a lab: inventory, this machine, the emulator, and what can go wrong before a login."""
