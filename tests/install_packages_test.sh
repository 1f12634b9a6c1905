#!/usr/bin/env bash
# tools/install_packages.sh asks apt for what is missing and for nothing else, and fails with one
# line. apt-get and sudo are stand-ins here: nothing is installed, no network is needed.
set -u
set -o pipefail
tool=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/tools/install_packages.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo"
cat >"$work/bin/dpkg-query" <<'TEXT'
#!/bin/sh
case "$*" in *" here") printf installed ;; *" gone") printf config-files ;; *) exit 1 ;; esac
TEXT
cat >"$work/bin/apt-get" <<TEXT
#!/bin/sh
echo "\$@" >>"$work/asked"
case "\$*" in *" wrong"*) echo "E: Unable to locate package wrong"; exit 100 ;; esac
TEXT
chmod +x "$work/bin/"*
export PATH=$work/bin:$PATH

fail() {
    printf 'install_packages_test: %s\n' "$1" >&2
    exit 1
}

# Runs the tool; its exit code is in `code`, what it printed in `told`, what apt was asked in `asked`.
run() {
    : >"$work/asked"
    told=$("$tool" "$@" 2>&1)
    code=$?
    asked=$(cat "$work/asked")
}

run here
[ "$code" = 0 ] && [ -z "$told$asked" ] || fail "not silent when all is there: $told $asked"

run here gone absent
[ "$code" = 0 ] && [ "$told" = "installing gone absent" ] || fail "said: $told"
[ "$(printf '%s\n' "$asked" | grep -c ' update$')" = 1 ] || fail "lists were not updated once: $asked"
printf '%s\n' "$asked" | grep -qE ' install .*gone absent$' || fail "asked: $asked"
printf '%s\n' "$asked" | grep -q here && fail "asked for what is there: $asked"

run here wrong
[ "$code" = 1 ] || fail "a package that apt does not know was no failure"
[ "$(printf '%s\n' "$told" | tail -n +2)" = \
    "cannot install wrong: E: Unable to locate package wrong" ] || fail "said: $told"

run --optional wrong
[ "$code" = 0 ] || fail "an optional package ended the run"

FULGUR_NO_INSTALL=1 run absent
[ "$code" = 0 ] && [ -z "$told$asked" ] || fail "FULGUR_NO_INSTALL=1 installs"

if [ "$(id -u)" -ne 0 ]; then
    rm "$work/bin/sudo"
    command -v sudo >/dev/null || {
        run absent
        [ "$code" = 1 ] && [ "$told" = "missing: absent (run as root, or install sudo)" ] ||
            fail "said: $told"
    }
fi
printf 'install_packages_test: asks for what is missing, once\n'
