"""Clocks that jump: the offsets that processes read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.clocks import NOTICED, ClockFaults, faked, faketime
from bench.faults import Fault
from tests.harness.processes import DaemonProcess


class ClockTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.directory = Clock(), Path(self.mktemp())
        self.directory.mkdir()
        self.one = DaemonProcess(self.clock, ["server"], {"A": "1"}, name="server-1")
        processes = {"server": [self.one], "route": []}
        self.faults = ClockFaults(self.clock, self.directory, processes)

    def read(self):
        return (self.directory / "clock-server-1").read_text()

    def test_off_for_a_while_and_then_right_again(self):
        self.assertEqual(self.read(), "+0.0\n")
        making = Deferred.fromCoroutine(self.faults.make(Fault("jump", "server", 0.5, 5.0, True)))
        self.assertRegex(self.read(), r"^\+[1-9]\d*\.0\n$")
        self.clock.advance(4.9)
        self.assertNoResult(making)
        self.clock.advance(0.1)
        self.assertEqual(self.read(), "+0.0\n")
        self.assertRegex(self.successResultOf(making), r"^server-1 by \+\d+ s$")

    def test_back_too_and_for_long_enough_to_be_noticed(self):
        making = Deferred.fromCoroutine(self.faults.make(Fault("jump", "server", 0.5, 0.1, False)))
        self.assertRegex(self.read(), r"^-[1-9]")
        self.clock.advance(NOTICED - 0.1)
        self.assertNoResult(making)
        self.clock.advance(0.1)
        self.successResultOf(making)

    def test_the_process_is_told_where_to_look_beside_what_it_was_told(self):
        self.assertEqual(self.one.env["A"], "1")
        self.assertEqual(self.one.env["FAKETIME_TIMESTAMP_FILE"], str(self.directory / "clock-server-1"))

    def test_a_real_process(self):
        file = self.directory / "clock"
        file.write_text("-3600\n")
        script = "import time; print(time.time(), time.monotonic())"
        said = subprocess.run([sys.executable, "-c", script], env=faked(file), capture_output=True, text=True)
        wall, monotonic = map(float, said.stdout.split())
        self.assertTrue(-3660 < wall - time.time() < -3540, wall)  # noqa: TID251 -- the real one is meant
        self.assertTrue(-60 < monotonic - time.monotonic() < 60, monotonic)

    if not faketime():
        test_a_real_process.skip = "libfaketime is not installed"
