"""Five minutes in which everything fails."""

from __future__ import annotations

from tests.integration import test_chaos
from tests.long import SKIP


class LongChaosTests(test_chaos.ChaosTests):
    skip = SKIP
    timeout = 900
    seconds = 300
    faults = 75


class WebhookTests(LongChaosTests):
    """And a webhook's receiver, which fails now and then itself, gets all of it, in order."""

    seconds = 60
    faults = 15
    options = ("--webhook",)
