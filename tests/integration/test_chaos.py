"""A test of a minute in which everything fails, and no message is lost, doubled, reordered or out of nowhere.

What goes wrong is random. The seed is shown; CIM_CHAOS_SEED=<seed> makes the same things go wrong again.
"""

from __future__ import annotations

import os
import random
import re
import sys

from tests.integration.bench_case import BenchCase

SECONDS = 60


class ChaosTests(BenchCase):
    timeout = 300

    async def test_a_minute(self):
        seed = os.environ.get("CIM_CHAOS_SEED") or str(random.SystemRandom().getrandbits(32))
        sys.stdout.write(f"seed {seed} ")
        sys.stdout.flush()
        output = await self.chaos(f"--seconds={SECONDS}", f"--seed={seed}", accepted=1000)
        self.assertRegex(output, rf"(?m)^seed {seed}$")
        # It was no minute of peace.
        faults = re.search(r"^faults: (\d+)$", output, re.MULTILINE)
        self.assertGreaterEqual(int(faults[1]), 15, output)
