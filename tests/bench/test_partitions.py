"""What each fault of the network cuts."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from bench.cluster import machine_names
from bench.faults import Fault
from bench.partitions import PEERS, NetworkFaults, choose_cut, kind_of_machine

MACHINES = ["clients", *machine_names(2, 2)]


class CutTests(SynchronousTestCase):
    def cut(self, action, what, chance=0.3, hard=False):
        found = choose_cut(Fault(action, what, chance, 1.0, hard), MACHINES)
        self.assertIsNotNone(found)
        return found

    def test_a_machine_from_all_others_or_from_one_that_it_needs(self):
        for action, what in NetworkFaults.kinds:
            for chance in (0.0, 0.3, 0.9):
                hard = self.cut(action, what, chance, True)
                self.assertEqual(kind_of_machine(hard.machine), what)
                self.assertEqual(sorted([hard.machine, *hard.others]), sorted(MACHINES))
                (other,) = self.cut(action, what, chance).others
                self.assertIn(kind_of_machine(other), PEERS[what])

    def test_any_machine_of_a_kind_may_have_it_and_any_that_it_needs(self):
        chooser = random.Random(1)
        cuts = [self.cut("part", "route", chooser.random()) for _ in range(100)]
        self.assertEqual({cut.machine for cut in cuts}, {"route-1", "route-2"})
        self.assertEqual(
            {other for cut in cuts for other in cut.others}, {"server-1", "server-2", "redis", "zookeeper", "clients"}
        )

    def test_both_ways_and_one_way(self):
        for action in ("part", "deafen", "silence"):
            cut = self.cut(action, "redis", 0.2)
            into, outof = (cut.others[0], "redis"), ("redis", cut.others[0])
            self.assertEqual(cut.paths(), {"part": [into, outof], "deafen": [into], "silence": [outof]}[action], action)
            self.assertEqual(cut.share, 1.0)

    def test_some_is_lost_both_ways(self):
        cut = self.cut("lose", "server")
        self.assertTrue(0.05 <= cut.share <= 0.4)
        self.assertEqual(len(cut.paths()), 2)

    def test_nothing_of_what_is_not_there(self):
        self.assertIsNone(choose_cut(Fault("part", "server", 0.5, 1.0), ["clients", "route-1", "redis"]))
