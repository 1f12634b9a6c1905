#!/usr/bin/env python3
"""Makes CHANGELOG.md out of the notes in changes/ (changes/README.md says how they are named).

    tools/changelog.py            prints it
    tools/changelog.py --write    writes CHANGELOG.md
    tools/changelog.py --check    fails when CHANGELOG.md is not what --write would write
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"added": "Added", "changed": "Changed", "fixed": "Fixed", "removed": "Removed",
         "security": "Security"}
HEAD = "# Changes\n\nNewest first. Made by `tools/changelog.py` out of `changes/`: edit the notes there.\n"


class BadNote(Exception):
    """A note has a name or a text that cannot be used; the text names the file."""


def version_key(name):
    return tuple(int(part) for part in name.split("."))


def notes_of(folder):
    """Kind -> texts, in the order of the file names."""
    notes = {kind: [] for kind in KINDS}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"([a-z]+)-[a-z0-9][a-z0-9-]*\.md", path.name)
        if not match or match.group(1) not in KINDS:
            raise BadNote(f"{folder.name}/{path.name}: not KIND-short-title.md "
                          f"with KIND one of {', '.join(KINDS)}")
        text = path.read_text(encoding="utf-8").strip()
        if not text or "\n\n" in text:
            raise BadNote(f"{folder.name}/{path.name}: a note is one paragraph")
        notes[match.group(1)].append(text)
    return notes


def changelog(changes):
    parts = [HEAD]
    folders = [p for p in changes.iterdir() if p.is_dir()]
    for folder in folders:
        if not re.fullmatch(r"\d+\.\d+\.\d+", folder.name):
            raise BadNote(f"{folder.name}: not a version")
    for folder in sorted(folders, key=lambda p: version_key(p.name), reverse=True):
        parts.append(f"\n## {folder.name}\n")
        for kind, texts in notes_of(folder).items():
            if texts:
                parts.append(f"\n### {KINDS[kind]}\n\n")
                parts.extend("* " + text.replace("\n", "\n  ") + "\n" for text in texts)
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description="Makes CHANGELOG.md out of changes/.")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    target = arguments.root / "CHANGELOG.md"
    try:
        text = changelog(arguments.root / "changes")
    except BadNote as error:
        print(f"changelog: {error}", file=sys.stderr)
        return 1
    if arguments.write:
        target.write_text(text, encoding="utf-8")
    elif arguments.check:
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            print("changelog: CHANGELOG.md is stale: run tools/changelog.py --write", file=sys.stderr)
            return 1
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
