"""What the lab needs from this machine, or the reason why it cannot run here and what to type."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
CAPABILITIES = Path("/proc/self/status")
NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
FILE_SYSTEMS = Path("/proc/filesystems")
INSTALL = "type `fusekit lab install` as root"
_CAP_SYS_ADMIN = 1 << 21


def lab_folder() -> Path:
    """Return where install.sh puts the emulator and the arm64 packages."""
    return Path(os.environ.get("FUSEKIT_LAB") or "/var/cache/fusekit-lab")


def missing() -> str | None:
    """Return why there is no lab here and what to do about it, None if there can be one."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return (
            f"the lab's boards need Linux on x86-64, and this is {platform.system()} on {platform.machine()}"
        )
    if os.getuid() != 0:
        return 'the lab\'s boards need root for users of their own: type `sudo "$(command -v fusekit)" lab …`'
    if not _effective_capabilities() & _CAP_SYS_ADMIN:
        return "the lab's boards need namespaces, which this container may not make: start it with `--privileged`"
    # binfmt_misc can be mounted in a user namespace since 6.7.
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < (6, 7):
        return (
            f"the lab's boards need Linux 6.7, which runs emulators for a namespace alone, and this is "
            f"{platform.release()}: on Debian 12, type `apt-get install -t bookworm-backports linux-image-amd64`"
        )
    if not NAMESPACES.exists() or not int(NAMESPACES.read_text()):
        return "user namespaces are switched off: type `sysctl user.max_user_namespaces=10000` as root"
    if "binfmt_misc" not in FILE_SYSTEMS.read_text():
        return "the kernel has no binfmt_misc yet: type `modprobe binfmt_misc` as root"
    if not SSHD.exists() or shutil.which("ssh-keygen") is None:
        return f"openssh-server is not installed: {INSTALL}"
    if not (lab_folder() / "bin" / "qemu-aarch64-static").exists():
        return f"the emulator qemu-aarch64-static is not there: {INSTALL}"
    if not (lab_folder() / "arm64" / "complete").exists():
        return f"the boards' arm64 packages are not there: {INSTALL}"
    return None


def _effective_capabilities() -> int:
    lines = CAPABILITIES.read_text().splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
