#!/usr/bin/env bash
# ./start does its main job on real data, does nothing a second time, and fails with one line.
set -u
set -o pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export FULGUR_DATA=$work/data

fail() {
    printf 'start_test: %s\n' "$1" >&2
    exit 1
}

"$root/start" >"$work/first" 2>&1 || { cat "$work/first" >&2; fail "./start failed"; }
grep -q 'loading the package index' "$work/first" || fail "the first run loaded nothing"
count=$("$FULGUR" count "$FULGUR_DATA") || fail "fulgur count failed"
stanzas=$(apt-cache dumpavail | grep -c '^Package: ')
[ "$count" -gt 1000 ] && [ "$count" -le "$stanzas" ] ||
    fail "$count records were loaded from $stanzas stanzas"
grep -q "^$count\$" "$work/first" || fail "the count was not shown"

"$root/start" >"$work/second" 2>&1 || { cat "$work/second" >&2; fail "the second ./start failed"; }
grep -q 'loading' "$work/second" && fail "the second run loaded again"
[ "$("$FULGUR" count "$FULGUR_DATA")" = "$count" ] || fail "the second run changed the count"

# Arguments go through, and so does the exit code.
[ "$("$root/start" count "$FULGUR_DATA")" = "$count" ] || fail "arguments do not pass through"
"$root/start" no-such-subcommand >/dev/null 2>&1 && fail "an unknown sub-command succeeded"
[[ $("$root/start" --help) == *--build-only* ]] || fail "--help does not tell --build-only"
[ -z "$("$root/start" --build-only 2>&1)" ] || fail "--build-only is not quiet when all is built"
printf 'start_test: loaded %s records once\n' "$count"
