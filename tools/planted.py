#!/usr/bin/env python3
"""Proves that the tests find faults: runs them with one planted fault after the other.

    tools/planted.py            builds the preset `planted`, runs every row of tools/planted_faults.txt
    tools/planted.py NAME...    these faults only
    tools/planted.py --list     what is planted where

Each test must pass without a fault and fail with it. A fault in the code that no row names, and a row
whose fault is not in the code, are failures too. Exit code: 0 when every fault was caught.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = "build/planted"
TIMEOUT_S = 240
PLANTED = re.compile(r'FULGUR_PLANTED\("(\w+)"\)')


@dataclass(frozen=True)
class Row:
    name: str
    executable: str
    filter: str

    def arguments(self, root):
        program = root / BUILD / self.executable
        if self.executable.endswith("_fuzzer"):
            return [program, root / "fuzz/corpus" / self.executable.removesuffix("_fuzzer")]
        return [program, f"--gtest_filter={self.filter}", "--gtest_brief=1"]


class BadTable(Exception):
    """The table and the code do not agree; the text says where."""


def read_table(text):
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) not in (2, 3):
            raise BadTable(f"line {number}: not NAME EXECUTABLE [GTEST_FILTER]")
        rows.append(Row(words[0], words[1], words[2] if len(words) == 3 else "*"))
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise BadTable(f"{name} has more than one row")
    return rows


def planted_in(root):
    """Name of each fault in the code -> the file it is in."""
    found = {}
    for folder in ("src", "bench", "fuzz"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc") or path.name == "planted.h":
                continue
            for name in PLANTED.findall(path.read_text(encoding="utf-8")):
                found[name] = path.relative_to(root)
    return found


def compare(rows, found):
    listed = {row.name for row in rows}
    problems = [f"{name} ({found[name]}) is in no row" for name in sorted(set(found) - listed)]
    problems += [f"{name} has a row and is not in the code" for name in sorted(listed - set(found))]
    if problems:
        raise BadTable("; ".join(problems))


def run(root, row, fault):
    """@return the exit code; None when it ran out of time."""
    environment = {**os.environ, "FULGUR_PLANT": fault or ""}
    if row.executable == "simulation_test":  # More than a plain run has, to meet each fault.
        environment["FULGUR_SEEDS"] = "300"
    try:
        return subprocess.run([str(a) for a in row.arguments(root)], cwd=root, env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=TIMEOUT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return None


def build(root, rows):
    targets = sorted({row.executable for row in rows})
    for command in (["cmake", "--preset", "planted"], ["ninja", "-C", BUILD, *targets]):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stdout.write(done.stdout[-4000:] + done.stderr[-4000:])
            raise BadTable(f"{' '.join(command[:3])} failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    try:
        rows = read_table((root / "tools/planted_faults.txt").read_text(encoding="utf-8"))
        found = planted_in(root)
        compare(rows, found)
        if arguments.list:
            for row in rows:
                print(f"{row.name:<36} {str(found[row.name]):<36} {row.executable} {row.filter}")
            return 0
        rows = [row for row in rows if not arguments.names or row.name in arguments.names]
        if not arguments.no_build and rows:
            build(root, rows)
    except BadTable as error:
        print(f"planted: {error}")
        print("planted: 0 caught, 1 failed")
        return 1

    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        tests = sorted({(row.executable, row.filter): row for row in rows}.values(),
                       key=lambda row: (row.executable, row.filter))
        clean = dict(zip(((t.executable, t.filter) for t in tests),
                         pool.map(lambda row: run(root, row, None), tests)))
        codes = list(pool.map(lambda row: run(root, row, row.name), rows))
    failed = 0
    for row, code in zip(rows, codes):
        # A test that fails anyway proves nothing; one that hangs with the fault has found it.
        sound = clean[(row.executable, row.filter)] == 0
        caught = sound and code != 0
        failed += not caught
        word = "caught" if caught else "NOT CAUGHT" if sound else "TEST FAILS WITHOUT THE FAULT"
        print(f"{word:<12} {row.name:<36} {row.executable} {row.filter}")
    print(f"planted: {len(rows) - failed} caught, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
