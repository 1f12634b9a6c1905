#!/usr/bin/env python3
"""Tests of changelog, and that CHANGELOG.md is what the notes say."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parent / "changelog.py"


class Changelog(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.note("0.9.0/fixed-a.md", "Mended a.\nOver two lines.\n")
        self.note("0.10.0/added-b.md", "Added b.\n")
        self.note("README.md", "names\n")

    def note(self, name, text):
        file = self.root / "changes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run_tool(self, *arguments):
        return subprocess.run([sys.executable, TOOL, "--root", self.root, *arguments],
                              capture_output=True, text=True, check=False)

    def test_newest_version_first_by_number(self):
        text = self.run_tool().stdout
        self.assertLess(text.index("## 0.10.0"), text.index("## 0.9.0"))
        self.assertIn("### Fixed\n\n* Mended a.\n  Over two lines.\n", text)

    def test_check_finds_a_stale_file(self):
        self.assertEqual(self.run_tool("--check").returncode, 1)
        self.run_tool("--write")
        self.assertEqual(self.run_tool("--check").returncode, 0)
        self.note("0.10.0/added-c.md", "Added c.\n")
        self.assertEqual(self.run_tool("--check").returncode, 1)

    def test_refuses_bad_notes(self):
        for name, text in (("0.10.0/news-c.md", "x"), ("0.10.0/added.md", "x"),
                           ("0.10.0/added-c.md", ""), ("0.10.0/added-c.md", "a\n\nb"),
                           ("next/added-c.md", "x")):
            with self.subTest(name=name, text=text):
                self.note(name, text)
                done = self.run_tool()
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr.count("\n"), 1)
                (self.root / "changes" / name).unlink()
                if name.startswith("next"):
                    (self.root / "changes/next").rmdir()

    def test_ours_is_not_stale(self):
        done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
