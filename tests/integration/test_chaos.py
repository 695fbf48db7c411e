"""A test of a minute in which everything fails, and no message is lost, doubled, reordered or out of nowhere.

What goes wrong is random. The seed is shown; CIM_CHAOS_SEED=<seed> makes the same things go wrong again.
"""

from __future__ import annotations

import os
import random
import re
import sys

from twisted.trial.unittest import TestCase

from tests.harness.daemons import ROOT, environment
from tests.harness.processes import DaemonProcess

SECONDS = 60


class ChaosTests(TestCase):
    timeout = 300

    async def test_a_minute(self):
        from twisted.internet import reactor

        seed = os.environ.get("CIM_CHAOS_SEED") or str(random.SystemRandom().getrandbits(32))
        sys.stdout.write(f"seed {seed} ")
        sys.stdout.flush()
        argv = [sys.executable, "-m", "bench", "chaos", f"--seconds={SECONDS}", f"--seed={seed}"]
        process = DaemonProcess(reactor, argv, environment(), str(ROOT), name="chaos")
        self.addCleanup(process.kill)
        await process.start()
        status = await process.wait_for_exit(self.timeout - 20)
        output = "\n".join(process.lines)
        self.assertEqual(status, 0, output)
        self.assertIn(f"seed {seed}", process.lines)
        self.assertIn("lost 0, doubled 0, reordered 0, out of nowhere 0, seen by somebody, later gone 0", process.lines)
        # It was no minute of peace.
        faults = re.search(r"^faults: (\d+)$", output, re.MULTILINE)
        self.assertGreaterEqual(int(faults[1]), 15, output)
        accepted = re.search(r"^messages: accepted (\d+)", output, re.MULTILINE)
        self.assertGreaterEqual(int(accepted[1]), 1000, output)
