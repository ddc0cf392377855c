"""Turn this process into a board's sshd: `python become_board.py BOARD.json`, as root.

The process enters user, mount and host-name namespaces of its own, where it mounts a private binfmt_misc that runs
aarch64 programs under QEMU (Linux 6.7), and executes sshd there. The host's own binfmt_misc, mounts and accounts stay
as they are, and everything ends with the process. Standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER = 0x20000, 0x4000000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
# 64-bit little-endian ELF for EM_AARCH64, executable or shared; F: the interpreter is opened now, outside the chroot.
_BINFMT = (
    rb":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
)
_libc = ctypes.CDLL(None, use_errno=True)


def main(path: str) -> None:
    with open(path) as description:
        fcntl.flock(description, fcntl.LOCK_SH)  # until this process is on record: `launches_held`
        if not os.path.exists(path):
            raise SystemExit("the board was removed")
        board = json.load(description)
        if board["tied"]:
            _record(board["process"])
        else:
            _detach(board["process"])
    root = Path(board["root"])
    _enter_namespaces()
    os.setgid(0)
    os.setuid(0)
    name = board["hostname"].encode()
    _check(_libc.sethostname(name, len(name)), "sethostname")
    _mount("none", "/", flags=MS_REC | MS_PRIVATE)
    _mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
    with open("/proc/sys/fs/binfmt_misc/register", "wb", buffering=0) as register:
        register.write(_BINFMT + board["qemu"].encode() + b":F")
    for account_file in ("passwd", "shadow"):
        _mount(board[account_file], f"/etc/{account_file}", flags=MS_BIND)
    for device in ("null", "zero", "urandom"):
        (root / "dev" / device).touch()
        _mount(f"/dev/{device}", root / "dev" / device, flags=MS_BIND)
    home = root / "home" / board["user"]
    if board["home_bytes"]:
        owner = board["user_id"]
        options = f"size={board['home_bytes']},mode=755,uid={owner},gid={owner}"
        _mount("tmpfs", home, "tmpfs", options=options)
    if board["read_only"]:
        _mount(home, home, flags=MS_BIND)
        _mount("none", home, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
    # sshd insists on a chroot whose whole path belongs to root and is closed to others.
    _mount(root, "/mnt", flags=MS_BIND | MS_REC)
    if board["tied"]:  # to who started it: a killed test run leaves no server behind
        _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    os.execv("/usr/sbin/sshd", ["/usr/sbin/sshd", "-D", "-E", board["log"], "-f", board["config"]])


def _record(path: str) -> None:
    """Write which process this is: its pid alone may be another's tomorrow."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    Path(path).write_text(Path("/proc/self/stat").read_text() + boot)


def _detach(record: str) -> None:
    """Go on, on record, as a process that nobody waits for; the one that was started then ends."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    os.setsid()
    _record(record)
    os.close(write)


def _enter_namespaces() -> None:
    """Enter them with user ids that are the host's; a helper outside writes the maps, which needs its privilege."""
    me = os.getpid()
    ready_read, ready_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(ready_write)
        os.read(ready_read, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{me}/{name}").write_text("0 0 65536")
        os._exit(0)
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    os.close(ready_read)
    os.write(ready_write, b"x")
    os.close(ready_write)
    _, status = os.waitpid(helper, 0)
    if status != 0:
        raise SystemExit("cannot map user ids")


def _mount(source: object, target: object, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        str(source).encode(), str(target).encode(), kind.encode() or None, flags, options.encode() or None
    )
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


if __name__ == "__main__":
    main(sys.argv[1])
