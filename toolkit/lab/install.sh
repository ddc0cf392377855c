#!/bin/sh
# Install what the lab's boards need from the system: an emulator for aarch64, an SSH server that is not started, and the
# few arm64 packages of which the boards are made. Root, on Debian or Ubuntu; a second call changes nothing.
# The lab's own files are under FUSEKIT_LAB (/var/cache/fusekit-lab).
set -eu
. "$(dirname "$0")/debian.sh"

lab=${FUSEKIT_LAB:-/var/cache/fusekit-lab}
is_static() { [ -x "$1" ] && ldd "$1" 2>&1 | grep -Eq 'not a dynamic executable|statically linked'; }

mkdir -p "$lab/bin"
wanted=
[ -x /usr/sbin/sshd ] || wanted="$wanted openssh-server"
command -v ssh-keygen >/dev/null || wanted="$wanted openssh-client"
command -v qemu-aarch64 >/dev/null || wanted="$wanted qemu-user"
# shellcheck disable=SC2086
[ -z "$wanted" ] || install_packages $wanted

# Only makes the file system known; nothing is registered with it here.
grep -q binfmt_misc /proc/filesystems || modprobe binfmt_misc 2>/dev/null || say "this kernel has no binfmt_misc"

# A static emulator, which works inside a board's own root. The package qemu-user-static would register it with the
# host's kernel, so it is unpacked, not installed. Newer releases have it in qemu-user.
emulator=$lab/bin/qemu-aarch64-static
if ! is_static "$emulator"; then
    for found in "$(command -v qemu-aarch64-static || true)" "$(command -v qemu-aarch64 || true)"; do
        if is_static "$found"; then cp "$found" "$emulator"; break; fi
    done
fi
if ! is_static "$emulator"; then
    say "unpacking qemu-user-static"
    update_once
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download qemu-user-static >/dev/null)
    dpkg-deb -x "$work"/qemu-user-static_*.deb "$work/qemu"
    is_static "$work/qemu/usr/bin/qemu-aarch64-static" || die "qemu-user-static has no static qemu-aarch64"
    cp "$work/qemu/usr/bin/qemu-aarch64-static" "$emulator"
fi

if [ ! -e "$lab/arm64/complete" ]; then
    say "fetching arm64 packages"
    unpack_arm64 "$work/arm64" busybox dash libc6
    rm -rf "$lab/arm64"
    mv "$work/arm64" "$lab/arm64"
    : > "$lab/arm64/complete"
fi
say "ready in $lab"
