#!/usr/bin/env python3
"""Turns Debian's package index into JSON lines that `fulgur load --format jsonl` reads.

    apt-cache dumpavail | tools/packages_to_jsonl.py | fulgur load DIR --format jsonl -

One line a package: {"key": "package/NAME/VERSION", "value": "{...}"}, where the value is the stanza
as a JSON object in text. Sizes become numbers and dependency lists become arrays; all other fields
stay the strings they are. Bytes that are not UTF-8 become U+FFFD. Memory: one stanza at a time.
"""

import json
import sys

NUMBERS = {"Size", "Installed-Size"}
LISTS = {"Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts",
         "Replaces", "Provides", "Tag"}


class BadInput(Exception):
    """The input is not a package index; the text says where."""


def stanzas(lines):
    """Yields each stanza as a dict of field to text; continuation lines are joined by newlines."""
    fields, last = {}, None
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip():
            if fields:
                yield number, fields
            fields, last = {}, None
        elif line[0] in " \t":
            if last is None:
                raise BadInput(f"line {number}: continuation of no field")
            fields[last] += "\n" + line[1:]
        else:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadInput(f"line {number}: no colon in a field: {line[:60]!r}")
            last = name
            fields[last] = value.strip()
    if fields:
        yield number, fields


def record(fields):
    """The (key, value object) of one stanza, or None when it names no package and version."""
    if "Package" not in fields or "Version" not in fields:
        return None
    value = {}
    for name, text in fields.items():
        if name in NUMBERS and text.isdigit():
            value[name] = int(text)
        elif name in LISTS:
            value[name] = [part.strip() for part in text.split(",") if part.strip()]
        else:
            value[name] = text
    return f"package/{fields['Package']}/{fields['Version']}", value


def convert(lines, out):
    """Writes one JSON line a package to `out`; returns (packages, stanzas passed over)."""
    packages = passed_over = 0
    for _, fields in stanzas(lines):
        found = record(fields)
        if found is None:
            passed_over += 1
            continue
        key, value = found
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        out.write(json.dumps({"key": key, "value": text}, ensure_ascii=False) + "\n")
        packages += 1
    return packages, passed_over


def main(arguments):
    if arguments:
        print(__doc__.strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    source = open(sys.stdin.fileno(), encoding="utf-8", errors="replace", newline="\n")
    out = open(sys.stdout.fileno(), "w", encoding="utf-8", newline="\n", closefd=False)
    try:
        packages, passed_over = convert(source, out)
        out.flush()
    except BadInput as error:
        print(f"packages_to_jsonl: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1  # The reader ended first and has said why.
    if passed_over:
        print(f"packages_to_jsonl: {passed_over} stanzas without package or version passed over",
              file=sys.stderr)
    if not packages:
        print("packages_to_jsonl: no packages in the input", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
