#!/usr/bin/env python3
"""`fulgur bench list | doctor | run | count` as people type it."""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FULGUR = os.environ.get("FULGUR", str(ROOT / "build/release/fulgur"))
BASE = "/dev/shm" if os.path.isdir("/dev/shm") else None
SMALL = ["--rows", "2000", "--seconds", "0.02", "--rounds", "1"]


class BenchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=BASE)
        self.addCleanup(self.folder.cleanup)
        self.dir = self.folder.name

    def bench(self, *arguments, code=0):
        done = subprocess.run([FULGUR, "bench", *arguments], capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def run_small(self, *arguments, code=0):
        return self.bench("run", *arguments, *SMALL, "--dir", self.dir, code=code)

    def test_list_names_every_workload_and_side(self):
        text = self.bench("list").stdout
        for word in ("fillseq", "readrandom", "ycsb-f", "recovery", "fulgur", "rocksdb"):
            self.assertIn(word, text)
        rows = [json.loads(line) for line in self.bench("list", "--json").stdout.splitlines()]
        self.assertGreater(sum(row["kind"] == "workload" for row in rows), 25)
        self.assertEqual([row["available"] for row in rows if row.get("name") == "fulgur"], [True])

    def test_doctor_says_what_this_machine_is_fit_for(self):
        self.assertIn("release build", self.bench("doctor", "--dir", self.dir).stdout)
        self.bench("doctor", "--dir", self.dir + "/absent", code=5)

    def test_run_writes_what_it_shows(self):
        out = self.dir + "/run.jsonl"
        text = self.run_small("readrandom", "ycsb-a", "fillbatch", "--out", out).stdout
        self.assertIn("readrandom", text)
        lines = [json.loads(line) for line in Path(out).read_text().splitlines()]
        self.assertEqual(lines[0]["format"], "bench/1")
        self.assertEqual([line["kind"] for line in lines[1:]], ["result"] * 3 + ["end"])
        get = next(line for line in lines if line.get("workload") == "readrandom")
        self.assertGreater(get["verified"], 0)
        self.assertEqual(get["counters"]["allocations_per_operation"], 0)
        self.assertEqual(self.bench("compare", out, out).returncode, 0)

    def test_databases_are_gone_afterwards(self):
        self.run_small("readrandom", "recovery")
        self.assertEqual(os.listdir(self.dir), [])

    def test_quick_run_says_that_it_may_not_be_quoted(self):
        for kind in ("table", "markdown"):
            text = self.bench("run", "readhot", "--quick", "--rows", "1000", "--dir", self.dir,
                              "--format", kind).stdout.lower()
            self.assertIn("quick", text)

    def test_open_loop_counts_every_intended_operation(self):
        out = self.dir + "/run.jsonl"
        self.bench("run", "ycsb-b", "--rows", "2000", "--seconds", "1", "--rate", "2000",
                   "--pattern", "ramp", "--dir", self.dir, "--out", out)
        result = json.loads(Path(out).read_text().splitlines()[1])
        self.assertEqual(result["operations"], 1000)
        self.assertEqual(result["parameters"]["pattern"], "ramp")

    def test_json_is_one_object_a_line(self):
        lines = self.run_small("readseq", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line).get("workload") for line in lines], [None, "readseq"])

    def test_wrong_calls_say_what_to_do(self):
        for arguments, word in [
                (["nope"], "nope"), ([], "no workload"),
                (["readrandom", "--peers", "nope"], "nope"),
                (["readrandom", "--rows", "1"], "--rows"),
                (["readrandom", "--threads", "0"], "--threads"),
                (["readrandom", "--value-bytes", "3"], "--value-bytes"),
                (["readrandom", "--value-bytes", "500-100"], "--value-bytes"),
                (["readrandom", "--pattern", "zigzag"], "zigzag"),
                (["readrandom", "--memory-limit", "1MiB"], "--memory-limit"),
                (["readrandom", "--dir", "/proc/nowhere"], "/proc/nowhere")]:
            done = self.bench("run", *arguments, code=2)
            self.assertIn(word, done.stderr, arguments)
        self.assertIn("nope", self.bench("count", "nope", code=2).stderr)

    def test_refused_side_has_a_note_and_no_figures(self):
        out = self.dir + "/run.jsonl"
        done = self.run_small("readrandom", "--memory", "8MiB", "--value-bytes", "20000",
                              "--out", out, code=2)
        self.assertIn("memory budget", done.stderr)
        result = json.loads(Path(out).read_text().splitlines()[1])
        self.assertEqual(result["slices_ns"], [])
        self.assertIn("memory budget", result["note"])

    def test_interrupted_run_keeps_what_was_measured(self):
        out = Path(self.dir) / "run.jsonl"
        process = subprocess.Popen(
            [FULGUR, "bench", "run", "readhot", "readrandom", "--rows", "2000", "--seconds", "3",
             "--dir", self.dir, "--out", out], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for _ in range(600):
            if out.exists() and out.read_text().count('"kind":"result"') == 1:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = out.read_text().splitlines()
        self.assertEqual([json.loads(line)["kind"] for line in lines], ["run", "result"])
        compared = self.bench("compare", str(out), str(out))
        self.assertIn("interrupted", compared.stdout + compared.stderr)

    def test_count_does_what_it_says(self):
        text = self.bench("count", "readrandom", "--rows", "1000", "--operations", "500", "--dir",
                          self.dir).stdout
        self.assertIn("500 values verified", text)


if __name__ == "__main__":
    unittest.main()
