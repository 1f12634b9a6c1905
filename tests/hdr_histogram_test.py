#!/usr/bin/env python3
"""Histograms of result files go to npm's hdr-histogram-js and come back.

The package is installed, at a pinned version, into build/npm; without npm, or without a registry to
install from, the test is skipped and says so. FULGUR is the path of the command.
"""

import json
import os
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NPM = ROOT / "build/npm"
PACKAGE = "hdr-histogram-js@3.0.1"
FULGUR = os.environ.get("FULGUR", str(ROOT / "build/release/fulgur"))
PERCENTILES = (50, 90, 95, 99, 99.9, 99.99)

SCRIPT = """
const hdr = require('hdr-histogram-js');
const told = JSON.parse(require('fs').readFileSync(0));
const answer = told.map((item) => {
  let h;
  if (item.hdr) {
    h = hdr.decodeFromCompressedBase64(item.hdr, 64);
  } else {
    h = hdr.build({bitBucketSize: 64, autoResize: true, lowestDiscernibleValue: 1,
                   highestTrackableValue: 2, numberOfSignificantValueDigits: 3});
    for (const [value, times] of item.values) h.recordValueWithCount(value, times);
  }
  return {hdr: hdr.encodeIntoCompressedBase64(h), count: h.totalCount,
          percentiles: PERCENTILES.map((p) => h.getValueAtPercentile(p))};
});
console.log(JSON.stringify(answer));
""".replace("PERCENTILES", json.dumps(PERCENTILES))


def install():
    """@return why the package is not there; None when it is."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "npm is not installed"
    if (NPM / "node_modules/hdr-histogram-js/package.json").is_file():
        return None
    NPM.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", PACKAGE], cwd=NPM,
                          capture_output=True, text=True, check=False, timeout=110)
    return None if done.returncode == 0 else f"npm cannot install {PACKAGE}: {done.stderr[-200:]}"


def javascript(items):
    done = subprocess.run(["node", "-e", SCRIPT], cwd=NPM, input=json.dumps(items),
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def samples(seed):
    """Lists of (value, times), from nothing at all to values of an hour in nanoseconds."""
    source = random.Random(seed)
    yield []
    yield [(0, 1)]
    yield [(1, 1), (2047, 2), (2048, 3), (4095, 4), (4096, 5)]
    yield [(3_600_000_000_000, 1)]
    for size in (10, 100, 1000):
        yield [(int(2 ** source.uniform(0, 45)), source.randrange(1, 1_000_000))
               for _ in range(size)]


class HdrHistogram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        missing = install()
        if missing:
            raise unittest.SkipTest(missing)

    def through_fulgur(self, encoded):
        """What Fulgur reads and writes again of one histogram: the object of its result file."""
        with tempfile.TemporaryDirectory() as folder:
            lines = [{"format": "bench/1", "kind": "run", "quick": False,
                      "environment": {"machine": "aaaa", "commit": "c"}},
                     {"kind": "result", "workload": "w", "side": "s", "slices_ns": [1],
                      "latency_ns": {"hdr": encoded}},
                     {"kind": "end", "results": 1}]
            file = Path(folder) / "run.jsonl"
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
            done = subprocess.run([FULGUR, "bench", "baseline", "save", file, "--baselines",
                                   Path(folder) / "kept"], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            kept = Path(folder) / "kept/aaaa/c.jsonl"
            return json.loads(kept.read_text().splitlines()[1]).get("latency_ns")

    def test_what_javascript_wrote_is_read_and_what_we_write_is_read_by_it(self):
        seed = int(os.environ.get("FULGUR_SEED", "1"))
        print(f"seed {seed}")
        for values in samples(seed):
            theirs = javascript([{"values": values}])[0]
            ours = self.through_fulgur(theirs["hdr"])
            if not values:
                self.assertIsNone(ours)  # An empty histogram is not written.
                continue
            self.assertEqual(ours["count"], theirs["count"])
            again = javascript([{"hdr": ours["hdr"]}])[0]
            self.assertEqual(again["count"], theirs["count"])
            self.assertEqual(again["percentiles"], theirs["percentiles"])
            for percent, value in zip(PERCENTILES, theirs["percentiles"]):
                self.assertEqual(ours[f"p{percent}"], value, f"p{percent} of {len(values)} values")


if __name__ == "__main__":
    unittest.main()
