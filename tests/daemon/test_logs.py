"""Log lines."""

from __future__ import annotations

import io
import json
import logging
import os

from twisted.logger import Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.logs import LogFile, StandardLogging, json_line, observer, text_line, to_file


def _event(**fields):
    return {
        "log_time": 0.5,
        "log_level": LogLevel.warn,
        "log_namespace": "cim.x",
        "log_format": "{who} left",
        "who": "bob",
        **fields,
    }


def _failure():
    try:
        raise RuntimeError("bug")
    except RuntimeError:
        return Failure()


class LineTests(SynchronousTestCase):
    def test_text(self):
        line = text_line(_event())
        self.assertRegex(line, r"^(1970-01-01|1969-12-31)T\d\d:\d\d:00\.500[+-]\d\d:\d\d warn \[cim\.x\] bob left\n$")

    def test_one_line_whatever_the_message(self):
        self.assertEqual(text_line(_event(who="a\r\nINFO b")).count("\n"), 1)

    def test_unexpected_failure_has_its_traceback(self):
        lines = text_line(_event(log_failure=_failure())).splitlines()
        self.assertTrue(all(line.startswith("\t") for line in lines[1:]))
        self.assertIn("RuntimeError: bug", lines[-1])

    def test_json(self):
        record = json.loads(json_line(_event(count=3, thing=object(), log_failure=_failure())))
        self.assertEqual((record["level"], record["message"], record["count"]), ("warn", "bob left", 3))
        self.assertIn("RuntimeError: bug", record["failure"])
        self.assertNotIn("thing", record)
        self.assertEqual(json_line(_event(who="a\nb")).count("\n"), 1)

    def test_event_without_anything(self):
        self.assertTrue(text_line({}).endswith("\n"))
        json.loads(json_line({}))


class ObserverTests(SynchronousTestCase):
    def levels(self, level, namespace):
        lines = []
        log = Logger(namespace=namespace, observer=LogPublisher(observer(lines.append, level, "text")))
        for name in LogLevel.iterconstants():
            log.emit(name, "x")
        return [line.split()[1] for line in lines]

    def test_level(self):
        self.assertEqual(self.levels("warn", "cim.server"), ["warn", "error", "critical"])
        self.assertEqual(self.levels("critical", "cim.server"), ["critical"])

    def test_libraries_chatter_only_at_debug(self):
        self.assertEqual(self.levels("info", "twisted.web.http"), ["warn", "error", "critical"])
        self.assertEqual(self.levels("critical", "twisted.web.http"), ["critical"])
        self.assertEqual(len(self.levels("debug", "twisted.web.http")), 5)

    def test_a_closed_reader_stops_nothing(self):
        class Broken(io.StringIO):
            def write(self, text):
                raise BrokenPipeError

        to_file(Broken())("x\n")

    def test_text_that_utf8_cannot_encode(self):
        out = io.StringIO()
        to_file(out)("a\ud800\n")
        self.assertEqual(out.getvalue(), "a\\ud800\n")

    def test_python_logging(self):
        events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        record = logging.LogRecord("kazoo.client", logging.WARNING, "f", 1, "lost %s {x}", ("it",), None)
        StandardLogging().emit(record)
        self.assertEqual(
            [(e["log_namespace"], e["log_level"].name, e["text"]) for e in events],
            [("kazoo.client", "warn", "lost it {x}")],
        )


class LogFileTests(SynchronousTestCase):
    def setUp(self):
        self.path = os.path.join(self.mktemp(), "cim.log")
        self.file = LogFile(self.path)
        self.addCleanup(self.file.close)
        self.write = to_file(self.file)

    def read(self, suffix=""):
        with open(self.path + suffix, encoding="utf-8") as file:
            return file.read()

    def test_moved_by_somebody_else(self):
        """As logrotate does it: it moves the file, then sends the signal."""
        self.write("before\n")
        os.rename(self.path, self.path + "-20261127")
        self.write("moved\n")
        self.file.renew()
        self.write("after\n")
        self.assertEqual((self.read("-20261127"), self.read()), ("before\nmoved\n", "after\n"))

    def test_moved_and_made_anew(self):
        """logrotate's `create` makes the new file itself, with the mode that it should have."""
        self.write("before\n")
        os.rename(self.path, self.path + "-1")
        with open(self.path, "w", encoding="utf-8"):
            os.chmod(self.path, 0o600)
        self.file.renew()
        self.write("after\n")
        self.assertEqual((self.read("-1"), self.read()), ("before\n", "after\n"))
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_in_its_place(self):
        for line in ("first\n", "second\n"):
            self.write(line)
            self.file.renew()
        self.write("third\n")
        self.assertEqual([self.read(suffix) for suffix in (".2", ".1", "")], ["first\n", "second\n", "third\n"])

    def test_there_can_be_no_new_file(self):
        self.write("before\n")
        os.rename(self.path, self.path + "-1")
        os.mkdir(self.path)
        events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.file.renew()
        self.write("after\n")
        self.assertEqual(self.read("-1"), "before\nafter\n")
        self.assertEqual([event["error"] for event in events], ["Is a directory"])
        os.rmdir(self.path)

    def test_a_long_file_stays_one(self):
        self.write("x" * 1_000_000)
        self.write("y\n")
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["cim.log"])
