#!/usr/bin/env bash
# The installed package works for strangers: by find_package and by pkg-config, with a flat and with
# a multi-arch library folder, and still after the whole prefix was moved.
# FULGUR: the command of a release build, whose library serves; without one it is compiled here.
set -eu
set -o pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
library=$(dirname "${FULGUR:-$root/none/fulgur}")/libfulgur.a
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'package_test: %s\n' "$1" >&2
    exit 1
}

# Runs a command quietly; its output is told when it fails.
quiet() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "failed: $*"; }
}

check_layout() {
    local libdir=$1
    local built=$work/build prefix=$work/prefix moved=$work/moved/elsewhere
    rm -rf "$work/moved"
    mkdir -p "$work/moved"
    quiet cmake -S "$root" -B "$built" -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" \
        -DCMAKE_INSTALL_LIBDIR="$libdir" -DFULGUR_TESTS=OFF -DFULGUR_CLI=OFF -DFULGUR_PEERS=OFF
    if [ -f "$library" ]; then
        cp "$library" "$built/"
    else
        quiet ninja -C "$built"
    fi
    quiet cmake --install "$built"
    mv "$prefix" "$moved"

    # Nothing installed may know where it was built or installed first.
    if grep -rlF -e "$prefix" -e "$root" "$moved" --include='*.cmake' --include='*.pc' --include='*.h'; then
        fail "an installed file names the folder it came from"
    fi

    quiet cmake -S "$root/tests/consumer" -B "$work/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$moved"
    quiet ninja -C "$work/consumer"
    quiet "$work/consumer/consumer"
    rm -rf "$work/consumer"

    local flags
    flags=$(PKG_CONFIG_PATH="$moved/$libdir/pkgconfig" pkg-config --cflags --libs fulgur) ||
        fail "pkg-config does not find fulgur"
    # shellcheck disable=SC2086
    quiet g++ -std=c++20 -Wall -Wextra -Werror "$root/tests/consumer/consumer.cc" -o "$work/by_pc" $flags
    quiet "$work/by_pc"

    # A stranger is asked for nothing but threads and the two libraries that compress.
    if grep -rhE '^ *find_(dependency|package)\(' "$moved/$libdir/cmake" | grep -v Threads ||
        pkg-config --print-requires --print-requires-private "$moved/$libdir/pkgconfig/fulgur.pc" |
        grep .; then
        fail "the package asks for more than threads, lz4 and zstd"
    fi
}

check_layout lib
check_layout lib/x86_64-linux-gnu
printf 'package_test: find_package and pkg-config work, both layouts, moved\n'
