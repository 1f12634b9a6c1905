#!/usr/bin/env python3
"""Tests of tools/tidy: each plants one violation in a small clean tree, and it must be found."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TIDY = Path(__file__).resolve().parent / "tidy"

CLEAN = {
    "include/fulgur/bytes.h": "#pragma once\n#include <string_view>\n",
    "src/base/README.md": "base\n",
    "src/base/coding.h": "#pragma once\n#include <fulgur/bytes.h>\n",
    "src/os/README.md": "os\n",
    "src/os/file.cc": '#include "os/file.h"\n#include <unistd.h>\n#include <chrono>\n',
    "src/os/file.h": '#pragma once\n#include "base/coding.h"\n',
    "src/storage/README.md": "storage\n",
    "src/storage/page.cc": '#include "storage/page.h"\n#include "os/file.h"\nint f() { return 1; }\n',
    "src/storage/page.h": '#pragma once\n#include "base/coding.h"\n',
    "src/cli/README.md": "cli\n",
    "src/cli/main.cc": '#include <cstdio>\n#include <fstream>\nint main() { std::puts("x"); }\n',
}


def long_function(lines):
    return "int long_one() {\n" + "    (void)0;\n" * (lines - 2) + "}\n"


class Tidy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)
        for path, text in CLEAN.items():
            self.write(path, text)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run_tidy(self, *arguments):
        if not any(a.startswith("--compile") for a in arguments):
            arguments = ("--no-compile", *arguments)
        arguments = [a for a in arguments if a != "--compile"]
        return subprocess.run([sys.executable, TIDY, "--root", self.root, *arguments],
                              capture_output=True, text=True, check=False)

    def assert_finds(self, rule, where="", *arguments):
        done = self.run_tidy(*arguments)
        rows = [line for line in done.stdout.splitlines()[:-1]]
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertTrue(any(f": {rule}: " in row and row.startswith(where) for row in rows), rows)
        # Nothing else: a planted fault must not be found by accident.
        self.assertEqual({row.split(": ")[1] for row in rows}, {rule}, rows)

    def assert_clean(self, *arguments):
        done = self.run_tidy(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_clean_tree_is_clean(self):
        self.assert_clean()

    def test_finds_include_upward(self):
        self.write("src/base/up.h", '#pragma once\n#include "storage/page.h"\n')
        self.assert_finds("floor", "src/base/up.h:2")

    def test_finds_public_header_that_sees_the_inside(self):
        self.write("include/fulgur/leak.h", '#pragma once\n#include "../../src/base/coding.h"\n')
        self.assert_finds("floor", "include/fulgur/leak.h:2")

    def test_finds_example_that_sees_the_inside(self):
        self.write("examples/README.md", "examples\n")
        self.write("examples/one.cc", '#include "base/coding.h"\nint main() {}\n')
        self.write("base/coding.h", "#pragma once\n")
        self.assert_finds("floor", "examples/one.cc:1")

    def test_finds_include_of_no_file(self):
        self.write("src/base/lost.h", '#pragma once\n#include "base/gone.h"\n')
        self.assert_finds("floor", "src/base/lost.h:2")

    def test_finds_room_on_no_floor(self):
        self.write("src/attic/x.h", '#pragma once\n#include "base/coding.h"\n')
        self.assert_finds("floor", "src/attic/x.h")

    def test_finds_circle(self):
        self.write("src/base/a.h", '#pragma once\n#include "base/b.h"\n')
        self.write("src/base/b.h", '#pragma once\n#include "base/c.h"\n')
        self.write("src/base/c.h", '#pragma once\n#include "base/a.h"\n')
        self.assert_finds("circle", "src/base/c.h:2")

    def test_finds_header_that_does_not_compile_alone(self):
        self.write("include/fulgur/lame.h", "#pragma once\nstd::string f();\n")
        self.assert_finds("alone", "include/fulgur/lame.h", "--compile")

    def test_finds_header_without_guard(self):
        self.write("src/base/bare.h", "int f();\n")
        self.assert_finds("header", "src/base/bare.h")

    def test_finds_system_headers_outside_os(self):
        for name in ("unistd.h", "sys/mman.h", "fcntl.h", "chrono", "thread", "random", "mutex",
                     "filesystem", "fstream", "ctime", "linux/membarrier.h"):
            with self.subTest(name):
                self.write("src/storage/page.cc", f"#include <{name}>\n")
                self.assert_finds("system", "src/storage/page.cc:1")

    def test_finds_system_calls_outside_os(self):
        for call in ('std::getenv("HOME")', "std::rand()", "::open(path, 0)", "time(nullptr)",
                     "std::chrono::steady_clock::now()", "std::this_thread::yield()", "fork()",
                     "__rdtsc()", "std::random_device{}()"):
            with self.subTest(call):
                self.write("src/storage/page.cc", f"auto x() {{ return {call}; }}\n")
                self.assert_finds("system", "src/storage/page.cc:1")

    def test_finds_clock_in_the_command(self):
        self.write("src/cli/main.cc", "#include <chrono>\n")
        self.assert_finds("system", "src/cli/main.cc:1")

    def test_passes_names_that_only_look_like_system_calls(self):
        self.write("src/storage/page.cc", 'int Database::open(int);\nvoid g() { file.open(1); }\n'
                   'void h() { log->time(2); run_time(3); }\n// getenv("x")\n'
                   'const char* t = "time(1)";\n')
        self.assert_clean()

    def test_finds_printing_outside_the_command(self):
        for call in ('std::printf("x")', "std::cout << 1", 'fmt::print("x")', 'std::puts("x")',
                     'std::fprintf(stderr, "x")', 'perror("x")'):
            with self.subTest(call):
                self.write("src/os/file.cc", f"void x() {{ {call}; }}\n")
                self.assert_finds("printing", "src/os/file.cc:1")
        self.write("src/os/file.cc", "#include <iostream>\n")
        self.assert_finds("printing", "src/os/file.cc:1")

    def test_passes_formatting_into_memory(self):
        self.write("src/os/file.cc", 'void x() { std::snprintf(b, 9, "%d", 1); fmt::format("x"); }\n')
        self.assert_clean()

    def test_allows_and_counts_a_marked_line(self):
        self.write("src/os/file.cc",
                   'void x() { std::puts("x"); }  // tidy-allow: printing (last words)\n')
        self.assertIn("1 allowed", self.assert_clean())
        self.write("src/os/file.cc", 'void x() { std::puts("x"); }  // tidy-allow: floor (why)\n')
        self.assert_finds("printing", "src/os/file.cc:1")
        self.write("src/os/file.cc", 'void x() { std::puts("x"); }  // tidy-allow: printing\n')
        self.assert_finds("printing", "src/os/file.cc:1")

    def test_finds_long_file(self):
        self.write("src/base/long.h", "#pragma once\n" + "\n" * 800)
        self.assert_finds("length", "src/base/long.h")
        self.write("src/base/long.h", "#pragma once\n" + "\n" * 799)
        self.assert_clean()

    def test_finds_too_many_files_over_the_soft_limit(self):
        self.write("src/base/one.h", "#pragma once\n" + "\n" * 500)
        self.assert_clean()
        self.write("src/base/two.h", "#pragma once\n" + "\n" * 500)
        self.assert_finds("length", "src")

    def test_finds_long_function(self):
        self.write("src/base/f.cc", long_function(71))
        self.assert_finds("length", "src/base/f.cc:1")
        self.write("src/base/f.cc", long_function(70))
        self.assert_clean()

    def test_finds_long_functions_of_every_shape(self):
        body = " {\n" + "    if (x) { y = {1, 2}; }\n" * 80 + "}\n"
        for head in ("namespace a {\nclass B : public C<int> {\npublic:\n    int f(int x) const "
                     "noexcept override", "A::A(int x) : a_{x}, b_(2)", "TEST(A, B)",
                     "template <typename T = int>\n    requires(sizeof(T) > 1)\nauto f() -> int",
                     "struct X {\n    bool operator==(const X& o) const", "static X g(int a = 3)",
                     "extern \"C\" {\nint f()", "std::vector<char> f(const struct stat& s)",
                     "const char* s = R\"x({{{)x\"; int n = 1'000; char c = '{';\nint f()"):
            with self.subTest(head):
                self.write("src/base/f.cc", head + body)
                self.assert_finds("length", "src/base/f.cc")

    def test_passes_long_classes_tables_and_conditional_branches(self):
        self.write("src/base/f.cc", "class A {\n" + "    int f() { return 1; }\n" * 90 + "};\n"
                   "constexpr int kTable[] = {\n" + "    1,\n" * 90 + "};\n"
                   "#ifdef X\nint g() {\n#else\nint g(int) {\n#endif\n    return 1;\n}\n" +
                   "int h();\n" * 90)
        self.assert_clean()

    def test_ratchet_holds_what_is_listed_and_may_only_shrink(self):
        self.write("tools/README.md", "tools\n")
        self.write("src/base/f.cc", long_function(80))
        self.run_tidy("--update")
        self.assert_clean()
        self.write("src/base/f.cc", long_function(81))
        self.assert_finds("ratchet", "src/base/f.cc")
        self.write("src/base/f.cc", long_function(75))
        self.assert_finds("ratchet", "tools/tidy_ratchet.txt")
        self.write("src/base/f.cc", long_function(60))
        self.assert_finds("ratchet", "tools/tidy_ratchet.txt")

    def test_ratchet_finds_an_entry_that_history_does_not_have(self):
        def git(*arguments):
            subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
                           cwd=self.root, check=True, capture_output=True)
        self.write("tools/README.md", "tools\n")
        self.write("tools/tidy_ratchet.txt", "# none\n")
        git("init", "-q")
        git("add", ".")
        git("commit", "-qm", "one")
        self.assert_clean()
        self.write("src/base/f.cc", long_function(80))
        self.run_tidy("--update")
        self.assert_finds("ratchet", "tools/tidy_ratchet.txt")
        git("add", ".")
        git("commit", "-qm", "two")
        self.assert_finds("ratchet", "tools/tidy_ratchet.txt")

    def test_finds_wide_line(self):
        self.write("src/base/w.cc", "// " + "x" * 98 + "\n")
        self.assert_finds("width", "src/base/w.cc:1")

    def test_finds_forbidden_words_in_every_kind_of_file(self):
        for word in ("TO" "DO", "FIX" "ME", "not implem" "ented", "for n" "ow", "place" "holder"):
            for path in ("src/base/w.cc", "notes.md", "CMakeLists.txt", "start"):
                with self.subTest(word=word, path=path):
                    self.write(path, f"// {word}: x\n")
                    self.assert_finds("word", f"{path}:1")
                    (self.root / path).unlink()

    def test_finds_paths_of_one_machine(self):
        for path in ("/wo" "rk/main", "/home/" "ann/x", "/ro" "ot/x"):
            with self.subTest(path):
                self.write("notes.md", f"see {path}\n")
                self.assert_finds("word", "notes.md:1")
        self.write("notes.md", "see ${prefix}/work/x and https://example.org/network/main\n")
        self.assert_clean()

    def test_finds_folder_without_readme(self):
        (self.root / "src/base/README.md").unlink()
        self.assert_finds("readme", "src/base")


if __name__ == "__main__":
    unittest.main()
