"""Five minutes in which everything fails."""

from __future__ import annotations

from tests.integration import test_chaos
from tests.long import SKIP


class LongChaosTests(test_chaos.ChaosTests):
    skip = SKIP
    timeout = 900
    seconds = 300
    faults = 75
