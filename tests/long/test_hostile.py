"""A minute in which all that attackers can do is done at once, and people who chat notice nothing but the time."""

from __future__ import annotations

import re

from tests.integration.bench_case import BenchCase
from tests.long import SKIP


class HostileTests(BenchCase):
    skip = SKIP
    timeout = 400

    async def hostile(self, *options):
        process, _, output = await self.ended("hostile", "--minutes=1", *options)
        # How long they waited depends on what else the machine does.
        self.assertIn("refused to people: 0", process.lines, output)
        self.assertIn("lost 0, doubled 0, reordered 0, out of nowhere 0", process.lines, output)
        self.assertRegex(output, r"(?m)^messages: accepted \d{4,}, refused 0, unknown 0$")
        self.assertRegex(output, r"(?m)^by HTTP: accepted \d{3,}, lost 0, doubled 0, reordered 0$")
        # The attackers were there.
        for kind in ("Pings", "Sends", "HalfRequests", "NoLogins", "WrongPasswords"):
            self.assertTrue(re.search(rf"^  {kind}: ", output, re.MULTILINE), kind)

    def test_a_cluster(self):
        return self.hostile()

    def test_the_suite(self):
        return self.hostile("--suite")

    def test_attackers_at_the_address_of_the_people(self):
        """Whoever proves itself is not held up by limits of addresses; guests share them, so there are none here."""
        return self.hostile("--from=127.0.0.1", "--guests=0")
