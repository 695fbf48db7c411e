"""The examples that listen end with Ctrl-C, and show no traceback."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.harness.certificates import put
from tests.harness.daemons import ROOT, environment

EXAMPLES = ROOT / "examples"


class CtrlCTests(SynchronousTestCase):
    def setUp(self):
        self.secret = os.path.abspath(self.mktemp())
        put(self.secret, b"whsec_" + base64.b64encode(bytes(32)))

    def check(self, *command):
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's background jobs ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertIn("http://127.0.0.1:", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        self.assertEqual((said, process.returncode), ("", 0))

    def test_webhook_receiver(self):
        self.check(EXAMPLES / "webhook_receiver.py", "--secret-file", self.secret, "--port", 0)

    def test_before_hook(self):
        self.check(EXAMPLES / "before_hook.py", 0, self.secret)
