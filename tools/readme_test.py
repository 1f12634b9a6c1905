#!/usr/bin/env python3
"""The program in README.md is examples/readme.cc, which the build compiles."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class ReadmeTest(unittest.TestCase):
    def test_the_program_is_the_example(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        programs = re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL)
        self.assertEqual(len(programs), 1)
        example = (ROOT / "examples/readme.cc").read_text(encoding="utf-8")
        self.assertEqual(programs[0], example.split("\n", 1)[1])

    def test_every_link_leads_somewhere(self):
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
            text = path.read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)#]+)\)", text):
                if "://" not in target:
                    with self.subTest(file=path.name, link=target):
                        self.assertTrue((path.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
