#!/usr/bin/env python3
"""Tests of packages_to_jsonl."""

import io
import json
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import packages_to_jsonl  # noqa: E402

INDEX = """\
Package: 0ad
Version: 0.0.26-3
Installed-Size: 28591
Depends: 0ad-data (>= 0.0.26), libc6 | libc7
Tag: game::strategy, interface::graphical,
 uitoolkit::sdl
Description: Real-time "strategy" game
 Second line.

Package: caf\u00e9
Version: 1:2+b1

Architecture: all
"""


def rows(text):
    out = io.StringIO()
    counts = packages_to_jsonl.convert(io.StringIO(text), out)
    return counts, [json.loads(line) for line in out.getvalue().splitlines()]


class PackagesToJsonl(unittest.TestCase):
    def test_keys_name_package_and_version(self):
        counts, found = rows(INDEX)
        self.assertEqual([row["key"] for row in found],
                         ["package/0ad/0.0.26-3", "package/caf\u00e9/1:2+b1"])
        self.assertEqual(counts, (2, 1))

    def test_values_are_json_objects_with_numbers_and_lists(self):
        value = json.loads(rows(INDEX)[1][0]["value"])
        self.assertEqual(value["Installed-Size"], 28591)
        self.assertEqual(value["Depends"], ["0ad-data (>= 0.0.26)", "libc6 | libc7"])
        self.assertEqual(value["Tag"], ["game::strategy", "interface::graphical", "uitoolkit::sdl"])
        self.assertEqual(value["Description"], 'Real-time "strategy" game\nSecond line.')

    def test_last_stanza_needs_no_blank_line_after_it(self):
        self.assertEqual(rows("Package: a\nVersion: 1")[0], (1, 0))

    def test_refuses_what_is_no_index(self):
        for text in ("hello\n", " continued\n"):
            with self.assertRaisesRegex(packages_to_jsonl.BadInput, "line 1"):
                rows(text)

    def run_command(self, data):
        return subprocess.run([sys.executable, HERE / "packages_to_jsonl.py"], input=data,
                              capture_output=True, check=False)

    def test_command_survives_bytes_that_are_not_utf8(self):
        done = self.run_command(b"Package: a\nVersion: 1\nMaintainer: \xff\xfe\n")
        self.assertEqual(done.returncode, 0)
        self.assertIn("\ufffd", json.loads(done.stdout)["value"])

    def test_command_fails_on_empty_input_with_one_line(self):
        done = self.run_command(b"")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count(b"\n"), 1)


if __name__ == "__main__":
    unittest.main()
