#!/usr/bin/env python3
"""Runs the suites of ./check and ends with one line: `N passed, N failed`.

    ./check                  everything that a change must pass
    ./check --long           the same with more seeds, and minutes of real fuzzing (clang 19)
    ./check --only NAME...   these suites only (see --list)
    ./check --list           the suites and their time budgets

Each suite prints how long it took beside its budget. A budget is what the suite should take on two
cores; over it is told, and four times over it ends the suite as hung. Logs: build/check/.
Exit code: 0 when nothing failed, 1 otherwise.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "check"
ROOMS = ("base", "os", "storage", "db", "store", "bench", "cli")
CONCURRENT_ROOMS = ("os", "storage", "db", "store")
HANG_FACTOR = 4
TAIL_LINES = 40
FUZZ_SECONDS = 60

RAN = re.compile(r"^\[ RUN      \] (\S+)")
OK = re.compile(r"^\[       OK \] (\S+)")
SKIPPED = re.compile(r"^\[  SKIPPED \] (\S+) \(")
FAILED = re.compile(r"^\[  FAILED  \] ([\w/.]+)(?:, where .*)? \(\d+ ms\)")
UNITTEST = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
UNITTEST_BAD = re.compile(r"(failures|errors|skipped)=(\d+)")


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)  # (what, text to show)
    notes: list = field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.notes += other.notes

    def words(self):
        parts = [f"{self.passed} passed", f"{self.failed} failed"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        return ", ".join(parts)


def failure(what, text):
    return Count(failed=1, failures=[(what, text)])


def tail(text, lines=TAIL_LINES):
    return "\n".join(text.splitlines()[-lines:])


def count_gtest(name, code, text):
    """What a GoogleTest program's output says, even when it died in the middle."""
    count, running = Count(), None
    for line in text.splitlines():
        if match := RAN.match(line):
            running = match.group(1)
        elif OK.match(line):
            count.passed, running = count.passed + 1, None
        elif SKIPPED.match(line):
            count.skipped, running = count.skipped + 1, None
        elif match := FAILED.match(line):
            count.failed, running = count.failed + 1, None
            count.failures.append((f"{name}: {match.group(1)}", block_of(match.group(1), text)))
    if running:
        count.failed += 1
        count.failures.append((f"{name}: {running} ended the program (exit {code})", tail(text)))
    elif code != 0 and not count.failed:
        count.add(failure(f"{name} (exit {code})", tail(text)))
    elif not count.passed and not count.failed:
        count.add(failure(f"{name}: ran no test", tail(text)))
    return count


def block_of(test, text):
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line == f"[ RUN      ] {test}"), 0)
    end = next((i for i in range(start, len(lines))
                if lines[i].startswith(f"[  FAILED  ] {test}")), len(lines))
    return tail("\n".join(lines[start:end]))


def count_unittest(name, code, text):
    ran = UNITTEST.search(text)
    if not ran:
        return failure(f"{name} (exit {code})", tail(text))
    bad = {kind: int(n) for kind, n in UNITTEST_BAD.findall(text.splitlines()[-1])}
    failed = bad.get("failures", 0) + bad.get("errors", 0)
    skipped = bad.get("skipped", 0)
    count = Count(int(ran.group(1)) - failed - skipped, failed, skipped)
    if failed or code:
        count.failed = max(1, failed)
        count.failures.append((name, tail(text)))
    return count


def count_one(name, code, text):
    """A program that is one test, told by its exit code."""
    return Count(passed=1) if code == 0 else failure(f"{name} (exit {code})", tail(text))


class Suite:
    """One suite: a name, a time budget, and where its logs go."""

    def __init__(self, name, budget_s, body, about):
        self.name, self.budget_s, self.body, self.about = name, budget_s, body, about
        self.deadline = None

    def run(self, long):
        self.started = time.monotonic()
        factor = HANG_FACTOR * (10 if long else 1)
        self.deadline = self.started + factor * self.budget_s
        (LOGS / self.name).mkdir(parents=True, exist_ok=True)
        count = self.body(self, long)
        self.seconds = time.monotonic() - self.started
        return count

    def command(self, what, arguments, counter=count_one, **environment):
        """Runs one program to its end or to the suite's deadline, and counts what it says."""
        log = LOGS / self.name / (re.sub(r"\W+", "_", what) + ".log")
        left = max(1, self.deadline - time.monotonic())
        with open(log, "wb") as out:
            process = subprocess.Popen([str(a) for a in arguments], stdout=out, cwd=ROOT,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env={**os.environ, **environment}, start_new_session=True)
            try:
                code = process.wait(left)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                code = None
        text = log.read_text(encoding="utf-8", errors="replace")
        if code is None:
            count = counter(what, -9, text) if counter is count_gtest else Count()
            count.add(failure(f"{what} hung and was ended after {left:.0f} s", tail(text)))
            return count
        return counter(what, code, text)

    def build(self, preset, targets):
        """Configures and builds; one passed test when it works."""
        folder = ROOT / "build" / preset
        cache = folder / "CMakeCache.txt"
        home = f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n"
        moved = cache.exists() and home not in cache.read_text(encoding="utf-8")
        # Each time, since packages may have come since; a moved checkout starts afresh.
        count = self.command(f"configure {preset}", ["cmake", "--preset", preset,
                                                     *(["--fresh"] if moved else [])])
        if count.failed:
            return count
        return self.command(f"build {preset}", ["ninja", "-C", folder, *targets], count_build)

    def in_parallel(self, jobs):
        count = Count()
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
            for result in pool.map(lambda job: job(), jobs):
                count.add(result)
        return count


def count_build(name, code, text):
    if code == 0:
        return Count(passed=1)
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if "error:" in line or "FAILED:" in line), 0)
    return failure(name, "\n".join(lines[first:first + TAIL_LINES]))


def sources(pattern):
    return sorted(path.stem for path in ROOT.glob(pattern))


def room_tests(rooms):
    return [f"{room}_test" for room in rooms
            if list(ROOT.glob(f"{'' if room == 'bench' else 'src/'}{room}/*_test.cc"))]


def seeds(long):
    return {"FULGUR_LONG": "1"} if long else {}


def run_gtests(suite, preset, names, long):
    before = without_random_addresses() if preset == "tsan" else []
    return suite.in_parallel([
        lambda name=name: suite.command(name, [*before, ROOT / "build" / preset / name],
                                        count_gtest, **seeds(long)) for name in names])


def without_random_addresses():
    """GCC 12's thread sanitizer refuses the address layout that newer kernels choose."""
    fixed = ["setarch", "-R"]
    works = shutil.which("setarch") and subprocess.run([*fixed, "true"], capture_output=True,
                                                       check=False).returncode == 0
    return fixed if works else []


# ---- the suites


def tidy(suite, long):
    jobs = [lambda: suite.command("tidy", [sys.executable, "tools/tidy"])]
    for test in sorted(ROOT.glob("tools/*_test.py")):
        jobs.append(lambda test=test: suite.command(test.stem, [sys.executable, test],
                                                    count_unittest))
    return suite.in_parallel(jobs)


def locks(suite, long):
    """Clang's proof that what a lock guards is touched under it only."""
    compiler = next((c for c in ("clang++-19", "clang++") if shutil.which(c)), None)
    if not compiler:
        return Count(skipped=1, notes=["no clang++: locks not proved"])
    flags = ["-std=c++20", "-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror=thread-safety",
             "-march=x86-64-v2", "-Iinclude", "-Isrc"]
    if os.uname().machine != "x86_64":
        flags.remove("-march=x86-64-v2")
    files = [p for room in ("base", "os", "storage", "db", "store") for p in
             sorted(ROOT.glob(f"src/{room}/*.cc")) if not p.stem.endswith("_test")]
    return suite.in_parallel([lambda p=p: suite.command(
        f"locks {p.relative_to(ROOT / 'src')}", [compiler, *flags, p]) for p in files])


def release(suite, long):
    system = sources("tests/*_test.cc")
    examples = [f"example_{name}" for name in sources("examples/*.cc")]
    build_file = ROOT / "build/release/build.ninja"
    count = suite.build("release", ["fulgur_cli", *system, *examples])
    if count.failed:
        return count
    benches = [name for name in sources("bench/*_bench.cc")
               if f"build {name}:" in build_file.read_text(encoding="utf-8")]
    if benches:
        count.add(suite.build("release", benches))
    elif list(ROOT.glob("bench/*_bench.cc")):
        count.notes.append("benchmarks not built: their peers are not installed")
    count.add(run_gtests(suite, "release", system, long))
    return count


def command(suite, long):
    """What people type, and the package that strangers use. Needs the release build."""
    tests = sorted(p for kind in ("sh", "py") for p in ROOT.glob(f"tests/**/*_test.{kind}"))
    fulgur = str(ROOT / "build/release/fulgur")
    count = suite.build("release", ["fulgur_cli"])
    if count.failed:
        return count
    count.add(suite.in_parallel([lambda p=p: suite.command(
        p.name, [sys.executable, p] if p.suffix == ".py" else ["bash", p],
        count_unittest if p.suffix == ".py" else count_one, FULGUR=fulgur, **seeds(long))
        for p in tests]))
    return count


def counts(suite, long):
    """Instructions, compared with those that are stored. Needs the release build."""
    if not shutil.which("valgrind"):
        return Count(skipped=1, notes=["no valgrind: instructions not counted"])
    count = suite.build("release", ["fulgur_cli"])
    if count.failed:
        return count
    count.add(suite.command("counts", [sys.executable, "tools/counts.py"], count_counts))
    return count


def count_counts(name, code, text):
    count = count_one(name, code, text)
    count.notes += [line.removeprefix("note: ") for line in text.splitlines()
                    if line.startswith("note: ")]
    return count


def asan(suite, long):
    tests = room_tests(ROOMS) + sources("tests/*_test.cc")
    fuzzers = sources("fuzz/*_fuzzer.cc")
    count = suite.build("asan", [*tests, *fuzzers])
    if count.failed:
        return count
    count.add(run_gtests(suite, "asan", tests, long))
    return count


def fuzz(suite, long):
    """Replays every corpus under the sanitizers; with --long mutates it for a minute each."""
    fuzzers = sources("fuzz/*_fuzzer.cc")
    count = suite.build("asan", fuzzers) if fuzzers else Count(skipped=1)
    if count.failed or not fuzzers:
        return count

    def corpus(name):
        return ROOT / "fuzz" / "corpus" / name.removesuffix("_fuzzer")

    count.add(suite.in_parallel([lambda f=f: suite.command(
        f"replay {f}", [ROOT / "build/asan" / f, corpus(f)]) for f in fuzzers]))
    if not long:
        return count
    if not shutil.which("clang++-19"):
        count.skipped += len(fuzzers)
        count.notes.append("no clang++-19: corpora replayed, not mutated")
        return count
    count.add(suite.build("fuzz", fuzzers))
    if count.failed:
        return count
    for name in fuzzers:
        grown = LOGS / "fuzz" / name
        grown.mkdir(parents=True, exist_ok=True)
        count.add(suite.command(f"fuzz {name}", [
            ROOT / "build/fuzz" / name, f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048",
            f"-artifact_prefix={grown}/failed-", grown, corpus(name)]))
    return count


def planted(suite, long):
    """Each planted fault must be caught; tools/planted.py builds and runs them."""
    if not long:
        return Count(skipped=1, notes=["planted faults: with --long"])
    return suite.command("planted", [sys.executable, "tools/planted.py"], count_planted)


def count_planted(name, code, text):
    match = re.search(r"^planted: (\d+) caught, (\d+) failed$", text, re.MULTILINE)
    if not match:
        return failure(f"{name} (exit {code})", tail(text))
    count = Count(passed=int(match.group(1)), failed=int(match.group(2)))
    if code:
        count.failures.append((name, tail(text)))
    return count


def tsan(suite, long):
    tests = room_tests(CONCURRENT_ROOMS) + sources("tests/*concurrent*_test.cc")
    count = suite.build("tsan", tests) if tests else Count(skipped=1)
    if count.failed or not tests:
        return count
    count.add(run_gtests(suite, "tsan", tests, long))
    return count


SUITES = [
    Suite("tidy", 60, tidy, "the rules of the house, lone public headers, the tools' own tests"),
    Suite("locks", 120, locks, "clang's thread-safety analysis of what locks guard"),
    Suite("release", 420, release, "release build, whole-system tests in it"),
    Suite("command", 120, command, "the command as people type it, the installed package"),
    Suite("counts", 120, counts, "instructions executed against bench/counts.json, at 1 %"),
    Suite("asan", 600, asan, "every test under the address and undefined-behaviour sanitizers"),
    Suite("fuzz", 60, fuzz, "the corpora under the same sanitizers"),
    Suite("planted", 240, planted, "faults planted on purpose, each caught by the test that must"),
    Suite("tsan", 420, tsan, "what is concurrent under the thread sanitizer, with yield points"),
]


def main():
    parser = argparse.ArgumentParser(prog="./check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="more seeds, and real fuzzing")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[s.name for s in SUITES])
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for suite in SUITES:
            print(f"{suite.name:<10} {suite.budget_s:>4} s  {suite.about}")
        return 0

    total = Count()
    started = time.monotonic()
    for suite in SUITES:
        if arguments.only and suite.name not in arguments.only:
            continue
        try:
            count = suite.run(arguments.long)
        except OSError as error:
            count = failure(suite.name, str(error))
            suite.seconds = time.monotonic() - started
        over = "  OVER BUDGET" if suite.seconds > suite.budget_s and not arguments.long else ""
        print(f"{suite.name:<10} {count.words():<36} {suite.seconds:>5.0f} s of "
              f"{suite.budget_s} s{over}", flush=True)
        for note in count.notes:
            print(f"  note: {note}")
        for what, text in count.failures:
            print(f"  FAILED {what}")
            print("\n".join("    | " + line for line in text.splitlines()), flush=True)
        total.add(count)
    if total.failures:
        print("\nfailed:")
        for what, _ in total.failures:
            print(f"  {what}")
    print(f"\n{time.monotonic() - started:.0f} s, logs in {LOGS.relative_to(ROOT)}/")
    print(total.words())
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
