"""What this host's CPU can do, in the words of /proc/cpuinfo."""

from functools import cache
from pathlib import Path


@cache
def host_features() -> frozenset[str]:
    """The `flags` (x86-64) or `Features` (aarch64) of the first CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
