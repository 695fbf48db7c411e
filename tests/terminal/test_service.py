"""Tests of standard error without blocking."""

from __future__ import annotations

import io
import os

from twisted.internet import fdesc
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.terminal.service import ErrorLines, ErrorStream


class ErrorStreamTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactor()
        self.reader, self.writer = os.pipe()
        fdesc.setNonBlocking(self.reader)
        self.stream = ErrorStream(self.reactor, self.writer)
        self.addCleanup(os.close, self.writer)
        self.open = [self.reader]
        self.addCleanup(lambda: [os.close(fd) for fd in self.open])

    def turn(self):
        """Let the reactor write once, and return what arrives at the other end."""
        for writer in list(self.reactor.getWriters()):
            reason = writer.doWrite()
            if reason is not None:
                self.reactor.removeWriter(writer)
                writer.connectionLost(Failure(reason))
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""

    def test_writes(self):
        self.stream.write(b"* one\n")
        self.stream.write(b"* two\n")
        self.assertEqual(self.turn(), b"* one\n* two\n")

    def test_output_that_nobody_reads_is_dropped_and_not_buffered(self):
        notice = b"* trying again\n"
        for _ in range(100_000):
            self.stream.write(notice)
        taken = b""
        while part := self.turn():
            taken += part
        self.assertLess(len(taken), 200_000)
        self.assertEqual(taken, notice * (len(taken) // len(notice)))
        self.stream.write(b"* later\n")
        self.assertEqual(self.turn(), b"* later\n")

    def test_close_waits_for_accepted_output_and_leaves_the_descriptor_as_it_was(self):
        self.stream.write(b"* last\n")
        closing = self.stream.close()
        self.assertNoResult(closing)
        self.assertEqual(self.turn(), b"* last\n")
        self.turn()
        self.successResultOf(closing)
        self.assertTrue(os.get_blocking(self.writer))
        self.successResultOf(self.stream.close())

    def test_it_goes_on_when_nobody_reads(self):
        self.stream.connectionLost(Failure(ConnectionLost()))
        self.stream.write(b"x")
        self.assertEqual(self.turn(), b"")
        self.successResultOf(self.stream.close())

    def test_a_reader_that_has_gone(self):
        os.close(self.open.pop())
        self.stream.write(b"x")
        self.assertIs(self.stream.doWrite(), CONNECTION_LOST)


class ErrorLinesTests(SynchronousTestCase):
    def test_lines_are_notices_while_there_is_an_editor(self):
        stream, shown = io.StringIO(), []

        class Shown:
            notice = shown.append

        lines = ErrorLines(stream)
        lines.write("before\n")
        lines.to_screen(Shown)
        lines.write("a trace")
        lines.write("back\nin two lines\n")
        lines.to_stream()
        lines.write("after\n")
        lines.flush()
        self.assertEqual(stream.getvalue(), "before\nafter\n")
        self.assertEqual(shown, ["a traceback", "in two lines"])
