#!/bin/sh
# Install Bochs, under which the tests run AVX-512 code on any machine, with the screen that needs no display. Root, on
# Debian or Ubuntu; a second call changes nothing.
set -eu

export DEBIAN_FRONTEND=noninteractive LC_ALL=C

say() { echo "bochs: $*"; }
die() { echo "bochs: $*" >&2; exit 1; }

if command -v bochs >/dev/null && dpkg -s bochs-term >/dev/null 2>&1; then
    say "bochs is there"
    exit 0
fi
[ "$(id -u)" = 0 ] || die "run this as root: it installs packages"
command -v apt-get >/dev/null || die "this system has no apt-get: install Bochs with its terminal display"
# A third-party source that does not answer is no reason to stop.
apt-get -qq -o DPkg::Lock::Timeout=120 update || say "apt-get update reports an error; going on"
say "installing bochs and bochs-term"
apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends bochs bochs-term bochsbios vgabios >/dev/null ||
    die "apt-get cannot install bochs bochs-term bochsbios vgabios"
