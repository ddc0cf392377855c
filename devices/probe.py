"""One shell script that asks a Linux device what it is, and the parser of its answer.

The script prints `@NAME` and then the text of that part, for files as for commands, so that one round trip over SSH
is enough and canned answers of real boards are test data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from .device import Cache, Facts
from .printable import printable

# The device tree ends its strings with NUL. Absent files print nothing. The Pi's firmware driver has had several paths.
_SCRIPT = r"""
part() { echo "@$1"; shift; for file; do [ -r "$file" ] && tr -d '\0' < "$file" && echo && break; done 2>/dev/null; }
echo @machine; uname -m
echo @kernel; uname -r
part model /proc/device-tree/model /sys/firmware/devicetree/base/model
part os /etc/os-release
part cpuinfo /proc/cpuinfo
part meminfo /proc/meminfo
part loadavg /proc/loadavg
part governor /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
part freq /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq
part max_freq /sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq
part temperature /sys/class/thermal/thermal_zone0/temp
part throttled /sys/devices/platform/soc*/*firmware/get_throttled
echo @vcgencmd; vcgencmd get_throttled 2>/dev/null
part perf_event_paranoid /proc/sys/kernel/perf_event_paranoid
echo @governors; cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor 2>/dev/null
echo @caches
for cache in /sys/devices/system/cpu/cpu0/cache/index*; do
  cat "$cache/level" "$cache/type" "$cache/size" 2>/dev/null | tr '\n' ' ' && echo
done
echo @shell; head -c 5 /bin/sh 2>/dev/null | tail -c 1 | tr '\001\002' '12'; echo
echo @disk
while [ -n "$folder" ] && [ ! -d "$folder" ]; do folder=${folder%/*}; done
df -Pk "${folder:-/}" 2>/dev/null
exit 0
"""


def probe_script(folder: str) -> str:
    """Return the script; `folder`, a word of the device's shell, is where fusekit keeps its files there."""
    return f"folder={folder}\n{_SCRIPT}"


def parse_probe(text: str) -> Facts:
    """Turn the script's output into facts; what a broken or hostile device says is cut short and made printable.

    >>> parse_probe("@machine\\naarch64\\n@kernel\\n6.6\\n@loadavg\\n0.25 0.1 0.0 1/99 7\\n").load1
    0.25
    """
    parts = _split(text)
    cpus = _cpu_blocks(parts.get("cpuinfo", ""))
    cpu_models = [cpu["model name"] for cpu in cpus if "model name" in cpu]
    features = [set(_words(cpu.get("Features") or cpu.get("flags") or "")) for cpu in cpus]
    release = _key_values(parts.get("os", ""), "=")
    memory = _key_values(parts.get("meminfo", ""), ":")
    swap_total, swap_free = _kilobytes(memory.get("SwapTotal")), _kilobytes(memory.get("SwapFree"))
    return Facts(
        arch=printable(parts.get("machine", "")),
        model=printable(parts.get("model") or (cpu_models[0] if cpu_models else "")),
        os=printable(release.get("PRETTY_NAME", "").strip('"')),
        kernel=printable(parts.get("kernel", "")),
        n_cpus=len(cpus),
        cpu_parts=_words(" ".join(map(_part, cpus))),
        features=tuple(sorted(set.intersection(*features))) if features else (),
        memory_bytes=_kilobytes(memory.get("MemTotal")),
        governor=printable(parts.get("governor", "")) or None,
        freq_khz=_number(parts.get("freq")),
        max_freq_khz=_number(parts.get("max_freq")),
        temperature_mc=_number(parts.get("temperature")),
        throttled=_throttled(parts),
        load1=_first_float(parts.get("loadavg", "")),
        governors=_words(parts.get("governors", "")),
        caches=_caches(parts.get("caches", "")),
        available_bytes=_kilobytes(memory.get("MemAvailable")),
        swap_used_bytes=None if swap_total is None or swap_free is None else swap_total - swap_free,
        disk_free_bytes=_disk_free_bytes(parts.get("disk", "")),
        userland_bits={"1": 32, "2": 64}.get(parts.get("shell", "")),
        perf_event_paranoid=_number(parts.get("perf_event_paranoid")),
    )


def _split(text: str) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("@"):
            lines = parts.setdefault(line[1:], [])
        else:
            lines.append(line)
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def _key_values(text: str, separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in text.splitlines() if separator in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cpu_blocks(cpuinfo: str) -> list[dict[str, str]]:
    blocks = (_key_values(block, ":") for block in cpuinfo.split("\n\n"))
    return [block for block in blocks if "processor" in block]


def _part(cpu: Mapping[str, str]) -> str:
    if "cpu family" in cpu:
        return f"{cpu.get('vendor_id', '')}-{cpu['cpu family']}"
    return cpu.get("CPU part", "")


def _words(text: str) -> tuple[str, ...]:
    """The distinct words, in order."""
    return tuple(dict.fromkeys(re.findall(r"[\w.:+-]{1,64}", text[:1_000_000], re.ASCII)))


def _throttled(parts: dict[str, str]) -> str | None:
    """From the driver's file, "50000", or from the firmware's tool, "throttled=0x50000"."""
    said = parts.get("throttled") or parts.get("vcgencmd", "").removeprefix("throttled=0x")
    return said if re.fullmatch(r"(0x)?[0-9a-f]{1,8}", said) else None


def _kilobytes(text: str | None) -> int | None:
    """The bytes of a line of /proc/meminfo, "8244476 kB"."""
    kilobytes = _number((text or "").removesuffix("kB"))
    return None if kilobytes is None else kilobytes * 1024


def _caches(text: str) -> tuple[Cache, ...]:
    """From lines like "1 Data 64K", as the kernel numbers the caches."""
    lines = re.findall(r"^([0-9]) (Data|Unified) ([0-9]{1,9})K", text, re.MULTILINE)
    return tuple(
        Cache(f"L{level}d" if kind == "Data" else f"L{level}", int(kilobytes) * 1024)
        for level, kind, kilobytes in lines
    )


def _disk_free_bytes(df: str) -> int | None:
    """The fourth column of the last line of `df -Pk`, in bytes."""
    columns = df.splitlines()[-1].split() if df else []
    return _kilobytes(columns[3]) if len(columns) > 3 else None


def _number(text: str | None) -> int | None:
    # No number that is true is longer, and a float holds no number of 400 digits.
    return int(text) if text and re.fullmatch(r"\s*-?[0-9]{1,15}\s*", text) else None


def _first_float(text: str) -> float | None:
    try:
        number = float(text.split()[0])
    except (IndexError, ValueError):
        return None
    return number if math.isfinite(number) else None
