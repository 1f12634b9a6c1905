#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing, and says so in one line.
#
#   tools/install_packages.sh [--optional] PACKAGE...
#
# Silent when all are there. As root, or with sudo. With --optional a failure is told and passed over.
# FULGUR_NO_INSTALL=1 installs nothing and trusts you: for other systems than Debian.
set -u
set -o pipefail

optional=no
if [ "${1:-}" = "--optional" ]; then
    optional=yes
    shift
fi

[ "${FULGUR_NO_INSTALL:-0}" = 1 ] && exit 0

fail() {
    printf '%s\n' "$1" >&2
    [ "$optional" = yes ] && exit 0
    exit 1
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "missing: apt-get. This is not Debian: install what corresponds to '$*', set FULGUR_NO_INSTALL=1"

missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "missing: ${missing[*]} (run as root, or install sudo)"
    as_root=(sudo)
fi

log=$(mktemp) || fail "cannot make a temporary file"
trap 'rm -f "$log"' EXIT
printf 'installing %s\n' "${missing[*]}" >&2

run_apt() {
    # The lock is waited for: another apt may be at work on a fresh machine.
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}

why() { grep -E '^(E|Err)[: ]' "$log" | tail -1; }

run_apt update || fail "cannot update the package lists: $(why)"
run_apt install --no-install-recommends "${missing[@]}" ||
    fail "cannot install ${missing[*]}: $(why)"
