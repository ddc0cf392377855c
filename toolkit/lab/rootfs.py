"""The file system of a lab board: an arm64 busybox and dash, and the files by which a Raspberry Pi is known."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .board_model import BoardModel
from .needs import lab_folder

USER = "pi"
USER_ID = 1000
N_CPUS = 4
_APPLETS = (
    "[ awk cat chmod cp cut date dd df du echo env false find grep head id kill ln ls mkdir mv nproc printf rm rmdir "
    "sed sha256sum sleep sort stat tail tee test timeout touch tr true uname wc xargs"
)
_LIBRARIES = ("libc.so.6", "libm.so.6", "libresolv.so.2", "ld-linux-aarch64.so.1")

_CPU = """processor\t: {index}
BogoMIPS\t: {model.bogomips}
Features\t: {model.features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: {model.variant}
CPU part\t: {model.part}
CPU revision\t: {model.revision}

"""


def make_rootfs(root: Path, model: BoardModel) -> None:
    """Fill a new folder with a board's system; some 4 MB, hard-linked where the file system allows it."""
    arm64 = lab_folder() / "arm64"
    for folder in ("bin", "lib/aarch64-linux-gnu", "tmp", "dev", f"home/{USER}", "root", "usr"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin").symlink_to("../bin")
    _link(_find(arm64, "bin/busybox"), root / "bin/busybox")
    # Not busybox: its shell runs applets by executing /proc/self/exe, which is the emulator here.
    _link(_find(arm64, "bin/dash"), root / "bin/sh")
    for applet in _APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    for name in _LIBRARIES:
        _link(_find(arm64, f"lib/aarch64-linux-gnu/{name}"), root / "lib/aarch64-linux-gnu" / name)
    (root / "lib/ld-linux-aarch64.so.1").symlink_to("aarch64-linux-gnu/ld-linux-aarch64.so.1")
    for name, text in (*_system_files(model), *_cpu_files(model)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tmp").chmod(0o1777)
    os.chown(root / "home" / USER, USER_ID, USER_ID)


def _system_files(model: BoardModel) -> Iterator[tuple[str, str]]:
    """Texts by path of what a board says of itself as a whole."""
    free_kb = model.memory_kb * 85 // 100
    yield (
        "etc/passwd",
        f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{USER_ID}:{USER_ID}:{USER}:/home/{USER}:/bin/sh\n",
    )
    yield "etc/group", f"root:x:0:\n{USER}:x:{USER_ID}:\n"
    yield "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
    yield "proc/mounts", f"/dev/mmcblk0p2 / ext4 rw 0 0\ntmpfs /home/{USER} tmpfs rw 0 0\n"
    yield (
        "proc/meminfo",
        f"MemTotal:       {model.memory_kb:8} kB\nMemFree:        {free_kb:8} kB\nMemAvailable:   {free_kb:8} kB\n",
    )
    yield "proc/loadavg", "0.02 0.03 0.00 1/180 1000\n"
    yield "proc/cpuinfo", "".join(_CPU.format(index=index, model=model) for index in range(N_CPUS))
    yield "proc/device-tree/model", f"{model.name}\0"
    yield "sys/class/thermal/thermal_zone0/temp", "48250\n"
    yield "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n"


def _cpu_files(model: BoardModel) -> Iterator[tuple[str, str]]:
    """Texts by path of clocks and caches, below /sys/devices/system/cpu."""
    for index in range(N_CPUS):
        clock = f"sys/devices/system/cpu/cpu{index}/cpufreq"
        yield f"{clock}/scaling_governor", "ondemand\n"
        yield f"{clock}/scaling_cur_freq", f"{model.min_freq_khz}\n"
        yield f"{clock}/scaling_min_freq", f"{model.min_freq_khz}\n"
        yield f"{clock}/scaling_max_freq", f"{model.max_freq_khz}\n"
    for index, cache in enumerate(model.caches):
        folder = f"sys/devices/system/cpu/cpu0/cache/index{index}"
        yield f"{folder}/level", f"{cache.level}\n"
        yield f"{folder}/type", f"{cache.type}\n"
        yield f"{folder}/size", f"{cache.size_kb}K\n"


def _find(arm64: Path, name: str) -> Path:
    """Return a file of the packages, which newer releases keep under usr/."""
    return next(path for path in (arm64 / name, arm64 / "usr" / name) if path.exists()).resolve()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
