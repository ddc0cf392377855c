from __future__ import annotations

from pathlib import Path

from fusekit.devices.probe import parse_probe

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


def test_nothing_at_all() -> None:
    facts = parse_probe("")
    assert (facts.arch, facts.n_cpus, facts.memory_bytes, facts.load1) == ("", 0, None, None)
