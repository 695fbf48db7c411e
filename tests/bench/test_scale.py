"""Tests of the table of `python -m bench scale`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.scale import Used


class UsedTests(SynchronousTestCase):
    def test_what_is_left_without_the_idle_cost(self):
        used = Used(1.0, 2.5, 4.0).less(Used(0.1, 0.0, 0.5), 2.0)
        self.assertEqual((round(used.redis, 9), used.routes, used.servers), (0.8, 2.5, 3.0))

    def test_a_row(self):
        row = Used(0.1, 0.02, 0.0012).row("2x4", "a send", "us", 1e6 / 100)
        self.assertEqual(row, "| 2x4 | a send, us | 1,000 | 200 | 12.0 | 1,212 |")
