"""A test of half a minute in which everything fails, and no message is lost, doubled, reordered or out of nowhere.

What goes wrong is random. The seed is shown; CIM_CHAOS_SEED=<seed> makes the same things go wrong again.
"""

from __future__ import annotations

import os
import random
import re
import sys
from collections.abc import Sequence
from typing import ClassVar

from tests.integration.bench_case import BenchCase


class ChaosTests(BenchCase):
    """
    :cvar seconds: how long it takes
    :cvar faults: how many there are at least
    :cvar options: further ones
    """

    timeout = 300
    seconds = 30
    faults = 8
    options: ClassVar[Sequence[str]] = ()

    async def test_a_while(self):
        seed = os.environ.get("CIM_CHAOS_SEED") or str(random.SystemRandom().getrandbits(32))
        sys.stdout.write(f"seed {seed} ")
        sys.stdout.flush()
        options = (f"--seconds={self.seconds}", f"--seed={seed}", *self.options)
        output = await self.chaos(*options, accepted=15 * self.seconds)
        self.assertRegex(output, rf"(?m)^seed {seed}$")
        # It was no time of peace.
        faults = re.search(r"^faults: (\d+)$", output, re.MULTILINE)
        self.assertGreaterEqual(int(faults[1]), self.faults, output)
