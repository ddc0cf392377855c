#!/bin/sh
# Install what the test lanes need from the system: an emulator for aarch64, an SSH server that is not started, and
# the few arm64 packages of which the lab's boards are made. Root, on Debian or Ubuntu; a second call changes nothing.
#
# The host stays as it is: no foreign architecture is added, no emulator is registered with the kernel, no service
# runs. The lab's own files are under FUSEKIT_LAB (/var/cache/fusekit-lab).
set -eu

lab=${FUSEKIT_LAB:-/var/cache/fusekit-lab}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

say() { echo "lab: $*"; }
die() { echo "lab: $*" >&2; exit 1; }
is_static() { [ -x "$1" ] && ldd "$1" 2>&1 | grep -Eq 'not a dynamic executable|statically linked'; }

[ "$(id -u)" = 0 ] || die "run this as root: it installs packages"
command -v apt-get >/dev/null || die "this system has no apt-get: install qemu-user, openssh-server and openssh-client"
mkdir -p "$lab/bin"

updated=
update_once() {
    [ -z "$updated" ] || return 0
    updated=yes
    # A third-party source that does not answer is no reason to stop.
    apt-get -qq -o DPkg::Lock::Timeout=120 update || say "apt-get update reports an error; going on"
}

install_packages() {
    update_once
    policy=/usr/sbin/policy-rc.d
    ours=
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    code=0
    apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >/dev/null || code=$?
    [ -z "$ours" ] || rm -f "$policy"
    [ "$code" = 0 ] || die "apt-get cannot install: $*"
}

wanted=
[ -x /usr/sbin/sshd ] || wanted="$wanted openssh-server"
command -v ssh-keygen >/dev/null || wanted="$wanted openssh-client"
command -v qemu-aarch64 >/dev/null || wanted="$wanted qemu-user"
if [ -n "$wanted" ]; then
    say "installing$wanted"
    # shellcheck disable=SC2086
    install_packages $wanted
fi

# Only makes the file system known; nothing is registered with it here.
grep -q binfmt_misc /proc/filesystems || modprobe binfmt_misc 2>/dev/null || say "this kernel has no binfmt_misc"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A static emulator, which works inside a board's own root. The package qemu-user-static would register it with the
# host's kernel, so it is unpacked, not installed. Newer releases have it in qemu-user.
if ! is_static "$lab/bin/qemu-aarch64-static"; then
    for found in "$(command -v qemu-aarch64-static || true)" "$(command -v qemu-aarch64 || true)"; do
        if is_static "$found"; then cp "$found" "$lab/bin/qemu-aarch64-static"; break; fi
    done
fi
if ! is_static "$lab/bin/qemu-aarch64-static"; then
    say "unpacking qemu-user-static"
    update_once
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download qemu-user-static >/dev/null)
    dpkg-deb -x "$work"/qemu-user-static_*.deb "$work/qemu"
    is_static "$work/qemu/usr/bin/qemu-aarch64-static" || die "qemu-user-static has no static qemu-aarch64"
    cp "$work/qemu/usr/bin/qemu-aarch64-static" "$lab/bin/qemu-aarch64-static"
fi

# arm64 packages, through an apt configuration of their own.
if [ ! -e "$lab/arm64/complete" ]; then
    say "fetching arm64 packages"
    . /etc/os-release
    case "$ID" in
        ubuntu) mirror=http://ports.ubuntu.com/ubuntu-ports keyring=ubuntu-archive-keyring.gpg ;;
        *)
            keyring=debian-archive-keyring.gpg
            mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" \
                'Origin: Debian' 'Component: main' 2>/dev/null | head -n 1)
            mirror=${mirror:-http://deb.debian.org/debian}
            ;;
    esac
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs"
    : > "$work/state/status"
    echo "deb [arch=arm64 signed-by=/usr/share/keyrings/$keyring] $mirror $VERSION_CODENAME main" > "$work/sources.list"
    cat > "$work/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
END
    APT_CONFIG="$work/apt.conf" apt-get -qq update
    (cd "$work/debs" && APT_CONFIG="$work/apt.conf" apt-get -qq download busybox dash libc6 >/dev/null)
    rm -rf "$lab/arm64"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/arm64"; done
    mv "$work/arm64" "$lab/arm64"
    : > "$lab/arm64/complete"
fi
say "ready in $lab"
