"""The file system of a lab board: an arm64 busybox and dash, and the files by which a Raspberry Pi 5 is known."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .needs import lab_folder

USER_ID = 1000
_APPLETS = (
    "[ awk cat chmod cp cut date dd df du echo env false find grep head id kill ln ls mkdir mv nproc printf rm rmdir "
    "sed sha256sum sleep sort stat tail tee test timeout touch tr true uname wc xargs"
)
_LIBRARIES = ("libc.so.6", "libm.so.6", "libresolv.so.2", "ld-linux-aarch64.so.1")

MODEL = "Raspberry Pi 5 Model B Rev 1.0"
_CPU = """processor\t: {index}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
_FILES = {
    "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\npi:x:{USER_ID}:{USER_ID}:pi:/home/pi:/bin/sh\n",
    "etc/group": f"root:x:0:\npi:x:{USER_ID}:\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "proc/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\ntmpfs /home/pi tmpfs rw 0 0\n",
    "proc/meminfo": "MemTotal:        8244476 kB\nMemFree:         7000000 kB\nMemAvailable:    7600000 kB\n",
    "proc/loadavg": "0.02 0.03 0.00 1/180 1000\n",
    "proc/cpuinfo": "".join(_CPU.format(index=index) for index in range(4)),
    "proc/device-tree/model": f"{MODEL}\0",
    "sys/class/thermal/thermal_zone0/temp": "48250\n",
    **{
        f"sys/devices/system/cpu/cpu{index}/cpufreq/{name}": f"{value}\n"
        for index in range(4)
        for name, value in {
            "scaling_governor": "ondemand",
            "scaling_cur_freq": "1500000",
            "scaling_max_freq": "2400000",
        }.items()
    },
}


def make_rootfs(root: Path) -> None:
    """Fill a new folder with a board's system; some 4 MB, hard-linked where the file system allows it."""
    arm64 = lab_folder() / "arm64"
    for folder in ("bin", "lib/aarch64-linux-gnu", "tmp", "dev", "home/pi", "root", "usr"):
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
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tmp").chmod(0o1777)
    os.chown(root / "home/pi", USER_ID, USER_ID)


def _find(arm64: Path, name: str) -> Path:
    """Return a file of the packages, which newer releases keep under usr/."""
    return next(path for path in (arm64 / name, arm64 / "usr" / name) if path.exists()).resolve()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
