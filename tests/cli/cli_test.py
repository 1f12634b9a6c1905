#!/usr/bin/env python3
"""The command as people and scripts type it, end to end.

    FULGUR=build/release/fulgur tests/cli/cli_test.py [unittest arguments]

Without FULGUR it takes build/release/fulgur. Each test has a directory of its own. Random data comes
from FULGUR_SEED, which is printed.
"""

import base64
import csv
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FULGUR = str(Path(os.environ.get("FULGUR", ROOT / "build/release/fulgur")).resolve())
SEED = int(os.environ.get("FULGUR_SEED", random.SystemRandom().getrandbits(32)))
TIMEOUT_S = 100

OK, NOT_FOUND, USAGE, BAD_INPUT, IO, CORRUPTION, BUSY, NO_SPACE, OTHER = range(9)


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="fulgur_cli_"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.db = self.folder / "db"

    def run_it(self, *arguments, stdin=b"", binary=FULGUR, **options):
        command = [binary, *[os.fsencode(a) if not isinstance(a, bytes) else a for a in arguments]]
        if isinstance(stdin, bytes):
            options["input"] = stdin
        else:
            options["stdin"] = stdin
        if "stdout" not in options:
            options["stdout"] = subprocess.PIPE
        if "stderr" not in options:
            options["stderr"] = subprocess.PIPE
        return subprocess.run(command, timeout=TIMEOUT_S, check=False, **options)

    def ok(self, *arguments, **options):
        result = self.run_it(*arguments, **options)
        self.assertEqual(result.returncode, OK, result)
        return result.stdout

    def fails(self, code, *arguments, **options):
        """The message on standard error, which has the stated form."""
        result = self.run_it(*arguments, **options)
        self.assertEqual(result.returncode, code, result)
        message = result.stderr.decode()
        self.assertTrue(message.startswith("fulgur: "), message)
        return message

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "--json", **options))

    def wait_for(self, condition):
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.02)
        self.fail("waited in vain")


class BasicsTest(CommandTest):
    def test_create_makes_an_empty_database_once(self):
        self.assertEqual(self.ok("create", self.db), f"created {self.db}\n".encode())
        self.assertEqual(self.ok("count", self.db), b"0\n")
        self.assertIn("directory that is absent", self.fails(USAGE, "create", self.db))

    def test_create_for_programs(self):
        self.assertEqual(self.json("create", self.db, "--keyspace", "users")["keyspace"], "users")
        names = [k["name"] for k in self.json("stats", self.db)["keyspaces"]]
        self.assertIn("users", names)

    def test_put_get_del(self):
        self.assertEqual(self.ok("put", self.db, "k", "v"), b"")
        self.assertEqual(self.ok("get", self.db, "k"), b"v\n")
        self.assertEqual(self.ok("get", self.db, "k", "--raw"), b"v")
        self.assertEqual(self.ok("put", self.db, "k", "w"), b"")
        self.assertEqual(self.ok("get", self.db, "k"), b"w\n")
        self.assertEqual(self.ok("del", self.db, "k"), b"")
        self.assertIn("no key k", self.fails(NOT_FOUND, "get", self.db, "k"))
        self.assertIn("no key k", self.fails(NOT_FOUND, "del", self.db, "k"))

    def test_put_get_del_for_programs(self):
        first = self.json("put", self.db, "k", "v")["sequence"]
        second = self.json("put", self.db, "k2", "v2")["sequence"]
        self.assertGreater(second, first)
        self.assertEqual(self.json("get", self.db, "k"), {"key": "k", "value": "v"})
        self.assertGreater(self.json("del", self.db, "k")["sequence"], second)
        result = self.run_it("get", self.db, "k", "--json")
        self.assertEqual(result.returncode, NOT_FOUND)
        error = json.loads(result.stderr)
        self.assertEqual((error["error"], error["exit_code"]), ("not_found", NOT_FOUND))

    def test_each_durability_level_is_taken(self):
        for level in ("sync", "os", "buffered"):
            self.ok("put", self.db, level, level, "--durability", level)
            self.assertEqual(self.ok("get", self.db, level), level.encode() + b"\n")
        self.fails(USAGE, "put", self.db, "k", "v", "--durability", "maybe")

    def test_arguments_are_taken_literally(self):
        for text in ("", "get", "put", "--", "-k", "--json", "{}", "[]", "[a,b]", '"q"', "'q'",
                     "a b", "%s", "\\x41", "\n", "k=v", "/", "-1", "caf\u00e9", b"\xff\xfe"):
            with self.subTest(text=text):
                self.ok("put", self.db, "--", text, text)
                raw = text if isinstance(text, bytes) else text.encode()
                self.assertEqual(self.ok("get", self.db, "--raw", "--", text), raw)

    def test_base64_arguments_carry_any_bytes(self):
        key, value = bytes(range(256)), bytes(reversed(range(256))) * 3
        self.ok("put", self.db, base64.b64encode(key), base64.b64encode(value), "--base64")
        found = self.ok("get", self.db, base64.b64encode(key), "--base64", "--raw")
        self.assertEqual(found, value)
        shown = self.json("get", self.db, base64.b64encode(key), "--base64")
        self.assertEqual(base64.b64decode(shown["value_base64"]), value)
        self.assertIn("character 3", self.fails(USAGE, "get", self.db, "AA=A", "--base64"))

    def test_value_from_a_file_or_a_pipe(self):
        value = os.urandom(300_000)  # Above the size that goes through the log.
        (self.folder / "value").write_bytes(value)
        self.ok("put", self.db, "file", "--value-file", self.folder / "value")
        self.ok("put", self.db, "pipe", "--value-file", "-", stdin=value)
        self.assertEqual(self.ok("get", self.db, "file", "--raw"), value)
        self.assertEqual(self.ok("get", self.db, "pipe", "--raw"), value)
        self.fails(USAGE, "put", self.db, "k")
        self.fails(USAGE, "put", self.db, "k", "v", "--value-file", "-")
        self.fails(IO, "put", self.db, "k", "--value-file", self.folder / "absent")

    def test_keyspaces_are_apart(self):
        self.ok("put", self.db, "k", "one", "--keyspace", "a")
        self.ok("put", self.db, "k", "two", "--keyspace", "b")
        self.assertEqual(self.ok("get", self.db, "k", "--keyspace", "a"), b"one\n")
        self.assertEqual(self.ok("get", self.db, "k", "--keyspace", "b"), b"two\n")
        self.assertIn("no key", self.fails(NOT_FOUND, "get", self.db, "k"))
        self.assertEqual(self.ok("count", self.db), b"0\n")
        self.assertIn("no keyspace", self.fails(NOT_FOUND, "count", self.db, "--keyspace", "c"))
        self.fails(USAGE, "put", self.db, "k", "v", "--keyspace", "n" * 256)

    def test_limits(self):
        limit = 64 * 1024 - 1
        self.ok("put", self.db, "k" * limit, "longest")
        self.assertEqual(self.ok("get", self.db, "k" * limit), b"longest\n")
        message = self.fails(BAD_INPUT, "put", self.db, "k" * (limit + 1), "v")
        self.assertIn("65536 bytes; the limit is 65535", message)
        message = self.fails(BAD_INPUT, "put", self.db, "k", "--value-file", "-",
                             stdin=bytes(64 * 1024 * 1024 + 1))
        self.assertIn("64.0 MiB", message)
        self.assertEqual(self.ok("count", self.db), b"1\n")

    def test_open_says_what_it_found(self):
        self.ok("put", self.db, "k", "v")
        text = self.ok("open", self.db).decode()
        self.assertIn("nothing to recover", text)
        self.assertIn("default", text)
        self.assertEqual(self.json("open", self.db)["commits_replayed"], 0)

    def test_open_recovers_what_a_killed_process_left(self):
        with subprocess.Popen([FULGUR, "load", self.db, "--format", "jsonl", "-", "--durability", "os",
                               "--batch-rows", "1"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as loader:
            for i in range(100):
                loader.stdin.write(b'{"key":"%d","value":"v"}\n' % i)
            loader.stdin.flush()
            # It holds the rows in its log once they are read from the pipe.
            self.wait_for(lambda: self.log_bytes() > 0)
            time.sleep(0.5)
            loader.kill()
        found = self.json("open", self.db)
        self.assertEqual(self.json("count", self.db)["count"], found["newest_sequence"]
                         - self.commits_without_rows(found))
        self.assertEqual(self.json("open", self.db)["commits_replayed"], 0)

    def commits_without_rows(self, found):
        """Making a keyspace may be a commit of its own."""
        return found["newest_sequence"] - self.json("count", self.db)["count"]

    def log_bytes(self):
        return sum(p.stat().st_size for p in self.db.glob("log.*")) if self.db.is_dir() else 0

    def test_stats(self):
        self.ok("put", self.db, "k", "v")
        text = self.ok("stats", self.db).decode()
        for words in ("newest commit", "data file", "keyspaces", "default"):
            self.assertIn(words, text)
        stats = self.json("stats", self.db)
        self.assertEqual(stats["path"], str(self.db))
        self.assertFalse(stats["poisoned"])
        self.assertGreaterEqual(stats["visible"], 1)
        self.assertEqual(stats["keyspaces"][0]["name"], "default")

    def test_changes(self):
        value = base64.b64encode(b"2\t\xff").decode()
        rows = '{"key":"a","value":"1"}\n{"key":"b","value_base64":"%s"}\n' % value
        self.ok("load", self.db, "-", "--format", "jsonl", stdin=rows.encode())
        lines = self.ok("changes", self.db, "--from", "1").decode().splitlines()
        self.assertEqual(lines, ["1\tcreate\tdefault", "2\tput\tdefault\ta\t1",
                                 "2\tput\tdefault\tb\t2\\x09\\xff"])
        printed = self.ok("changes", self.db, "--json", "--keyspace", "default", "--from", "2")
        self.assertEqual([json.loads(line) for line in printed.splitlines()], [
            {"sequence": 2, "change": "put", "keyspace_id": 1, "keyspace": "default",
             "key": "a", "value": "1"},
            {"sequence": 2, "change": "put", "keyspace_id": 1, "keyspace": "default",
             "key": "b", "value_base64": value}])
        self.assertEqual(self.ok("changes", self.db, "--limit", "1"), b"1\tcreate\tdefault\n")
        self.assertEqual(self.ok("changes", self.db, "--keyspace", "other"), b"")
        self.assertEqual(self.ok("changes", self.db, "--from", "3"), b"")
        self.fails(USAGE, "changes", self.db, "--from", "4")
        self.fails(USAGE, "changes", self.db, "--from", "x")
        self.ok("del", self.db, "a")
        self.ok("del", self.db, "b")
        self.assertTrue(self.ok("changes", self.db).endswith(b"4\terase\tdefault\tb\n"))
        self.assertIn("the log begins at", self.fails(OTHER, "changes", self.db, "--from", "1"))

    def test_verify(self):
        self.ok("put", self.db, "k", "v")
        self.assertTrue(self.ok("verify", self.db).startswith(b"ok: "))
        report = self.json("verify", self.db)
        self.assertTrue(report["ok"])
        self.assertGreaterEqual(report["records"], 1)


class ScanTest(CommandTest):
    def setUp(self):
        super().setUp()
        rows = "".join(f'{{"key":"{k}","value":"{k.upper()}"}}\n' for k in ("a1", "a2", "b1", "b2"))
        self.ok("load", self.db, "--format", "jsonl", "-", stdin=rows.encode())

    def keys(self, *arguments):
        return self.ok("scan", self.db, "--keys-only", *arguments).decode().split()

    def test_prints_rows_in_order(self):
        self.assertEqual(self.ok("scan", self.db), b"a1\tA1\na2\tA2\nb1\tB1\nb2\tB2\n")
        self.assertEqual(self.ok("scan", self.db, "--json", "--limit", "1"),
                         b'{"key":"a1","value":"A1"}\n')
        self.assertEqual(self.ok("scan", self.db, "--json", "--keys-only", "--limit", "1"),
                         b'{"key":"a1"}\n')

    def test_ranges(self):
        self.assertEqual(self.keys("--prefix", "a"), ["a1", "a2"])
        self.assertEqual(self.keys("--prefix", ""), ["a1", "a2", "b1", "b2"])
        self.assertEqual(self.keys("--from", "a2"), ["a2", "b1", "b2"])
        self.assertEqual(self.keys("--to", "b1"), ["a1", "a2"])
        self.assertEqual(self.keys("--to", ""), [])
        self.assertEqual(self.keys("--from", "a2", "--to", "b2"), ["a2", "b1"])
        self.assertEqual(self.keys("--from", "b", "--to", "a"), [])
        self.assertEqual(self.keys("--prefix", "YQ==", "--base64"), ["a1", "a2"])
        self.fails(USAGE, "scan", self.db, "--prefix", "a", "--from", "b")

    def test_reverse_and_limit(self):
        self.assertEqual(self.keys("--reverse"), ["b2", "b1", "a2", "a1"])
        self.assertEqual(self.keys("--reverse", "--prefix", "a", "--limit", "1"), ["a2"])
        self.assertEqual(self.keys("--limit", "0"), [])
        self.fails(USAGE, "scan", self.db, "--limit", "x")
        self.fails(USAGE, "scan", self.db, "--limit", "-1")

    def test_count(self):
        self.assertEqual(self.ok("count", self.db), b"4\n")
        self.assertEqual(self.ok("count", self.db, "--prefix", "a"), b"2\n")
        self.assertEqual(self.json("count", self.db, "--from", "b1"), {"count": 2})
        # Of a page that is not in memory only what its reference tells.
        found = self.json("count", self.db, "--approximate")
        self.assertEqual(found["approximate_count"], 4)
        self.assertGreater(found["approximate_bytes"], 8)
        self.assertEqual(self.ok("count", self.db, "--approximate"), b"4\n")


class LoadDumpTest(CommandTest):
    FORMATS = (("jsonl", ()), ("csv", ()), ("csv", ("--base64",)))

    def tricky_rows(self):
        generator = random.Random(SEED)
        rows = {b"": b"", b"\xff": b"\x00", b"a,b": b'"', b"line\r\nend": b"\r", b"\xed\xa0\x80": b"x",
                "caf\u00e9".encode(): "\u20ac\U0001f600".encode(), b"large": generator.randbytes(400_000)}
        while len(rows) < 2000:
            rows[generator.randbytes(generator.randrange(20))] = generator.randbytes(
                generator.randrange(100))
        return rows

    def all_rows(self, db):
        rows = {}
        for line in self.ok("scan", db, "--json").splitlines():
            row = json.loads(line)
            get = lambda name: (base64.b64decode(row[name + "_base64"])  # noqa: E731
                                if name + "_base64" in row else row[name].encode())
            rows[get("key")] = get("value")
        return rows

    def test_any_bytes_survive_every_format(self):
        rows = self.tricky_rows()
        lines = "".join(json.dumps({"key_base64": base64.b64encode(k).decode(),
                                    "value_base64": base64.b64encode(v).decode()}) + "\n"
                        for k, v in rows.items())
        self.ok("load", self.db, "--format", "jsonl", "-", stdin=lines.encode())
        self.assertEqual(self.all_rows(self.db), rows)
        for i, (kind, options) in enumerate(self.FORMATS):
            with self.subTest(kind=kind, options=options):
                file = self.folder / f"dump{i}.{kind}"
                self.ok("dump", self.db, file, *options)
                copy = self.folder / f"copy{i}"
                self.ok("load", copy, file)
                self.assertEqual(self.all_rows(copy), rows)
                piped = self.ok("dump", copy, "--format", kind, *options)
                self.assertEqual(piped, file.read_bytes())

    def test_others_read_what_we_write(self):
        rows = {"k1": 'a"b,c\r\nd', "k2": "\u00e9\t\\", "k3": ""}
        for key, value in rows.items():
            self.ok("put", self.db, key, value)
        text = self.ok("dump", self.db).decode()
        self.assertEqual({r["key"]: r["value"] for r in map(json.loads, text.splitlines())}, rows)
        text = self.ok("dump", self.db, "--format", "csv").decode()
        self.assertEqual({r["key"]: r["value"] for r in csv.DictReader(text.splitlines(True))}, rows)

    def test_a_hundred_thousand_rows(self):
        generator = random.Random(SEED)
        rows = {b"key%08d" % generator.randrange(10**8): b"value%d" % i for i in range(100_000)}
        file = self.folder / "rows.jsonl"
        file.write_bytes(b"".join(b'{"key":"%s","value":"%s"}\n' % row for row in rows.items()))
        report = self.json("load", self.db, file)
        self.assertEqual((report["rows"], report["skipped"]), (len(rows), 0))
        self.assertEqual(report["bytes"], file.stat().st_size)
        self.assertEqual(self.ok("count", self.db), b"%d\n" % len(rows))
        self.assertEqual(self.all_rows(self.db), rows)
        backward = self.ok("scan", self.db, "--reverse", "--keys-only").split()
        self.assertEqual(backward, sorted(rows, reverse=True))
        copy = self.folder / "copy"
        self.ok("dump", self.db, self.folder / "rows.csv")
        self.ok("load", copy, self.folder / "rows.csv")
        self.assertEqual(self.ok("dump", copy), self.ok("dump", self.db))
        self.assertEqual(self.json("verify", copy)["records"],
                         self.json("verify", self.db)["records"])

    def test_every_keyspace(self):
        self.ok("put", self.db, "k", "1", "--keyspace", "a")
        self.ok("put", self.db, "k", "2", "--keyspace", b"\xff")
        for kind in ("jsonl", "csv"):
            options = ("--base64",) if kind == "csv" else ()
            data = self.ok("dump", self.db, "--format", kind, "--all-keyspaces", *options)
            copy = self.folder / kind
            self.ok("load", copy, "--format", kind, "--all-keyspaces", "-", stdin=data)
            self.assertEqual(self.ok("get", copy, "k", "--keyspace", "a"), b"1\n")
            self.assertEqual(self.ok("get", copy, "k", "--keyspace", b"\xff"), b"2\n")
        line = b'{"keyspace":"a","key":"k","value":"v"}'
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "jsonl", "-", stdin=line)
        self.assertIn("--all-keyspaces", message)

    def test_other_json_is_stored_as_text(self):
        line = b'{"key":"k","value":{"a": [1, 2.50, null], "b": "\\u00e9"}}'
        self.ok("load", self.db, "--format", "jsonl", "-", stdin=line)
        self.assertEqual(self.ok("get", self.db, "k").decode(), '{"a":[1,2.50,null],"b":"\u00e9"}\n')

    def test_a_part_of_a_database(self):
        for key in ("a1", "a2", "b"):
            self.ok("put", self.db, key, "v")
        self.assertEqual(len(self.ok("dump", self.db, "--prefix", "a").splitlines()), 2)
        self.assertEqual(len(self.ok("dump", self.db, "--from", "a2").splitlines()), 2)

    def test_several_files(self):
        (self.folder / "1.jsonl").write_text('{"key":"a","value":"1"}\n')
        (self.folder / "2.csv").write_text("key,value\nb,2\n")
        report = self.json("load", self.db, self.folder / "1.jsonl", self.folder / "2.csv")
        self.assertEqual(report["rows"], 2)
        self.assertEqual(self.ok("scan", self.db), b"a\t1\nb\t2\n")

    def test_a_bad_line_stops_with_its_place(self):
        lines = [b'{"key":"%d","value":"v"}' % i for i in range(30)]
        lines[25] = b'{"key":"25","valu":"v"}'
        data = b"\n".join(lines)
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "jsonl", "-", "--batch-rows",
                             "10", stdin=data)
        self.assertIn('standard input:26:13: unknown member "valu"', message)
        self.assertIn("20 rows were committed", message)
        self.assertEqual(self.ok("count", self.db), b"20\n")  # Nothing of the bad batch.
        result = self.run_it("load", self.db, "--format", "jsonl", "-", "--json", stdin=data)
        error = json.loads(result.stderr)
        self.assertEqual((error["error"], error["line"], error["column"], error["rows_committed"]),
                         ("bad_input", 26, 13, 0))

    def test_bad_csv_stops_with_its_place(self):
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "csv", "-",
                             stdin=b'key,value\r\na,b\r\nc,"d"e\r\n')
        self.assertIn("standard input:3:6: text after a closing quote", message)
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "csv", "-", stdin=b"a,b\n1,2\n")
        self.assertIn("standard input:1:1: unknown column", message)

    def test_bad_lines_can_be_skipped(self):
        data = b'{"key":"a","value":"1"}\nbad\n\xff\n{"key":"b","value":"2"}\n{"key":"c"}\n'
        result = self.run_it("load", self.db, "--format", "jsonl", "-", "--skip-bad", "--json",
                             stdin=data)
        self.assertEqual(result.returncode, OK)
        report = json.loads(result.stdout)
        self.assertEqual((report["rows"], report["skipped"]), (2, 3))
        self.assertEqual(len(result.stderr.splitlines()), 3)
        self.assertEqual(self.ok("count", self.db), b"2\n")

    def test_long_lines_are_bounded(self):
        data = b'{"key":"a","value":"%s"}\n{"key":"b","value":"2"}\n' % (b"x" * 3_000_000)
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "jsonl", "-", "--max-line",
                             "1MiB", stdin=data)
        self.assertIn("standard input:1:1048577: the line is longer than 1.0 MiB", message)
        with open("/dev/zero", "rb") as zeros:
            self.fails(BAD_INPUT, "load", self.db, "--format", "jsonl", "-", "--max-line", "16MiB",
                       stdin=zeros)

    def test_a_key_over_the_limit_is_bad_input(self):
        data = b'{"key":"%s","value":""}' % (b"k" * 65536)
        message = self.fails(BAD_INPUT, "load", self.db, "--format", "jsonl", "-", stdin=data)
        self.assertIn("standard input:1:1: the key is over the limit", message)

    def test_formats_must_be_known(self):
        (self.folder / "rows.txt").write_text("")
        self.assertIn("--format", self.fails(USAGE, "load", self.db, self.folder / "rows.txt"))
        self.fails(USAGE, "load", self.db, "--format", "xml", "-")
        self.fails(USAGE, "dump", self.db, "--format", "jsonl", "--base64")
        self.assertFalse(self.db.exists())

    def test_a_missing_file_is_found_before_anything_is_done(self):
        (self.folder / "good.csv").write_text("key,value\na,b\n")
        self.fails(IO, "load", self.db, self.folder / "good.csv", self.folder / "absent.csv")
        self.assertFalse(self.db.exists())

    def test_a_dump_that_fails_leaves_no_file(self):
        self.ok("put", self.db, "k", "v")
        self.fails(IO, "dump", self.db, self.folder / "absent" / "file.csv")
        self.fails(NO_SPACE, "dump", self.db, "/dev/full")
        self.assertIn(b"1 row", self.ok("dump", self.db, self.folder / "out.csv"))
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["db", "out.csv"])

    def test_csv_says_when_others_may_not_read_it(self):
        self.ok("put", self.db, b"\xff", "v")
        result = self.run_it("dump", self.db, "--format", "csv")
        self.assertEqual(result.returncode, OK)
        self.assertIn(b"--base64", result.stderr)


class BadDaysTest(CommandTest):
    READERS = (("get", "k"), ("scan",), ("count",), ("dump",), ("stats",), ("changes",),
               ("verify",), ("open",), ("del", "k"))

    def test_commands_that_read_create_nothing(self):
        for name, *rest in self.READERS:
            with self.subTest(name=name):
                self.fails(USAGE, name, self.db, *rest)
                self.assertFalse(self.db.exists())
                empty = self.folder / "empty"
                empty.mkdir(exist_ok=True)
                self.fails(USAGE, name, empty, *rest)
                self.assertEqual(list(empty.iterdir()), [])

    def test_a_file_is_no_database(self):
        self.db.write_text("a file")
        for name, *rest in (*self.READERS, ("put", "k", "v"), ("create",)):
            with self.subTest(name=name):
                result = self.run_it(name, self.db, *rest)
                self.assertIn(result.returncode, (USAGE, IO), result)
                self.assertTrue(result.stderr.startswith(b"fulgur: "), result.stderr)
        self.assertEqual(self.db.read_text(), "a file")

    def test_a_foreign_directory_is_left_alone(self):
        self.db.mkdir()
        (self.db / "data").write_text("something of somebody else\n" * 1000)
        result = self.run_it("put", self.db, "k", "v")
        self.assertNotEqual(result.returncode, OK)
        self.assertTrue((self.db / "data").read_text().startswith("something of somebody else"))

    def test_usage_errors(self):
        for arguments in ((), ("nonsense",), ("get",), ("get", self.db), ("get", self.db, "a", "b"),
                          ("get", self.db, "k", "--nonsense"), ("help", "nonsense"),
                          ("get", self.db, "k", "--memory-budget", "much"),
                          ("get", self.db, "k", "--memory-budget", "1KiB"),
                          ("get", self.db, "k", "--memory", "gigantic"),
                          ("get", self.db, "k", "--memory", "Minimal"),
                          ("get", self.db, "k", "--memory", ""),
                          ("get", self.db, "k", "--memory", "0"),
                          ("get", self.db, "k", "--memory", "4095KiB"),
                          ("completion", "fish"), ("load", self.db, "-", "--batch-rows", "0")):
            with self.subTest(arguments=arguments):
                self.assertIn("`fulgur help", self.fails(USAGE, *arguments))

    def holder(self):
        """A process that holds the database until its standard input ends."""
        holder = subprocess.Popen([FULGUR, "load", self.db, "--format", "jsonl", "-"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdin.close)
        return holder

    def test_a_second_process_is_told_who_holds_it(self):
        self.ok("put", self.db, "k", "v")
        holder = self.holder()
        # Looking by opening it could be what keeps the holder out.
        self.wait_for(lambda: str(holder.pid) in (self.db / "lock").read_text())
        message = self.fails(BUSY, "get", self.db, "k")
        self.assertIn(str(holder.pid), message)
        self.assertIn("wait for that process", message)
        for name, *rest in (*self.READERS, ("put", "k", "v")):
            with self.subTest(name=name):
                self.assertIn(str(holder.pid), self.fails(BUSY, name, self.db, *rest))
        holder.stdin.close()
        self.assertEqual(holder.wait(TIMEOUT_S), 0)
        self.assertEqual(self.ok("get", self.db, "k"), b"v\n")

    def as_nobody(self, *arguments):
        """Runs as a user without rights; the binary is copied to where that user may run it."""
        os.chmod(self.folder, 0o755)
        binary = self.folder / "fulgur"
        shutil.copy(FULGUR, binary)
        os.chmod(binary, 0o755)
        options = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        return self.run_it(*arguments, binary=str(binary), **options)

    def test_no_rights(self):
        self.ok("put", self.db, "k", "v")
        os.chmod(self.db, 0o000)
        self.addCleanup(os.chmod, self.db, 0o755)
        for name, *rest in (("get", "k"), ("put", "k", "v"), ("verify",), ("create",)):
            with self.subTest(name=name):
                result = self.as_nobody(name, self.db, *rest)
                self.assertEqual(result.returncode, IO, result)
                self.assertIn(b"Permission denied", result.stderr)
                self.assertIn(b"rights", result.stderr)

    def test_read_only_directory(self):
        self.ok("put", self.db, "k", "v")
        for path in self.db.iterdir():
            os.chmod(path, 0o444)
        os.chmod(self.db, 0o555)
        self.addCleanup(os.chmod, self.db, 0o755)
        result = self.as_nobody("put", self.db, "k", "w")
        self.assertEqual(result.returncode, IO, result)
        self.assertIn(b"Permission denied", result.stderr)
        parent = self.folder / "closed"
        parent.mkdir()
        os.chmod(parent, 0o555)
        self.assertEqual(self.as_nobody("create", parent / "db").returncode, IO)

    def test_damage_is_named(self):
        rows = b"".join(b'{"key":"%06d","value":"%s"}\n' % (i, b"v" * 100) for i in range(20_000))
        self.ok("load", self.db, "--format", "jsonl", "-", stdin=rows)
        data = self.db / "data"
        whole = bytearray(data.read_bytes())
        for position in range(64 * 1024, len(whole), 4096):  # Behind the superblocks.
            whole[position + 100] ^= 0x10
        data.write_bytes(whole)
        result = self.run_it("verify", self.db)
        self.assertEqual(result.returncode, CORRUPTION, result)
        self.assertRegex(result.stderr.decode(), r"fulgur: corruption: .*data.* at byte \d+")

    def test_full_standard_output(self):
        self.ok("put", self.db, "k", "v")
        for name, *rest in (("get", "k"), ("scan",), ("count",), ("dump",), ("stats",), ("verify",),
                            ("open",), ("help",), ("version",), ("completion", "bash")):
            with self.subTest(name=name), open("/dev/full", "wb") as full:
                database = () if name in ("help", "version", "completion") else (self.db,)
                result = self.run_it(name, *database, *rest, stdout=full)
                self.assertEqual(result.returncode, NO_SPACE, result)
                self.assertIn(b"standard output", result.stderr)

    def test_a_reader_that_goes_away_is_no_error(self):
        rows = b"".join(b'{"key":"%06d","value":"v"}\n' % i for i in range(50_000))
        self.ok("load", self.db, "--format", "jsonl", "-", stdin=rows)
        for name in ("scan", "dump"):
            with subprocess.Popen([FULGUR, name, self.db], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as process:
                process.stdout.read(10)
                process.stdout.close()
                self.assertEqual(process.stderr.read(), b"")
                self.assertEqual(process.wait(TIMEOUT_S), OK)

    def test_closed_standard_streams_never_become_database_files(self):
        self.ok("put", self.db, "k", "v" * 1000)
        for closing in (">&-", "<&-", "2>&-", "<&- >&- 2>&-"):
            for arguments in ("put {db} k2 v2", "scan {db}", "open {db}"):
                line = f"{FULGUR} {arguments.format(db=self.db)} {closing}"
                code = subprocess.run(["sh", "-c", line], check=False, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, timeout=TIMEOUT_S).returncode
                if ">&-" in closing.replace("2>&-", "") and "put" not in arguments:
                    self.assertEqual(code, IO, line)
        self.ok("verify", self.db)
        self.assertEqual(self.ok("get", self.db, "k"), b"v" * 1000 + b"\n")

    def test_a_killed_load_leaves_a_beginning_of_its_input(self):
        generator = random.Random(SEED)
        with subprocess.Popen([FULGUR, "load", self.db, "--format", "jsonl", "-", "--batch-rows", "7",
                               "--durability", "os"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as loader:
            try:
                deadline = time.monotonic() + 0.5 + generator.random()
                for i in range(10**9):
                    loader.stdin.write(b'{"key":"%09d","value":"v"}\n' % i)
                    if time.monotonic() > deadline:
                        break
            except BrokenPipeError:
                pass
            loader.send_signal(signal.SIGKILL)
            try:
                loader.stdin.close()
            except BrokenPipeError:
                pass
        keys = self.ok("scan", self.db, "--keys-only").split()
        self.assertEqual(keys, [b"%09d" % i for i in range(len(keys))])
        self.assertEqual(len(keys) % 7, 0)
        self.ok("verify", self.db)


class ShownTest(CommandTest):
    def on_terminal(self, *arguments):
        """Standard output and error of a run on a terminal, as one text."""
        main, side = pty.openpty()
        with subprocess.Popen([FULGUR, *map(os.fspath, arguments)], stdin=subprocess.DEVNULL,
                              stdout=side, stderr=side) as process:
            os.close(side)
            shown = b""
            while select.select([main], [], [], TIMEOUT_S)[0]:
                try:
                    piece = os.read(main, 65536)
                except OSError:  # The other side is closed.
                    break
                if not piece:
                    break
                shown += piece
            self.assertEqual(process.wait(TIMEOUT_S), OK, shown)
        os.close(main)
        return shown.replace(b"\r\n", b"\n")

    def test_a_terminal_is_shown_nothing_that_acts(self):
        self.ok("put", self.db, "k\x1b[2J", b"\xff\x07\nv")
        self.assertEqual(self.on_terminal("scan", self.db), b"k\\x1b[2J\t\\xff\\x07\\x0av\n")
        self.assertEqual(self.on_terminal("get", self.db, "k\x1b[2J"), b"\\xff\\x07\nv\n")
        self.assertEqual(self.on_terminal("get", self.db, "k\x1b[2J", "--raw"), b"\xff\x07\nv")
        self.assertEqual(self.ok("scan", self.db), b"k\x1b[2J\t\xff\x07\nv\n")

    def test_progress_goes_to_standard_error_when_asked_for(self):
        rows = b"".join(b'{"key":"%06d","value":"v"}\n' % i for i in range(1000))
        (self.folder / "rows.jsonl").write_bytes(rows)
        result = self.run_it("load", self.db, self.folder / "rows.jsonl", "--progress")
        self.assertRegex(result.stderr.decode(), r"loading 100% \[#+\] 1,000 rows .* left\n$")
        self.assertEqual(self.run_it("load", self.db, self.folder / "rows.jsonl").stderr, b"")
        for name in ("count", "dump", "verify"):
            result = self.run_it(name, self.db, "--progress")
            self.assertRegex(result.stderr.decode(), r"rows|/s")

    def test_help_explains_every_command_and_exit_code(self):
        text = self.ok("help").decode()
        for code in range(9):
            self.assertRegex(text, rf"(?m)^  {code}  \S")
        names = re.findall(r"(?m)^  ([a-z]+) {2,}\S", text.split("Subcommands:")[1])
        self.assertGreaterEqual(set(names), {
            "create", "open", "put", "get", "del", "scan", "count", "load", "dump", "stats",
            "changes", "verify", "help", "version", "completion"})
        for name in names:
            explained = self.ok("help", name)
            self.assertIn(f"fulgur {name}".encode(), explained)
            self.assertIn(b"--json", explained)
            self.assertEqual(explained, self.ok(name, "--help"))
        self.assertEqual(self.ok("--help"), text.encode())

    def test_store_conformance(self):
        url = f"fulgur:{self.db}?budget=64MiB&durability=buffered"
        lines = [json.loads(line) for line in self.ok("store-conformance", url, "--json").splitlines()]
        self.assertGreater(len(lines), 20)
        self.assertTrue(all(line["passed"] for line in lines), lines)
        self.assertEqual(self.ok("count", self.db), b"0\n")
        one = self.ok("store-conformance", "portable:?seed=3", "--check", "RefusesWriteSkew").decode()
        self.assertRegex(one, r"^passed RefusesWriteSkew +\S.*\npassed: 1, failed: 0\n$")
        self.assertIn("no check is named", self.fails(USAGE, "store-conformance", url, "--check", "x"))
        self.assertIn("begins with", self.fails(USAGE, "store-conformance", "redis:x"))

    def test_version_is_that_of_the_build(self):
        project = (ROOT / "CMakeLists.txt").read_text()
        version = re.search(r"project\(Fulgur VERSION ([\d.]+)", project).group(1)
        self.assertEqual(self.ok("version"), f"fulgur {version}\n".encode())
        self.assertEqual(self.ok("--version"), f"fulgur {version}\n".encode())
        self.assertEqual(self.json("version"), {"version": version})

    def complete(self, *words):
        script = (self.ok("completion", "bash").decode() +
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fulgur; printf "%s\\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script, "bash", "fulgur", *words], cwd=self.folder,
                                capture_output=True, check=True, text=True, timeout=TIMEOUT_S)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_completion(self):
        self.assertIn("create", self.complete(""))
        self.assertEqual(self.complete("sc"), ["scan"])
        self.assertEqual(self.complete("load", "dir", "--for"), ["--format"])
        self.assertEqual(self.complete("load", "dir", "--format", ""), ["jsonl", "csv"])
        self.assertEqual(self.complete("put", "dir", "--durability", "b"), ["buffered"])
        self.assertEqual(self.complete("help", "ver"), ["verify", "version"])
        (self.folder / "some.db").mkdir()
        self.assertEqual(self.complete("get", "so"), ["some.db"])


if __name__ == "__main__":
    if not os.access(FULGUR, os.X_OK):
        sys.exit(f"cli_test: no command at {FULGUR}: build it, or set FULGUR")
    print(f"FULGUR_SEED={SEED}", file=sys.stderr)
    unittest.main()
