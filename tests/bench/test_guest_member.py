"""What is asked of what a guest of a chaos run is written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.guest_member import GuestLog, mark_of, marked
from bench.history import Fault, History

THERE = "p:1:2"


class MarkTests(SynchronousTestCase):
    def test_what_a_text_says_it_is(self):
        self.assertEqual(mark_of(marked(1, THERE, 7, "hello you")), (1, THERE, 7))
        for text in ("", "hello", "a p:1:2 7 x", "1 p:1:2 x x"):
            self.assertIsNone(mark_of(text))


class GuestLogTests(SynchronousTestCase):
    """Guest 2 gets what 1 says at the seconds 0, 1, 2..."""

    def setUp(self):
        self.history = History({THERE: (1,)})
        self.sent = {}
        self.log = GuestLog(2, self.sent)
        for number in range(4):
            self.history.send(1, THERE, number, b"%d" % number)
            self.history.accept(1, THERE, number, (5, number + 1))
            self.sent[1, THERE, number] = float(number)

    def arrive(self, *numbers, connection=1):
        for number in numbers:
            self.log.arrivals.append(((1, THERE, number), b"%d" % number, connection))

    def faults(self):
        return [(violation.fault, violation.message[2]) for violation in self.log.violations(self.history)]

    def test_all_is_well(self):
        self.arrive(0, 1, 2, 3)
        self.assertEqual(self.faults(), [])

    def test_lost(self):
        self.arrive(0, 1, 3)
        self.assertEqual(self.faults(), [(Fault.LOST, 2)])

    def test_lost_with_a_connection_that_broke_afterwards(self):
        self.arrive(0)
        self.log.broken.append(2.5)
        self.assertEqual(self.faults(), [(Fault.LOST, 3)])
        self.assertEqual(self.log.counts(self.history)["guests: went under"], 3)

    def test_of_unknown_outcome(self):
        self.history.send(1, THERE, 4, b"4")
        self.arrive(0, 1, 2, 3)
        self.assertEqual(self.faults(), [])
        self.arrive(4)
        self.assertEqual(self.faults(), [])

    def test_doubled(self):
        self.arrive(0, 1, 1, 2, 3)
        self.assertEqual(self.faults(), [(Fault.DOUBLED, 1)])

    def test_again_over_a_new_connection(self):
        self.arrive(0, 1, 2)
        self.arrive(1, 2, 3, connection=2)
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.log.counts(self.history)["guests: came again over a new connection"], 2)

    def test_reordered(self):
        self.arrive(0, 2, 1, 3)
        self.assertEqual(self.faults(), [(Fault.REORDERED, 1)])

    def test_out_of_nowhere(self):
        self.arrive(0, 1, 2, 3, 9)
        self.log.arrivals.append(((1, THERE, 3), b"other words", 2))
        self.log.arrivals.append(((1, "p:1:3", 0), b"0", 2))
        self.log.arrivals.append(((2, THERE, 0), b"0", 2))
        self.assertEqual([fault for fault, _ in self.faults()], [Fault.NOWHERE] * 4)

    def test_what_is_not_for_it(self):
        self.history.send(1, "p:1:3", 0, b"x")
        self.history.store(1, "p:1:3", 0)
        self.history.send(2, THERE, 0, b"x")
        self.history.store(2, THERE, 0)
        self.arrive(0, 1, 2, 3)
        self.assertEqual(self.faults(), [])
