#!/usr/bin/env python3
"""Compares the instructions that Fulgur executes with those of bench/counts.json.

    tools/counts.py                          every entry; exit code 1 when one grew by 1 % or more
    tools/counts.py --update                 writes today's counts
    tools/counts.py --only NAME...           these entries only
    tools/counts.py --fulgur PATH            the command to count (default build/release/fulgur)

Instructions repeat to a few hundredths of a per cent where times do not repeat to ten (see
docs/comparing.md), but another compiler or C library makes others. So counts are stored with a
fingerprint of both and of the kind of build. On another fingerprint nothing is compared: that is
said, the new counts are printed, and it passes.

What must cost more may: when the newest commit's message has a line `Counts: why ...` growth is told
and passes. Then run --update, so that the next change is compared with the new counts.

An entry of bench/counts.json is a name, a command in which {FULGUR} is the command's path and {DIR} an
empty directory, and a marker: the function to count inside of (empty: all of the program).
Exit code: 0 nothing grew, 1 something grew, 2 an error.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORMAT = "counts/1"
LIMIT = 0.01
TIMEOUT_S = 600
COLLECTED = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
REASON = re.compile(r"^Counts: *why\b[ :,]*(\S.*)$", re.MULTILINE)


class Failure(Exception):
    """What ends the tool with exit code 2; the text is for people."""


def output_of(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def fingerprint(fulgur):
    """What, when it changes, changes counts without any change of ours."""
    build = ""
    cache = Path(fulgur).resolve().parent / "CMakeCache.txt"
    compiler = "g++"
    if cache.is_file():
        text = cache.read_text(encoding="utf-8")
        found = re.search(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", text, re.MULTILINE)
        build = found.group(1) if found else ""
        found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", text, re.MULTILINE)
        compiler = found.group(1) if found else compiler
    version = output_of(compiler, "--version").splitlines()
    package = output_of("dpkg-query", "-W", "-f=${Version}", "libc6")
    return {"compiler": version[0] if version else "unknown",
            "libc": package or output_of("getconf", "GNU_LIBC_VERSION") or "unknown",
            "machine": os.uname().machine, "processor": processor(),
            "build": build or "unknown"}


def processor():
    """Its family: the C library picks its copying and comparing by it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    words = []
    for name in ("vendor_id", "cpu family", "model"):
        found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
        words.append(found.group(1) if found else "?")
    return " ".join(words)


def fixed_addresses():
    setarch = shutil.which("setarch")
    if setarch and subprocess.run([setarch, "-R", "true"], capture_output=True,
                                  check=False).returncode == 0:
        return [setarch, "-R"]
    return []


def count(entry, fulgur, valgrind):
    """Instructions of one entry."""
    with tempfile.TemporaryDirectory() as folder:
        command = [word.replace("{FULGUR}", str(fulgur)).replace("{DIR}", folder)
                   for word in entry["command"]]
        marker = [f"--toggle-collect={entry['marker']}"] if entry.get("marker") else []
        # The same few variables everywhere: the environment lies on the stack and is searched.
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": "/"}
        try:
            done = subprocess.run(
                [*fixed_addresses(), valgrind, "--tool=callgrind", "--cache-sim=no",
                 "--branch-sim=no", "--callgrind-out-file=/dev/null", *marker, *command],
                capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT_S,
                env=environment, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failure(f"{entry['name']} did not end within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-5:])
        raise Failure(f"{entry['name']} failed with exit code {done.returncode}:\n{tail}")
    found = COLLECTED.findall(done.stderr)
    if not found or int(found[-1]) == 0:
        where = f" inside {entry['marker']}" if entry.get("marker") else ""
        raise Failure(f"{entry['name']}: callgrind counted nothing{where}")
    return int(found[-1])


def load(path):
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {error}") from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise Failure(f"{path}: not of format {FORMAT}")
    for entry in stored.get("entries", []):
        if not entry.get("name") or not isinstance(entry.get("command"), list):
            raise Failure(f"{path}: an entry needs a name and a command")
    if not stored.get("entries"):
        raise Failure(f"{path}: no entries")
    return stored


def reason_of_newest_commit():
    found = REASON.search(output_of("git", "log", "-1", "--format=%B"))
    return found.group(1) if found else None


def judge(counts, before, reason):
    """Prints a line for each count. @return whether something grew without a reason."""
    failed = False
    for name, now in counts.items():
        then = before.get(name)
        if then is None:
            print(f"new       {name}: {now:,}")
            continue
        change = now / then - 1
        grew = change >= LIMIT
        word = "equal" if abs(change) < LIMIT else "fewer" if change < 0 else \
            "explained" if reason else "GREW"
        print(f"{word:<9} {name}: {then:,} -> {now:,} ({change:+.2%})")
        failed = failed or (grew and not reason)
    if reason:
        print(f"the newest commit says why: {reason}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--fulgur", type=Path, default=ROOT / "build/release/fulgur")
    parser.add_argument("--stored", type=Path, default=ROOT / "bench/counts.json")
    arguments = parser.parse_args()

    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise Failure("valgrind is not installed: nothing was counted")
    if not arguments.fulgur.is_file():
        raise Failure(f"{arguments.fulgur} is not built: cmake --build build/release")
    stored = load(arguments.stored)
    unknown = set(arguments.only or []) - {entry["name"] for entry in stored["entries"]}
    if unknown:
        raise Failure(f"no entry is named {sorted(unknown)[0]}")
    counts = {entry["name"]: count(entry, arguments.fulgur.resolve(), valgrind)
              for entry in stored["entries"]
              if not arguments.only or entry["name"] in arguments.only}

    mark = fingerprint(arguments.fulgur)
    known = next((one for one in stored.get("stored", []) if one["fingerprint"] == mark), None)
    if arguments.update:
        merged = {**(known["counts"] if known else {}), **counts}
        names = [entry["name"] for entry in stored["entries"]]
        others = [one for one in stored.get("stored", []) if one["fingerprint"] != mark]
        stored["stored"] = others + [{
            "fingerprint": mark, "counts": {name: merged[name] for name in names if name in merged}}]
        arguments.stored.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {len(counts)} counts to {arguments.stored}")
        return 0
    if known is None:
        print(f"note: no counts are stored for {json.dumps(mark)}: nothing was compared")
        for name, now in counts.items():
            print(f"counted   {name}: {now:,}")
        return 0
    if judge(counts, known["counts"], reason_of_newest_commit()):
        print("\nsomething executes 1 % more instructions. If that is right, say why in the commit's "
              "message:\n    Counts: why ...\nand store the new counts: tools/counts.py --update")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"counts: {failure}", file=sys.stderr)
        sys.exit(2)
