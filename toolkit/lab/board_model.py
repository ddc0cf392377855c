"""Which boards the lab can be, and what a Raspberry Pi 3, 4 or 5 says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...devices.selection import suggest
from ...errors import UserError


@dataclass(frozen=True)
class Cache:
    """One cache of a core, as /sys/devices/system/cpu/cpu0/cache lists it."""

    level: int
    type: str
    size_kb: int


@dataclass(frozen=True)
class BoardModel:
    """A board with four cores: its texts are those of a real one under Raspberry Pi OS 12."""

    cpu: str
    """The compiler's target, and QEMU's name of the core."""
    name: str
    kernel: str
    part: str
    variant: str
    revision: int
    features: str
    bogomips: str
    min_freq_khz: int
    max_freq_khz: int
    memory_kb: int
    caches: tuple[Cache, ...]


# Pis before the fifth have no crypto extensions.
_ARMV8_0 = "fp asimd evtstrm crc32 cpuid"
_ARMV8_2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)

_MODELS = (
    BoardModel(
        cpu="cortex-a53",
        name="Raspberry Pi 3 Model B Rev 1.2",
        kernel="6.6.51+rpt-rpi-v8",
        part="0xd03",
        variant="0x0",
        revision=4,
        features=_ARMV8_0,
        bogomips="38.40",
        min_freq_khz=600_000,
        max_freq_khz=1_200_000,
        memory_kb=931_000,
        caches=(Cache(1, "Data", 32), Cache(1, "Instruction", 32), Cache(2, "Unified", 512)),
    ),
    BoardModel(
        cpu="cortex-a72",
        name="Raspberry Pi 4 Model B Rev 1.4",
        kernel="6.6.51+rpt-rpi-v8",
        part="0xd08",
        variant="0x0",
        revision=3,
        features=_ARMV8_0,
        bogomips="108.00",
        min_freq_khz=600_000,
        max_freq_khz=1_800_000,
        memory_kb=3_884_360,
        caches=(Cache(1, "Data", 32), Cache(1, "Instruction", 48), Cache(2, "Unified", 1024)),
    ),
    BoardModel(
        cpu="cortex-a76",
        name="Raspberry Pi 5 Model B Rev 1.0",
        kernel="6.6.51+rpt-rpi-2712",
        part="0xd0b",
        variant="0x4",
        revision=1,
        features=_ARMV8_2,
        bogomips="108.00",
        min_freq_khz=1_500_000,
        max_freq_khz=2_400_000,
        memory_kb=8_244_476,
        caches=(
            Cache(1, "Data", 64),
            Cache(1, "Instruction", 64),
            Cache(2, "Unified", 512),
            Cache(3, "Unified", 2048),
        ),
    ),
)
BOARD_MODELS: Mapping[str, BoardModel] = {model.cpu: model for model in _MODELS}


def find_model(cpu: str) -> BoardModel:
    """Return the board with a CPU; raises `UserError` with the known ones."""
    if cpu in BOARD_MODELS:
        return BOARD_MODELS[cpu]
    raise UserError(
        f"the lab has no board with the CPU {cpu!r}: {suggest(cpu, BOARD_MODELS)}known are {', '.join(BOARD_MODELS)}"
    )
