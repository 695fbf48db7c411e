"""Two minutes in which machines, their network, clocks and disks fail, and a minute each of restores and upgrades."""

from __future__ import annotations

import re

from bench.hosts import unavailable
from tests.integration.bench_case import BenchCase
from tests.long import SKIP

#: The last commit before links, stores and daemons were told apart by the epochs and schemas that they have now.
OLDER = "9ddba7d8"


class HostsTests(BenchCase):
    skip = SKIP or unavailable() or None
    timeout = 600

    def hosts(self, seconds, *options):
        return self.chaos("--hosts", f"--seconds={seconds}", "--patience=120", *options, accepted=10 * seconds)

    async def test_one_redis(self):
        output = await self.hosts(120)
        kinds = re.findall(r"^  (\w+ \w+) +\d+ +[\d.]+ +[\d.]+ ", output, re.MULTILINE)
        self.assertGreaterEqual(len(kinds), 20, output)

    async def test_three_redis_servers(self):
        failing = ("fail over redis", "kill redis", "freeze redis", "part redis", "deafen redis", "kill sentinel")
        output = await self.hosts(120, "--redundant", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "fail over redis"), 1, output)

    async def test_backups_are_put_back(self):
        failing = ("restore redis", "kill server", "part route", "drop client")
        output = await self.hosts(60, "--restores", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "restore redis"), 1, output)

    async def test_another_version_is_replaced(self):
        failing = ("upgrade server", "upgrade route", "drop client")
        output = await self.hosts(60, f"--older={OLDER}", "--pause=4", *(f"--fault={fault}" for fault in failing))
        self.assertGreaterEqual(self.made(output, "upgrade server"), 2, output)
        self.assertGreaterEqual(self.made(output, "upgrade route"), 2, output)
