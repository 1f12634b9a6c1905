#!/usr/bin/env python3
"""Tests of planted: a stand-in program shows what is caught and what is not."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parent / "planted.py"
PROGRAM = '#!/bin/sh\n[ "$FULGUR_PLANT" != loud ]\n'


class Planted(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("src/a.cc", 'if (FULGUR_PLANTED("loud")) x();\n')
        self.write("tools/planted_faults.txt", "# head\nloud a_test A.*\n")
        self.write("build/planted/a_test", PROGRAM).chmod(0o755)

    def write(self, name, text):
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def run_tool(self):
        done = subprocess.run([sys.executable, TOOL, "--root", self.root, "--no-build"],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def test_a_fault_that_fails_its_test_is_caught(self):
        code, text = self.run_tool()
        self.assertEqual((code, text.splitlines()[-1]), (0, "planted: 1 caught, 0 failed"))

    def test_a_fault_that_nothing_notices_is_a_failure(self):
        self.write("src/b.cc", 'if (FULGUR_PLANTED("quiet")) x();\n')
        self.write("tools/planted_faults.txt", "loud a_test\nquiet a_test\n")
        code, text = self.run_tool()
        self.assertEqual((code, text.splitlines()[-1]), (1, "planted: 1 caught, 1 failed"))
        self.assertIn("NOT CAUGHT   quiet", text)

    def test_a_test_that_always_fails_proves_nothing(self):
        self.write("build/planted/a_test", "#!/bin/sh\nexit 1\n")
        code, text = self.run_tool()
        self.assertEqual(code, 1)
        self.assertIn("FAILS WITHOUT", text)

    def test_code_and_table_must_agree(self):
        self.write("src/b.cc", 'if (FULGUR_PLANTED("unlisted")) x();\n')
        self.assertIn("unlisted (src/b.cc) is in no row", self.run_tool()[1])
        (self.root / "src/b.cc").unlink()
        self.write("tools/planted_faults.txt", "loud a_test\ngone a_test\n")
        self.assertIn("gone has a row and is not in the code", self.run_tool()[1])

    def test_refuses_a_bad_table(self):
        for text in ("loud\n", "loud a b c\n", "loud a_test\nloud a_test\n"):
            self.write("tools/planted_faults.txt", text)
            self.assertEqual(self.run_tool()[0], 1)


if __name__ == "__main__":
    unittest.main()
