#!/usr/bin/env python3
"""The metrics that `fulgur stats --format prometheus` prints, read by the tools of those who use them:
promtool's linter and the Python client's strict OpenMetrics parser. Each is skipped where it is not
installed; tests/metrics_test.cc checks the grammar everywhere."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FULGUR = os.environ.get("FULGUR", str(ROOT / "build/release/fulgur"))
TIMEOUT_S = 60

try:
    from prometheus_client.openmetrics import parser as openmetrics
except ImportError:
    openmetrics = None


def as_prometheus_text(text):
    """The older text format, the only one that promtool's linter reads: there the names of counters
    end in _total in their descriptors, too, and there are no units."""
    counters = re.findall(r"(?m)^# TYPE (\S+) counter$", text)
    for name in counters:
        text = re.sub(rf"(?m)^# (TYPE|HELP) {name} ", rf"# \1 {name}_total ", text)
    return "".join(line + "\n" for line in text.splitlines()
                   if not line.startswith("# UNIT ") and line != "# EOF")


class MetricsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.db = pathlib.Path(folder.name) / "db"
        self.run_it("create", self.db, "--keyspace", 'odd " name \\ of\nlines')
        self.run_it("put", self.db, "k", "v")
        self.text = self.run_it("stats", self.db, "--format", "prometheus")

    def run_it(self, *arguments, code=0):
        result = subprocess.run([FULGUR, *map(str, arguments)], check=False, timeout=TIMEOUT_S,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, code, result)
        return result.stdout.decode()

    def test_sizes_and_positions_are_there(self):
        self.assertRegex(self.text, r"(?m)^fulgur_visible_sequence [1-9]\d*$")
        self.assertRegex(self.text, r"(?m)^fulgur_data_file_bytes [1-9]\d*$")
        self.assertIn('{keyspace="odd \\" name \\\\ of\\nlines",id="', self.text)
        self.assertTrue(self.text.endswith("# EOF\n"))

    def test_one_format_at_a_time(self):
        self.run_it("stats", self.db, "--format", "prometheus", "--json", code=2)
        self.run_it("stats", self.db, "--format", "xml", code=2)
        self.assertIn("newest commit", self.run_it("stats", self.db, "--format", "text"))

    @unittest.skipUnless(openmetrics, "python3-prometheus-client is not installed")
    def test_the_python_client_reads_it(self):
        families = {f.name: f for f in openmetrics.text_string_to_metric_families(self.text)}
        self.assertEqual(families["fulgur_commits"].type, "counter")
        self.assertEqual(families["fulgur_operation_seconds"].unit, "seconds")
        names = [s.labels["keyspace"] for s in families["fulgur_keyspace_levels"].samples]
        self.assertIn('odd " name \\ of\nlines', names)
        with self.assertRaises(ValueError):
            list(openmetrics.text_string_to_metric_families(self.text.replace("# EOF\n", "")))

    @unittest.skipUnless(shutil.which("promtool"), "promtool (package prometheus) is not installed")
    def test_promtool_finds_nothing(self):
        text = as_prometheus_text(self.text)
        self.assertEqual(self.lint(text), (0, b""))
        without_help = re.sub(r"(?m)^# HELP .*\n", "", text)
        self.assertNotEqual(self.lint(without_help)[0], 0)

    def lint(self, text):
        result = subprocess.run(["promtool", "check", "metrics"], check=False, timeout=TIMEOUT_S,
                                input=text.encode(), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        return result.returncode, result.stdout


if __name__ == "__main__":
    unittest.main()
