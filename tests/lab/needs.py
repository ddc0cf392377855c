"""What the lab needs from this machine, or the reason why it cannot run here."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")


def lab_folder() -> Path:
    """Return where install.sh puts the emulator and the arm64 packages."""
    return Path(os.environ.get("FUSEKIT_LAB") or "/var/cache/fusekit-lab")


def missing() -> str | None:
    """Return why there is no lab here, None if there is one."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the lab's boards need Linux on x86-64"
    if os.getuid() != 0:
        return "the lab's boards need root"
    # binfmt_misc can be mounted in a user namespace since 6.7.
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < (6, 7):
        return f"the lab's boards need Linux 6.7, this is {platform.release()}"
    if "binfmt_misc" not in Path("/proc/filesystems").read_text():
        return "the kernel has no binfmt_misc (modprobe binfmt_misc)"
    if not SSHD.exists() or shutil.which("ssh-keygen") is None:
        return "openssh-server is not installed: run tests/lab/install.sh"
    if not (lab_folder() / "arm64" / "complete").exists():
        return "the arm64 packages are not there: run tests/lab/install.sh"
    return None
