"""The first and only file system of the virtual machine: busybox, dropbear and the drivers of its network."""

from __future__ import annotations

import lzma
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fusekit.toolkit.lab.needs import lab_folder

from .cpio import Cpio

USER, USER_ID = "pi", 1000
_LIBRARIES = (
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libcrypt.so.1",
    "libgmp.so.10",
    "libm.so.6",
    "libresolv.so.2",
    "libtomcrypt.so.1",
    "libtommath.so.1",
    "libz.so.1",
)
# In the order in which they need each other; what a kernel has built in is not there.
_MODULES = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
)
_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{USER_ID}:{USER_ID}:{USER}:/home/{USER}:/bin/sh\n",
    "etc/group": f"root:x:0:\n{USER}:x:{USER_ID}:\n",
    "etc/shadow": f"root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n",
    "etc/shells": "/bin/sh\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux in a virtual machine"\nID=debian\n',
}
# The address is the one that QEMU's user network forwards to. Level 1 lets everyone count the events of their own programs.
_INIT = f"""#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755,uid={USER_ID},gid={USER_ID},size=64m tmpfs /home/{USER}
mkdir -m 700 /home/{USER}/.ssh && cp /etc/authorized_keys /home/{USER}/.ssh && chown -R {USER} /home/{USER}/.ssh
for module in /modules/*; do insmod $module; done
hostname lab-vm
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
echo 1 > /proc/sys/kernel/perf_event_paranoid
exec /usr/sbin/dropbear -F -E -s -r /etc/hostkey -p 22
"""


def make_initramfs(authorized: str, host_key: Ed25519PrivateKey) -> bytes:
    """Return the archive; `authorized` is the public key that may log in as pi."""
    vm, arm64 = lab_folder() / "vm", lab_folder() / "arm64"
    archive = Cpio()
    for folder in ("proc", "sys", "dev", "tmp", "run", "root", "var/log", f"home/{USER}"):
        archive.folder(folder)
    archive.character_device("dev/console", 5, 1)
    archive.file("init", _INIT.encode(), 0o755)
    archive.file("bin/busybox", _content(arm64, "bin/busybox"), 0o755)
    # Debian's busybox runs applets before programs of the same name, so that a test could not replace them.
    archive.file("bin/sh", _content(arm64, "bin/dash"), 0o755)
    archive.file("usr/sbin/dropbear", _content(vm, "sbin/dropbear"), 0o755)
    for name in _LIBRARIES:
        archive.file(f"lib/aarch64-linux-gnu/{name}", _content(vm, f"lib/aarch64-linux-gnu/{name}"), 0o755)
    archive.link("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu/ld-linux-aarch64.so.1")
    for index, name in enumerate(_MODULES):
        for module in vm.rglob(f"kernel/**/{name}.ko*"):
            archive.file(f"modules/{index}-{name}.ko", _unpacked(module))
    for path, text in _ACCOUNTS.items():
        archive.file(path, text.encode())
    archive.file("etc/authorized_keys", authorized.encode(), 0o600)
    archive.file("etc/hostkey", _dropbear_key(host_key), 0o600)
    return archive.finished()


def kernel() -> Path:
    """Return the kernel's image."""
    return next((lab_folder() / "vm" / "boot").glob("vmlinuz-*"))


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public half as a line of authorized_keys or known_hosts."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _dropbear_key(key: Ed25519PrivateKey) -> bytes:
    """Return a key as dropbear keeps it: two SSH strings, the type, and the private and the public half."""
    halves = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", halves))


def _content(tree: Path, name: str) -> bytes:
    """Return a file of the packages, which releases keep with and without usr/."""
    return next(path for path in (tree / name, tree / "usr" / name) if path.exists()).read_bytes()


def _unpacked(module: Path) -> bytes:
    content = module.read_bytes()
    return lzma.decompress(content) if module.suffix == ".xz" else content
