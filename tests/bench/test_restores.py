"""What of a run a restore of the store undid, and is not judged."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.crowd import Crowd
from bench.guest_member import GuestLog
from bench.history import Fault, Handed

PRIVATE = "p:1:2"


class RestoreTests(SynchronousTestCase):
    def setUp(self):
        self.crowd = Crowd(Clock(), random.Random(1), [])
        self.crowd._meet(PRIVATE, [1, 2])

    def say(self, number, sent, accepted=None):
        self.crowd.history.send(1, PRIVATE, number, b"")
        self.crowd.times.sent[1, PRIVATE, number] = sent
        if accepted is not None:
            self.crowd.history.accept(1, PRIVATE, number, (1, number + 1))
            self.crowd.times.accepted[1, PRIVATE, number] = accepted

    def lost(self):
        return {wrong.message[2] for wrong in self.crowd.violations() if wrong.fault is Fault.LOST}

    def test_nothing_is_undone_without_a_restore(self):
        self.say(0, 1.0, 1.1)
        self.assertEqual(self.lost(), {0})

    def test_what_was_accepted_before_the_backup_or_sent_after_the_restore_is_judged(self):
        self.say(0, 1.0, 9.9)
        self.say(1, 9.0, 10.1)
        self.say(2, 15.0, 15.1)
        self.say(3, 19.0, 25.0)
        self.say(4, 20.5, 20.6)
        self.crowd.restored(10.0, 20.0)
        self.assertEqual(self.lost(), {0, 4})

    def test_what_was_never_accepted_and_handed_to_one_is_nobodys_fault(self):
        self.say(0, 15.0)
        self.crowd.history.hand(2, PRIVATE, Handed(1, 0, (1, 1), b""))
        self.assertEqual(self.lost(), {0})
        self.crowd.restored(10.0, 20.0)
        self.assertEqual(self.crowd.violations(), [])

    def test_what_came_to_guests_too(self):
        self.say(0, 15.0, 15.1)
        self.say(1, 21.0, 21.1)
        log = GuestLog(2, self.crowd.times.sent)
        self.crowd.logs.append(log)
        log.arrivals += [((1, PRIVATE, 0), b"", 1), ((1, PRIVATE, 0), b"", 1)]
        self.assertEqual({wrong.fault for wrong in log.violations(self.crowd.history)}, {Fault.DOUBLED, Fault.LOST})
        self.crowd.restored(10.0, 20.0)
        wrong = [one for one in self.crowd.violations() if "guest" in one.detail or one.fault is Fault.DOUBLED]
        self.assertEqual([(one.fault, one.message[2]) for one in wrong], [(Fault.LOST, 1)])
