"""One shell script that asks a Linux device what it is, and the parser of its answer.

The script prints `@NAME` and then the text of that part, for files as for commands, so that one round trip over SSH
is enough and canned answers of real boards are test data.
"""

from __future__ import annotations

from .device import Facts

# The device tree ends its strings with NUL. Absent files print nothing. The Pi's firmware driver has had several paths.
PROBE_SCRIPT = r"""
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
exit 0
"""


def parse_probe(text: str) -> Facts:
    """Turn the script's output into facts.

    >>> parse_probe("@machine\\naarch64\\n@kernel\\n6.6\\n@loadavg\\n0.25 0.1 0.0 1/99 7\\n").load1
    0.25
    """
    parts = _split(text)
    cpus = _cpu_blocks(parts.get("cpuinfo", ""))
    cpu_models = [cpu["model name"] for cpu in cpus if "model name" in cpu]
    features = [set((cpu.get("Features") or cpu.get("flags") or "").split()) for cpu in cpus]
    release = _key_values(parts.get("os", ""), "=")
    return Facts(
        arch=parts.get("machine", ""),
        model=parts.get("model") or (cpu_models[0] if cpu_models else ""),
        os=release.get("PRETTY_NAME", "").strip('"'),
        kernel=parts.get("kernel", ""),
        n_cpus=len(cpus),
        cpu_parts=tuple(dict.fromkeys(cpu["CPU part"] for cpu in cpus if "CPU part" in cpu)),
        features=tuple(sorted(set.intersection(*features))) if features else (),
        memory_bytes=_memory_bytes(parts.get("meminfo", "")),
        governor=parts.get("governor") or None,
        freq_khz=_number(parts.get("freq")),
        max_freq_khz=_number(parts.get("max_freq")),
        temperature_mc=_number(parts.get("temperature")),
        throttled=parts.get("throttled") or None,
        load1=_first_float(parts.get("loadavg", "")),
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


def _memory_bytes(meminfo: str) -> int | None:
    total = _key_values(meminfo, ":").get("MemTotal", "").split()
    return int(total[0]) * 1024 if total else None


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def _first_float(text: str) -> float | None:
    words = text.split()
    return float(words[0]) if words else None
