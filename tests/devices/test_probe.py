from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from fusekit.devices.device import Cache
from fusekit.devices.probe import parse_probe, probe_script

ANSWERS = Path(__file__).parent / "answers"


def answer(name: str) -> str:
    return (ANSWERS / f"{name}.txt").read_text()


def test_raspberry_pi_5() -> None:
    facts = parse_probe(answer("rpi5"))
    assert facts.arch == "aarch64"
    assert facts.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert facts.os == "Debian GNU/Linux 12 (bookworm)"
    assert facts.kernel == "6.6.51+rpt-rpi-2712"
    assert (facts.n_cpus, facts.cpu_parts) == (4, ("0xd0b",))
    assert "asimddp" in facts.features
    assert facts.memory_bytes == 8_244_476 * 1024
    assert (facts.governor, facts.freq_khz, facts.max_freq_khz) == ("ondemand", 1_500_000, 2_400_000)
    assert (facts.temperature_mc, facts.throttled, facts.load1) == (48_250, "0", 0.02)
    assert facts.governors == ("ondemand",)
    assert facts.caches == (Cache("L1d", 64 << 10), Cache("L2", 512 << 10), Cache("L3", 2 << 20))
    assert (facts.available_bytes, facts.swap_used_bytes) == (7_600_000 * 1024, 272 * 1024)
    assert facts.disk_free_bytes == 23_443_000 * 1024
    assert (facts.userland_bits, facts.perf_event_paranoid) == (64, 2)


def test_script_asks_this_machine(tmp_path: Path) -> None:
    script = probe_script(f"{tmp_path}/absent/folder")
    facts = parse_probe(
        subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True).stdout
    )
    assert (facts.arch, facts.userland_bits) == (platform.machine(), 64)
    assert facts.n_cpus == os.cpu_count()
    assert facts.disk_free_bytes is not None and facts.disk_free_bytes > 0
    assert facts.available_bytes is not None and facts.swap_used_bytes is not None


def test_raspberry_pi_4_without_frequency_and_throttle_files() -> None:
    facts = parse_probe(answer("rpi4"))
    assert facts.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert (facts.n_cpus, facts.cpu_parts) == (4, ("0xd08",))
    assert facts.features == ("asimd", "cpuid", "crc32", "evtstrm", "fp")
    assert (facts.governor, facts.freq_khz, facts.throttled) == (None, None, None)


def test_cores_of_two_kinds_share_only_common_features() -> None:
    block = "processor\t: {}\nFeatures\t: fp asimd{}\nCPU part\t: {}\n\n"
    facts = parse_probe("@cpuinfo\n" + block.format(0, "", "0xd03") + block.format(1, " asimddp", "0xd0b"))
    assert facts.cpu_parts == ("0xd03", "0xd0b")
    assert facts.features == ("asimd", "fp")


def test_throttle_bits_of_the_firmwares_tool_where_the_driver_has_no_file() -> None:
    assert parse_probe("@vcgencmd\nthrottled=0x50000\n").throttled == "50000"
    assert parse_probe("@vcgencmd\nVCHI initialization failed\n").throttled is None


def test_hostile_answers_are_cut_short_and_printable() -> None:
    escape = "\x1b[2J\x1b]0;owned\x07"
    facts = parse_probe(
        f"@machine\n{escape}\n@kernel\n{'k' * 100_000}\n@model\n{escape}\n@os\nPRETTY_NAME={escape}\n"
        f"@cpuinfo\nprocessor: 0\nFeatures: fp {escape}\nCPU part: {escape}\n\n@governor\n{escape}\n"
        f"@governors\n{escape}\n@throttled\n{escape}\n@temperature\n{'9' * 10_000}\n@loadavg\ninf\n"
        f"@meminfo\nMemTotal: {'9' * 10_000} kB\n@disk\n1 2 3 \u0663\n"
    )
    words = [*facts.features, *facts.governors, *facts.cpu_parts]
    texts = [facts.arch, facts.kernel, facts.model, facts.os, facts.governor or "", *words]
    assert all(text.isprintable() and len(text) < 3000 for text in texts)
    assert (facts.load1, facts.temperature_mc, facts.throttled, facts.memory_bytes) == (
        None,
        None,
        None,
        None,
    )


def test_nothing_at_all() -> None:
    facts = parse_probe("")
    assert (facts.arch, facts.n_cpus, facts.memory_bytes, facts.load1) == ("", 0, None, None)
