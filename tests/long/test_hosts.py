"""Two minutes in which machines, their network, clocks and disks fail, and a minute each of restores and upgrades."""

from __future__ import annotations

import re
import sys

from twisted.trial.unittest import TestCase

from bench.hosts import unavailable
from tests.harness.daemons import ROOT, environment
from tests.harness.processes import DaemonProcess
from tests.long import SKIP

#: The last commit before links, stores and daemons were told apart by the epochs and schemas that they have now.
OLDER = "9ddba7d8"


class HostsTests(TestCase):
    skip = SKIP or unavailable() or None
    timeout = 600

    async def chaos(self, seconds, *options):
        from twisted.internet import reactor

        argv = [sys.executable, "-m", "bench", "chaos", "--hosts", f"--seconds={seconds}", "--patience=120", *options]
        process = DaemonProcess(reactor, argv, environment(), str(ROOT), name="chaos")
        self.addCleanup(process.kill)
        await process.start()
        status = await process.wait_for_exit(self.timeout - 20)
        output = "\n".join(process.lines)
        self.assertEqual(status, 0, output)
        self.assertIn(
            "lost 0, doubled 0, reordered 0, out of nowhere 0, seen by somebody, later gone 0", process.lines, output
        )
        accepted = re.search(r"^messages: accepted (\d+)", output, re.MULTILINE)
        self.assertGreaterEqual(int(accepted[1]), 10 * seconds, output)
        return output

    def made(self, output, fault):
        """Return how many faults of a kind there were."""
        found = re.search(rf"^  {fault} +(\d+) ", output, re.MULTILINE)
        return int(found[1]) if found else 0

    async def test_one_redis(self):
        output = await self.chaos(120)
        kinds = re.findall(r"^  (\w+ \w+) +\d+ +[\d.]+ +[\d.]+ ", output, re.MULTILINE)
        self.assertGreaterEqual(len(kinds), 20, output)

    async def test_three_redis_servers(self):
        failing = ("fail over redis", "kill redis", "freeze redis", "part redis", "deafen redis", "kill sentinel")
        output = await self.chaos(120, "--redundant", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "fail over redis"), 1, output)

    async def test_backups_are_put_back(self):
        failing = ("restore redis", "kill server", "part route", "drop client")
        output = await self.chaos(60, "--restores", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "restore redis"), 1, output)

    async def test_another_version_is_replaced(self):
        failing = ("upgrade server", "upgrade route", "drop client")
        output = await self.chaos(60, f"--older={OLDER}", "--pause=4", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "upgrade server"), 2, output)
        self.assertGreaterEqual(self.made(output, "upgrade route"), 2, output)
