# Sourced by install scripts: packages of Debian or Ubuntu for this machine, and arm64 packages that are only unpacked.
# The host stays as it is: no foreign architecture is added, no emulator is registered with the kernel, no service runs.
# shellcheck shell=sh

say() { echo "lab: $*"; }
die() { echo "lab: $*" >&2; exit 1; }

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
[ "$(id -u)" = 0 ] || die "run this as root: it installs packages"
command -v apt-get >/dev/null || die "this system has no apt-get: the lab knows how to install itself on Debian and Ubuntu only"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

updated=
update_once() {
    [ -z "$updated" ] || return 0
    updated=yes
    # A third-party source that does not answer is no reason to stop.
    apt-get -qq -o DPkg::Lock::Timeout=120 update || say "apt-get update reports an error; going on"
}

# install_packages PACKAGE...: without starting the services that they bring.
install_packages() {
    say "installing $*"
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

# arm64 COMMAND...: apt with an arm64 configuration of its own, from the mirror that this machine uses.
arm64() {
    if [ ! -e "$work/apt.conf" ]; then
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
        mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
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
    fi
    APT_CONFIG="$work/apt.conf" "$@"
}

# unpack_arm64 FOLDER PACKAGE...: exactly these packages, not what they depend on, as a tree of files.
unpack_arm64() {
    folder=$1
    shift
    mkdir -p "$work/debs"
    (cd "$work/debs" && arm64 apt-get -qq download "$@" >/dev/null) || die "cannot download for arm64: $*"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
    rm -r "$work/debs"
}
