#!/bin/sh
# Install what the lab's virtual machine needs: QEMU's full-system emulator for arm64, and Debian's arm64 cloud kernel and
# dropbear, unpacked under FUSEKIT_LAB (/var/cache/fusekit-lab). Root, on Debian; a second call changes nothing.
set -eu
here=$(dirname "$0")
sh "$here/../lab/install.sh"
. "$here/../../toolkit/lab/debian.sh"

lab=${FUSEKIT_LAB:-/var/cache/fusekit-lab}
command -v qemu-system-aarch64 >/dev/null || install_packages qemu-system-arm

if [ ! -e "$lab/vm/complete" ]; then
    say "fetching an arm64 kernel and SSH server"
    # The package of that name holds nothing: it depends on the kernel of the day.
    kernel=$(arm64 apt-cache depends --important linux-image-cloud-arm64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    [ -n "$kernel" ] || die "linux-image-cloud-arm64 depends on no kernel"
    libraries=$(arm64 apt-cache depends --recurse --no-suggests --no-recommends --no-conflicts --no-breaks --no-replaces \
        --no-enhances dropbear-bin | grep -E '^(lib|zlib)' | sort -u)
    # shellcheck disable=SC2086
    unpack_arm64 "$work/vm" "$kernel" dropbear-bin $libraries
    rm -rf "$lab/vm"
    mv "$work/vm" "$lab/vm"
    : > "$lab/vm/complete"
fi
say "the virtual machine is ready in $lab/vm"
