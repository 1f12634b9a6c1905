#!/usr/bin/env python3
"""Tests of counts, with a valgrind that counts what it is told to."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parent / "counts.py"

# Prints the count that the file beside it holds for the last word of the command.
VALGRIND = """#!/usr/bin/env python3
import json, sys
from pathlib import Path
told = json.loads((Path(__file__).parent / "told.json").read_text())
(Path(__file__).parent / "called.txt").write_text("\\n".join(sys.argv[1:]))
answer = told[sys.argv[-1]]
if answer == "fail":
    print("it broke", file=sys.stderr)
    sys.exit(9)
print(f"==1== Collected : 7\\nnoise\\n==1== Collected : {answer}", file=sys.stderr)
"""


class Counts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        # A checkout of its own, whose newest commit is the test's.
        (self.root / "tools").mkdir()
        (self.root / "bench").mkdir()
        (self.root / "bin").mkdir()
        (self.root / "build").mkdir()
        self.tool = self.root / "tools/counts.py"
        self.tool.write_text(TOOL.read_text(encoding="utf-8"), encoding="utf-8")
        self.program("bin/valgrind", VALGRIND)
        self.program("build/fulgur", "#!/bin/sh\n")
        self.build("Release")
        self.stored = self.root / "bench/counts.json"
        self.entries = [{"name": "get", "command": ["{FULGUR}", "bench", "get"], "marker": "Get*"},
                        {"name": "put", "command": ["{FULGUR}", "{DIR}", "put"]}]
        self.stored.write_text(json.dumps({"format": "counts/1", "entries": self.entries}))
        self.git("init", "-q")
        self.commit("begin")
        self.tell(get=100_000, put=200_000)

    def program(self, name, text):
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def build(self, kind):
        (self.root / "build/CMakeCache.txt").write_text(f"CMAKE_BUILD_TYPE:STRING={kind}\n")

    def git(self, *arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
                       cwd=self.root, check=True, capture_output=True)

    def commit(self, message):
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def tell(self, **counts):
        (self.root / "bin/told.json").write_text(json.dumps(counts))

    def run_tool(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            [sys.executable, self.tool, "--fulgur", self.root / "build/fulgur", *arguments],
            capture_output=True, text=True, check=False, env=environment)

    def code(self, *arguments):
        return self.run_tool(*arguments).returncode

    def test_counts_are_equal_to_what_was_stored(self):
        self.assertEqual(self.code("--update"), 0)
        done = self.run_tool()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("equal     get: 100,000 -> 100,000 (+0.00%)", done.stdout)

    def test_one_per_cent_more_fails_and_less_than_that_does_not(self):
        self.run_tool("--update")
        self.tell(get=100_999, put=200_000)
        self.assertEqual(self.code(), 0)
        self.tell(get=101_000, put=200_000)
        done = self.run_tool()
        self.assertEqual(done.returncode, 1)
        self.assertIn("GREW      get: 100,000 -> 101,000 (+1.00%)", done.stdout)
        self.assertIn("Counts: why", done.stdout)
        self.tell(get=50_000, put=200_000)
        self.assertIn("fewer     get", self.run_tool().stdout)

    def test_the_newest_commit_may_say_why(self):
        self.run_tool("--update")
        self.tell(get=150_000, put=200_000)
        self.commit("get: checks more\n\nCounts: why each value's checksum is checked now")
        done = self.run_tool()
        self.assertEqual(done.returncode, 0)
        self.assertIn("explained get", done.stdout)
        self.assertIn("each value's checksum is checked now", done.stdout)
        self.commit("something else")
        self.assertEqual(self.code(), 1)
        self.commit("empty words\n\nCounts: why")
        self.assertEqual(self.code(), 1)

    def test_another_fingerprint_compares_nothing_and_says_so(self):
        self.run_tool("--update")
        self.build("Debug")
        self.tell(get=900_000, put=200_000)
        done = self.run_tool()
        self.assertEqual(done.returncode, 0)
        self.assertIn("nothing was compared", done.stdout)
        self.assertIn("counted   get: 900,000", done.stdout)
        self.run_tool("--update")
        self.assertEqual(len(json.loads(self.stored.read_text())["stored"]), 2)
        self.build("Release")
        self.assertEqual(self.code(), 1)

    def test_update_of_some_keeps_the_others(self):
        self.run_tool("--update")
        self.tell(get=300_000, put=1)
        self.assertEqual(self.code("--update", "--only", "get"), 0)
        counts = json.loads(self.stored.read_text())["stored"][0]["counts"]
        self.assertEqual(counts, {"get": 300_000, "put": 200_000})

    def test_the_command_and_the_marker_reach_callgrind(self):
        self.run_tool("--only", "get")
        called = (self.root / "bin/called.txt").read_text()
        self.assertIn("--toggle-collect=Get*", called)
        self.assertIn(f"{(self.root / 'build/fulgur').resolve()}\nbench\nget", called)
        self.run_tool("--only", "put")
        called = (self.root / "bin/called.txt").read_text()
        self.assertNotIn("--toggle-collect", called)
        self.assertNotIn("{DIR}", called)

    def test_what_cannot_be_counted_is_an_error(self):
        for get in ("fail", 0):
            self.tell(get=get, put=1)
            done = self.run_tool()
            self.assertEqual(done.returncode, 2)
            self.assertIn("get", done.stderr)
        self.assertEqual(self.code("--only", "none"), 2)
        self.stored.write_text("{}")
        self.assertEqual(self.code(), 2)
        self.assertEqual(self.code("--fulgur", self.root / "missing"), 2)

    def test_the_entries_of_this_project_are_sound(self):
        stored = json.loads((TOOL.parent.parent / "bench/counts.json").read_text(encoding="utf-8"))
        names = [entry["name"] for entry in stored["entries"]]
        self.assertEqual(len(names), len(set(names)))
        for entry in stored["entries"]:
            self.assertEqual(entry["command"][0], "{FULGUR}")
        for one in stored["stored"]:
            self.assertLessEqual(set(one["counts"]), set(names))


if __name__ == "__main__":
    unittest.main()
