#!/usr/bin/env python3
"""The judging half of `fulgur bench`, as people type it. FULGUR is the path of the command.

Nothing here depends on how long anything takes: verdicts on times are tested by simulation in
bench/paired_test.cc, and on a real machine by `fulgur bench compare --self-test`.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FULGUR = os.environ.get("FULGUR", str(ROOT / "build/release/fulgur"))
OK, REGRESSION, ERROR, INCONCLUSIVE, MISSED, REFUSED = range(6)


def loop(rounds):
    return ["sh", "-c", f"i=0; while [ $i -lt {rounds} ]; do i=$((i+1)); done"]


def run_file(ns, machine="aaaa", quick=False, counters=None, end=True):
    """The text of a result file whose slices lie around `ns`."""
    slices = [ns * (1 + (i * 7919 % 100) / 10_000) for i in range(40)]
    lines = [{"format": "bench/1", "kind": "run", "quick": quick,
              "environment": {"machine": machine, "build": "release", "commit": "abc",
                              "started": "2026-01-31T12:00:00Z"}},
             {"kind": "result", "workload": "readrandom", "side": "fulgur", "unit": "get",
              "durability": "buffered", "slices_ns": slices, "operations": 40,
              "counters": counters or {}}]
    if end:
        lines.append({"kind": "end", "results": 1})
    return "".join(json.dumps(line) + "\n" for line in lines)


class Judging(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, name, text):
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def bench(self, *arguments):
        return subprocess.run([FULGUR, "bench", *arguments], cwd=self.root, capture_output=True,
                              text=True, check=False, timeout=120)

    def expect(self, code, *arguments):
        done = self.bench(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_stored_runs_are_compared_and_never_fail_on_time(self):
        before = self.write("before", run_file(100))
        after = self.write("after", run_file(150))
        text = self.expect(OK, "compare", before, after)
        self.assertIn("regression    readrandom", text)
        self.assertIn("A/A", text)
        self.assertLess(text.index("A/A"), text.index("regression    "))
        report = json.loads(self.expect(OK, "compare", before, after, "--json"))
        self.assertEqual(report["rows"][0]["verdict"], "regression")
        self.assertAlmostEqual(report["rows"][0]["change"], 0.5, 2)
        text = self.expect(OK, "compare", before, before)
        self.assertIn("equivalent    readrandom", text)

    def test_counters_that_gate_fail(self):
        before = self.write("before", run_file(100, counters={"disk_bytes": 1000}))
        after = self.write("after", run_file(100, counters={"disk_bytes": 1200}))
        self.expect(OK, "compare", before, after)
        self.expect(REGRESSION, "compare", before, after, "--gate", "disk_bytes")
        self.expect(OK, "compare", before, after, "--gate", "disk_bytes", "--threshold", "30")
        self.expect(ERROR, "compare", before, after, "--gate", "nothing")

    def test_another_machine_is_refused(self):
        before = self.write("before", run_file(100))
        after = self.write("after", run_file(100, machine="bbbb"))
        self.assertIn("different machines", self.expect(REFUSED, "compare", before, after))
        self.expect(OK, "compare", before, after, "--any-machine")
        said = json.loads(self.expect(REFUSED, "compare", before, after, "--json"))
        self.assertEqual((said["error"], said["exit_code"]), ("refused", REFUSED))

    def test_help_is_about_the_innermost_command(self):
        self.assertIn("--self-test", self.expect(OK, "compare", "--help"))
        self.assertIn("--replace", self.expect(OK, "baseline", "save", "--help"))
        self.assertNotIn("--self-test-kernel", self.expect(OK, "compare", "--help"))

    def test_bad_files_are_errors_with_their_line(self):
        good = self.write("good", run_file(100))
        bad = self.write("bad", run_file(100).replace("bench/1", "bench/7"))
        self.assertIn("bad:1: format bench/7", self.expect(ERROR, "compare", good, bad))
        bad = self.write("bad", run_file(100).replace('"slices_ns": [', '"slices_ns": [null, '))
        self.assertIn("bad:2: ", self.expect(ERROR, "compare", good, bad))
        self.expect(ERROR, "compare", good, str(self.root / "none"))
        self.expect(ERROR, "compare", good, good, good)
        self.expect(ERROR, "compare")
        cut = self.write("cut", run_file(100, end=False))
        self.assertIn("interrupted", self.expect(OK, "compare", good, cut))

    def test_commands_that_fail_or_hang_end_the_comparison(self):
        self.assertIn("exit code 3",
                      self.expect(ERROR, "compare", "--", "true", "--", "sh", "-c", "exit 3"))
        self.assertIn("was killed", self.expect(ERROR, "compare", "--limit", "0.05", "--",
                                                "sleep", "600", "--", "true"))
        self.assertIn("No such file", self.expect(ERROR, "compare", "--", "/none", "--", "true"))
        for words in (["--", "true"], ["--", "true", "--"], ["--", "--", "true"]):
            self.expect(ERROR, "compare", "--mode", "process", *words)

    def test_commands_keep_their_own_options(self):
        done = self.bench("compare", "--json", "--pairs", "6", "--", "sh", "-c", ": --json", "--",
                          "sh", "-c", ":")
        self.assertIn(done.returncode, (OK, REGRESSION, INCONCLUSIVE), done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["mode"], "process")
        self.assertEqual(report["rows"][0]["pairs"], 6)
        self.assertEqual(report["rows"][0]["name"], "sh -c ': --json' -> sh -c :")
        self.assertEqual(report["same"][0]["pairs"], 6)

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
    def test_counts_find_more_work_and_nothing_in_the_same(self):
        counts = ["compare", "--mode", "counts"]
        self.assertIn("equivalent", self.expect(OK, *counts, "--", *loop(500), "--", *loop(500)))
        self.assertIn("regression",
                      self.expect(REGRESSION, *counts, "--", *loop(500), "--", *loop(2000)))
        self.assertIn("improvement", self.expect(OK, *counts, "--", *loop(2000), "--", *loop(500)))
        kernel = [FULGUR, "bench", "compare", "--self-test-kernel"]
        report = json.loads(self.expect(
            REGRESSION, *counts, "--json", "--marker", "fulgur_bench_counted_kernel", "--",
            *kernel, "0", "--", *kernel, "3"))
        self.assertAlmostEqual(report["rows"][0]["change"], 0.03, 4)

    def test_baselines_are_saved_listed_and_compared_with(self):
        run = self.write("run", run_file(100))
        self.assertIn("bench-baselines/aaaa/abc.jsonl", self.expect(OK, "baseline", "save", run))
        self.assertIn("is there already", self.expect(ERROR, "baseline", "save", run))
        self.expect(OK, "baseline", "save", run, "--replace")
        self.expect(OK, "baseline", "save", run, "--name", "again")
        self.assertIn("abc", self.expect(OK, "baseline", "list"))
        listed = self.bench("baseline", "list", "--json").stdout.splitlines()
        self.assertEqual({json.loads(line)["name"] for line in listed}, {"abc", "again"})
        after = self.write("after", run_file(150))
        self.assertIn("regression    readrandom", self.expect(OK, "compare", after))
        quick = self.write("quick", run_file(100, quick=True))
        self.assertIn("quick", self.expect(ERROR, "baseline", "save", quick))
        elsewhere = self.write("elsewhere", run_file(100, machine="bbbb"))
        self.assertIn("no baseline of machine bbbb", self.expect(ERROR, "compare", elsewhere))

    def test_targets_are_met_or_missed(self):
        run = self.write("run", run_file(100, counters={"disk_bytes": 10}))

        def targets(text):
            names = [path.name for path in self.root.iterdir()]
            return self.write(f"targets{len(names)}", '{"format": "bench-targets/1", "targets": [' + text + "]}")

        met = targets('{"workload": "readrandom", "throughput_min": 1000000}')
        self.assertIn("1 of 1 targets met", self.expect(OK, "validate", run, "--targets", met))
        missed = targets('{"counter": "disk_bytes", "max": 9}')
        self.assertIn("MISSED", self.expect(MISSED, "validate", run, "--targets", missed))
        self.assertFalse(json.loads(self.expect(MISSED, "validate", run, "--targets", missed,
                                                "--json"))["met"])
        self.expect(ERROR, "validate", run, "--targets", targets('{"latency": 1}'))
        self.assertIn("of 23 targets met", self.expect(MISSED, "validate", run))  # The engine's own.
        quick = self.write("quick", run_file(100, quick=True))
        self.expect(REFUSED, "validate", quick, "--targets", met)
        self.expect(OK, "validate", quick, "--targets", met, "--allow-quick")


if __name__ == "__main__":
    unittest.main()
