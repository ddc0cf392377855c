"""Searching the legal schedules of a model's kernels by timing them on a device."""
