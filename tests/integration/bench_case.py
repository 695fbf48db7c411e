"""A case whose tests run `python -m bench`, as a user starts it."""

from __future__ import annotations

import re
import sys

from twisted.trial.unittest import TestCase

from tests.harness.daemons import ROOT, environment
from tests.harness.processes import DaemonProcess

#: What a run that judged everything says in the end.
NOTHING_WRONG = "lost 0, doubled 0, reordered 0, out of nowhere 0, seen by somebody, later gone 0"
#: How long before a test times out its process must have ended, in seconds.
SPARE = 20


class BenchCase(TestCase):
    def bench(self, *arguments, ready_when=None):
        """Return a process, which is killed when the test ends."""
        from twisted.internet import reactor

        argv = [sys.executable, "-m", "bench", *arguments]
        process = DaemonProcess(reactor, argv, environment(), str(ROOT), ready_when, name="bench")
        self.addCleanup(process.kill)
        return process

    async def ended(self, *arguments):
        """Return a process that has ended, its status, and its output in one text."""
        process = self.bench(*arguments)
        await process.start()
        status = await process.wait_for_exit(self.timeout - SPARE)
        return process, status, "\n".join(process.lines)

    async def chaos(self, *options, accepted):
        """Return the output of a run in which nothing went wrong that may not, and so many messages were accepted."""
        process, status, output = await self.ended("chaos", *options)
        self.assertEqual(status, 0, output)
        self.assertIn(NOTHING_WRONG, process.lines, output)
        found = re.search(r"^messages: accepted (\d+)", output, re.MULTILINE)
        self.assertGreaterEqual(int(found[1]), accepted, output)
        return output

    def made(self, output, fault):
        """Return how many faults of a kind a run made."""
        found = re.search(rf"^  {fault} +(\d+) ", output, re.MULTILINE)
        return int(found[1]) if found else 0
