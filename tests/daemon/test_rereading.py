"""Tests of files that change while a daemon runs."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.rereading import LOOK_SECONDS, Reread


class RereadTests(SynchronousTestCase):
    """A file with a number."""

    def setUp(self):
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.path.write_text("1")
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.reads = 0
        self.file = self.made()

    def made(self):
        return Reread("numbers", str(self.path), self.read, ValueError, self.clock.seconds)

    def read(self):
        self.reads += 1
        return int(self.path.read_text()) if self.path.exists() else self.fail_to_read()

    def fail_to_read(self):
        raise ValueError("it is gone")

    def test_it_is_read_when_it_changes(self):
        for _ in range(3):
            self.clock.advance(LOOK_SECONDS)
            self.assertEqual(self.file.said, 1)
        self.assertEqual(self.reads, 1)
        self.path.write_text("23")
        self.assertEqual(self.file.said, 1)  # it was looked at just now
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.file.said, 23)
        self.assertEqual(self.reads, 2)

    def test_what_cannot_be_used_changes_nothing(self):
        for spoil in (lambda: self.path.write_text("no number"), lambda: os.remove(self.path)):
            self.logged._events.clear()
            spoil()
            for _ in range(3):
                self.clock.advance(LOOK_SECONDS)
                self.assertEqual(self.file.said, 1)
                self.assertIn("the file of numbers has changed and cannot be used: ", self.file.trouble)
            [event] = self.logged
            self.assertIn("; the numbers from before stay in use", formatEvent(event))
        self.path.write_text("4")
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.file.trouble, self.file.said), ("", 4))

    def test_one_that_cannot_be_used_at_first(self):
        self.path.write_text("no number")
        self.assertRaises(ValueError, self.made)

    def test_other_errors_are_told(self):
        self.path.unlink()
        self.path.mkdir()
        self.clock.advance(LOOK_SECONDS)
        self.assertRaises(IsADirectoryError, lambda: self.file.said)
