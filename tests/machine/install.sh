#!/bin/sh
# Install llvm-mca, by which the tests judge the Cortex-A76's code: the newest LLVM of the system's package sources that
# is new enough. Root, on Debian or Ubuntu; a second call changes nothing.
set -eu

first=20 last=30
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

say() { echo "llvm-mca: $*"; }
die() { echo "llvm-mca: $*" >&2; exit 1; }

version=$last
while [ "$version" -ge "$first" ]; do
    if command -v "llvm-mca-$version" >/dev/null; then
        say "llvm-mca-$version is there"
        exit 0
    fi
    version=$((version - 1))
done

[ "$(id -u)" = 0 ] || die "run this as root: it installs a package"
command -v apt-get >/dev/null || die "this system has no apt-get: install LLVM $first or newer"
# A third-party source that does not answer is no reason to stop.
apt-get -qq -o DPkg::Lock::Timeout=120 update || say "apt-get update reports an error; going on"
version=$last
while [ "$version" -ge "$first" ]; do
    if apt-cache show "llvm-$version" >/dev/null 2>&1; then
        say "installing llvm-$version"
        apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "llvm-$version" >/dev/null ||
            die "apt-get cannot install llvm-$version"
        command -v "llvm-mca-$version" >/dev/null || die "llvm-$version has no llvm-mca-$version"
        exit 0
    fi
    version=$((version - 1))
done
die "the package sources have no llvm-$first or newer"
