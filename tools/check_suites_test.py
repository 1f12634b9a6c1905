#!/usr/bin/env python3
"""Tests of check_suites: what it counts is what was run, also when a program dies."""

import io
import sys
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_suites  # noqa: E402
from check_suites import Count, count_gtest, count_unittest, failure  # noqa: E402

GOOD = "[ RUN      ] A.One\n[       OK ] A.One (0 ms)\n[ RUN      ] A.Two\n[  SKIPPED ] A.Two (0 ms)\n"
BAD = ("[ RUN      ] A.Three\nsome reason\n[  FAILED  ] A.Three, where GetParam() = 3 (1 ms)\n"
       "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.Three, where GetParam() = 3\n")


class CheckSuites(unittest.TestCase):
    def test_counts_each_gtest_once(self):
        count = count_gtest("x", 1, GOOD + BAD)
        self.assertEqual((count.passed, count.failed, count.skipped), (1, 1, 1))
        self.assertEqual(count.failures[0][0], "x: A.Three")
        self.assertIn("some reason", count.failures[0][1])

    def test_a_program_that_dies_fails_the_test_it_was_in(self):
        count = count_gtest("x", -6, GOOD + "[ RUN      ] A.Crash\n==1==ERROR: AddressSanitizer\n")
        self.assertEqual((count.passed, count.failed), (1, 1))
        self.assertIn("A.Crash", count.failures[0][0])

    def test_a_program_that_fails_after_its_tests_fails(self):
        self.assertEqual(count_gtest("x", 1, GOOD + "leaked\n").failed, 1)

    def test_a_program_without_tests_fails(self):
        self.assertEqual(count_gtest("x", 0, "").failed, 1)

    def test_counts_unittests(self):
        ok = count_unittest("x", 0, "..s\nRan 3 tests in 1.0s\n\nOK (skipped=1)\n")
        self.assertEqual((ok.passed, ok.failed, ok.skipped), (2, 0, 1))
        bad = count_unittest("x", 1, "Ran 5 tests in 1s\n\nFAILED (failures=1, errors=2)\n")
        self.assertEqual((bad.passed, bad.failed), (2, 3))
        self.assertEqual(count_unittest("x", 1, "SyntaxError\n").failed, 1)

    def run_main(self, count):
        suite = check_suites.Suite("fake", 60, lambda suite, long: count, "")
        out = io.StringIO()
        with mock.patch.object(check_suites, "SUITES", [suite]), \
                mock.patch.object(sys, "argv", ["check"]), redirect_stdout(out):
            code = check_suites.main()
        return code, out.getvalue().splitlines()

    def test_last_line_and_exit_code_tell_the_sum(self):
        code, lines = self.run_main(Count(passed=7, skipped=2))
        self.assertEqual((code, lines[-1]), (0, "7 passed, 0 failed, 2 skipped"))
        code, lines = self.run_main(failure("it", "why"))
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed"))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.run_main(Count())[0], 1)

    def test_a_hanging_program_is_ended_and_fails(self):
        suite = check_suites.Suite("fake", 60, None, "")
        suite.deadline = 0.0
        (check_suites.LOGS / "fake").mkdir(parents=True, exist_ok=True)
        count = suite.command("sleeper", ["sleep", "60"])
        self.assertEqual((count.passed, count.failed), (0, 1))
        self.assertIn("hung", count.failures[0][0])


if __name__ == "__main__":
    unittest.main()
