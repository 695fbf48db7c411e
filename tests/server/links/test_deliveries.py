"""Pushes from routes to a server's sessions: what is timed of them."""

from __future__ import annotations

from cim.server.links.deliveries import TIMED
from cim.wire.cim_pb2 import Packet
from cim.wire.link_pb2 import Deliver
from cim.wire.native import PONG
from tests.server.native_case import ServerCase, deliver


class TimedTests(ServerCase):
    def setUp(self):
        super().setUp()
        self.route = self.link()
        self.alice = self.log_in(7, "alice")
        self.timed = self.server.metrics._deliveries.of()

    def push(self, count, seconds, users=(7,), **fields):
        """Push messages that were sent so many seconds ago."""
        sent_at = round((self.clock.seconds() - seconds) * 1000)
        for number in range(count):
            packet = Packet.FromString(deliver("hello", "p:7:8", f"1-{number + 1}").packet)
            packet.deliver.sent_at = sent_at
            self.route.say(deliver=Deliver(users=users, packet=packet.SerializeToString(), **fields))

    def test_how_long_messages_took_of_one_in_some(self):
        self.push(TIMED - 1, 0.3)
        self.assertEqual(sum(self.timed.counts), 0)
        self.push(1, 0.3)
        self.assertEqual((sum(self.timed.counts), round(self.timed.sum, 3)), (1, 0.3))
        self.push(2 * TIMED, 0.01)
        self.assertEqual((sum(self.timed.counts), round(self.timed.sum, 3)), (3, 0.32))

    def test_a_clock_that_is_behind_the_sender_s(self):
        self.push(TIMED, -5)
        self.assertEqual((sum(self.timed.counts), self.timed.sum), (1, 0.0))

    def test_what_is_no_new_message_for_somebody_here(self):
        self.push(TIMED, 1, users=(8,))
        self.push(TIMED, 1, repeated=True)
        for _ in range(TIMED):
            self.route.say(deliver=Deliver(users=[7], packet=PONG))
        self.assertEqual(sum(self.timed.counts), 0)
