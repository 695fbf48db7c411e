"""Clocks that jump: the offsets that processes read."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.clocks import NOTICED, ClockFaults
from bench.faults import Fault
from tests.harness.processes import DaemonProcess, Machine


class ClockTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.directory = Clock(), Path(self.mktemp())
        self.directory.mkdir()
        self.one = DaemonProcess(self.clock, ["server"], name="server-1", machine=Machine(enter=("nsenter", "--")))
        self.faults = ClockFaults(self.clock, self.directory, {"server": [self.one], "route": [], "redis": []})

    def read(self):
        return float((self.directory / "clock-server-1").read_text())

    def test_off_for_a_while_and_then_right_again(self):
        self.assertEqual(self.read(), 0)
        making = Deferred.fromCoroutine(self.faults.make(Fault("jump", "server", 0.5, 5.0, True)))
        self.assertGreaterEqual(self.read(), 3)
        self.clock.advance(4.9)
        self.assertNoResult(making)
        self.clock.advance(0.1)
        self.assertEqual(self.read(), 0)
        self.assertRegex(self.successResultOf(making), r"^server-1 by \+\d+ s$")

    def test_back_too_and_for_long_enough_to_be_noticed(self):
        making = Deferred.fromCoroutine(self.faults.make(Fault("jump", "server", 0.5, 0.1, False)))
        self.assertLessEqual(self.read(), -3)
        self.clock.advance(NOTICED - 0.1)
        self.assertNoResult(making)
        self.clock.advance(0.1)
        self.successResultOf(making)

    def test_the_process_runs_on_its_machine_with_its_clock(self):
        self.assertEqual(self.one.machine.enter[:3], ("nsenter", "--", "env"))
        self.assertIn(f"FAKETIME_TIMESTAMP_FILE={self.directory}/clock-server-1", self.one.machine.enter)
