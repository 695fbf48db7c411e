"""The keys of a system, kept on disk, and what the terminal makes of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cim.client import CIMError
from cim.client.life import Standing
from cim.terminal.known_keys import KnownKeys
from cim.terminal.tap import Options, _identity, _trust

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class KnownKeysTests(SynchronousTestCase):
    def setUp(self):
        self.path = Path(self.mktemp()) / "chat.example-443" / ".pins"
        self.keys = KnownKeys(self.path)

    def test_remembered(self):
        self.assertEqual(self.keys.read(), ())
        self.keys.remember([ONE, TWO])
        self.assertEqual(KnownKeys(self.path).read(), (ONE, TWO))
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.path.parent).st_mode & 0o777, 0o700)
        self.keys.remember([TWO])
        self.assertEqual(self.keys.read(), (TWO,))
        self.assertEqual(os.listdir(self.path.parent), [".pins"])

    def test_the_same_again_is_not_written(self):
        self.keys.remember([ONE])
        before = os.stat(self.path).st_ino
        self.keys.remember([ONE])
        self.assertEqual(os.stat(self.path).st_ino, before)

    def test_a_file_that_holds_something_else(self):
        self.path.parent.mkdir(parents=True)
        for content in (b"sha256:1\n", b"\xff"):
            self.path.write_bytes(content)
            self.assertIn(str(self.path), self.assertRaises(CIMError, self.keys.read).message)
            self.keys.remember([ONE])
            self.assertEqual(self.keys.read(), (ONE,))

    def test_where_nothing_can_be_written(self):
        self.path.parent.parent.mkdir()
        self.path.parent.write_text("no folder")
        for call in (self.keys.read, lambda: self.keys.remember([ONE])):
            self.assertIn(str(self.path), self.assertRaises(CIMError, call).message)


class TrustTests(SynchronousTestCase):
    """What the options come to."""

    def setUp(self):
        self.data = self.mktemp()
        self.file = Path(self.data).absolute() / "chat.example-443" / ".pins"

    def options(self, *arguments):
        options = Options(environ={})
        options.parseOptions(["alice", "--route", "https://chat.example", "--data", self.data, *arguments])
        return options

    def trust(self, *arguments):
        return _trust(self.options(*arguments))

    def test_nothing_said_and_nothing_known(self):
        trust, hint = self.trust()
        self.assertEqual((trust.ca, trust.pins, trust.first_use, trust.insecure), ("", (), None, False))
        self.assertIn("--pin first", hint)

    def test_what_is_remembered_counts_until_something_else_is_said(self):
        KnownKeys(self.file).remember([ONE])
        trust, hint = self.trust()
        self.assertEqual(trust.pins, (ONE,))
        self.assertIn(str(self.file), hint)
        self.assertEqual(self.trust("--guest")[0].pins, (ONE,))
        self.assertEqual(self.trust("--pin", TWO)[0].pins, (TWO,))
        self.assertEqual(self.trust("--ca", "x.pem")[0].pins, ())
        self.assertEqual(self.trust("--ca", "x.pem", "--pin", TWO)[0].pins, (TWO,))

    def test_the_first_is_believed_only_when_that_is_asked_for_and_none_is_known(self):
        trust, _ = self.trust("--pin", "first")
        trust.first_use(ONE)
        self.assertEqual(KnownKeys(self.file).read(), (ONE,))
        trust, _ = self.trust("--pin", "first")
        self.assertEqual((trust.pins, trust.first_use), ((ONE,), None))

    def test_where_nothing_is_kept(self):
        options = Options(environ={})
        options.parseOptions(["alice", "--guest", "--data", "", "--pin", "first"])
        trust, _ = _trust(options)
        trust.first_use(ONE)
        self.assertIsNone(options.known_keys)

    def test_a_pin_is_remembered_when_it_was_right(self):
        ready = []
        self.patch(Standing, "end", lambda standing, error: None)
        identity = _identity(self.options("--pin", ONE), MemoryReactorClock())
        ready.append(identity.client._standing.ready)
        self.assertEqual(KnownKeys(self.file).read(), ())
        ready[0].come()
        self.assertEqual(KnownKeys(self.file).read(), (ONE,))

    def test_a_pin_that_cannot_be_remembered_is_told_in_one_line(self):
        self.patch(Standing, "end", lambda standing, error: None)
        identity = _identity(self.options("--pin", ONE), MemoryReactorClock())

        def full(descriptor):
            raise OSError(errno.ENOSPC, "no space")

        self.patch(os, "fsync", full)
        with capturedLogs() as events:
            identity.client._standing.ready.come()
        self.assertEqual([formatEvent(one) for one in events], [f"the pins cannot be written to {self.file}: no space"])

    def test_a_pin_is_not_remembered_without_tls(self):
        options = Options(environ={})
        options.parseOptions(["alice", "--route", "http://127.0.0.1:1", "--data", self.data, "--pin", ONE])
        identity = _identity(options, MemoryReactorClock())
        identity.client._standing.ready.come()
        self.assertEqual(options.known_keys.read(), ())
