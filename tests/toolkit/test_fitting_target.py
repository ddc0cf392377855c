from __future__ import annotations

from dataclasses import replace

import pytest

from fusekit.compiler.target import find_target
from fusekit.devices.device import Facts
from fusekit.toolkit.fitting_target import fitting_target, misfit, poor_fit

from .fake_record import FACTS

NEON = ("asimd", "fp")
DOT = ("asimd", "asimddp", "asimdhp", "atomics", "fp")
V3 = (
    "cx16",
    "lahf_lm",
    "popcnt",
    "sse4_1",
    "sse4_2",
    "ssse3",
    "avx",
    "avx2",
    "bmi1",
    "bmi2",
    "f16c",
    "fma",
    "abm",
    "movbe",
)

V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")


def facts(features: tuple[str, ...], *parts: str, model: str = "", arch: str = "aarch64") -> Facts:
    return replace(FACTS, arch=arch, model=model, cpu_parts=parts, features=features)


@pytest.mark.parametrize(
    ("device", "target"),
    [
        (facts(DOT, "0xd0b", model="Raspberry Pi 5 Model B Rev 1.0"), "rpi5"),
        (facts(NEON, "0xd08", model="Raspberry Pi 400 Rev 1.0"), "cortex-a72"),
        (facts(NEON, "0xd08", model="Raspberry Pi 4 Model B Rev 1.4"), "rpi4"),
        (facts(NEON, "0xd03", model="Raspberry Pi Zero 2 W Rev 1.0"), "cortex-a53"),
        (facts(DOT, "0xd05", "0xd0b", model="Radxa ROCK 5B"), "cortex-a76"),
        (facts(NEON, "0xd03", "0xd0b"), "cortex-a53"),
        (facts(DOT, "0xd41"), "neoverse-n1"),
        (facts(V3, arch="x86_64"), "x86-64-v3"),
        (facts(V4, "GenuineIntel-6", arch="x86_64"), "x86-64-v4"),
        (facts(V4, "AuthenticAMD-26", arch="x86_64"), "x86-64-v4"),
        (facts(V4, "AuthenticAMD-25", arch="x86_64"), "znver4"),
        (facts(V3, "AuthenticAMD-25", arch="x86_64"), "x86-64-v3"),
        (facts(("fp",), "0xd0b"), None),
        (facts((), arch="riscv64"), None),
        (replace(facts(DOT, "0xd0b"), userland_bits=32), None),
    ],
)
def test_target_fits_the_cpu(device: Facts, target: str | None) -> None:
    assert fitting_target(device) == target


@pytest.mark.parametrize(
    ("device", "target", "reason"),
    [
        (facts(DOT, "0xd0b"), "rpi5", None),
        (facts(DOT, "0xd0b"), "x86-64-v3", "it is aarch64 and x86-64-v3 is x86_64"),
        (facts(NEON, "0xd08"), "rpi5", "it lacks asimddp, asimdhp, atomics"),
        (replace(facts(DOT), userland_bits=32), "rpi5", "its system is a 32-bit one"),
        (
            facts(DOT, "0xd0b"),
            "rpi4",
            "its own target is cortex-a76, and code for rpi4 is scheduled for another CPU",
        ),
        (facts(DOT, "0xd0b"), "cortex-a76", None),
        (
            facts(V4, "AuthenticAMD-25", arch="x86_64"),
            "x86-64-v4",
            "its own target is znver4, and code for x86-64-v4 is scheduled for another CPU",
        ),
        (
            facts(V4, "GenuineIntel-6", arch="x86_64"),
            "znver4",
            "its own target is x86-64-v4, and code for znver4 is scheduled for another CPU",
        ),
    ],
)
def test_reason_why_a_target_does_not_fit(device: Facts, target: str, reason: str | None) -> None:
    assert poor_fit(device, target) == reason
    if reason is None:
        assert misfit(device, find_target(target)) is None
