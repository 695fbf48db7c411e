"""Pushes from routes to a server's sessions: those of several packets, and what is timed of them."""

from __future__ import annotations

from cim.server.links.deliveries import TIMED
from cim.wire.cim_pb2 import Packet
from cim.wire.link_pb2 import Deliver, GroupChange
from cim.wire.native import PONG
from tests.server.native_case import ServerCase, deliver


class RunTests(ServerCase):
    """Packets that one Deliver has."""

    def setUp(self):
        super().setUp()
        self.route = self.link()
        self.alice, self.bob = self.log_in(7, "alice"), self.log_in(8, "bob")
        self.packets = [deliver(str(n), "g:5", f"1-{n + 1}", f"1-{n}").packet for n in range(3)]

    def push(self, **to):
        self.route.say(deliver=Deliver(packet=self.packets[0], more=self.packets[1:], **to))

    def test_all_are_written_in_order_and_counted(self):
        before = self.server.metrics.messages_out
        self.push(users=[7, 8])
        for client in (self.alice, self.bob):
            self.assertEqual(client.texts(), ["0", "1", "2"])
        self.assertEqual(self.server.metrics.messages_out, before + 6)

    def test_the_session_that_sent_them_gets_none(self):
        (session,) = self.server.sessions.of(7)
        self.push(users=[7, 8], except_session=session.id)
        self.assertEqual((self.alice.texts(), self.bob.texts()), ([], ["0", "1", "2"]))

    def test_they_end_the_batch_that_came_before(self):
        """Guests wait for no more of it."""
        under_way = self.server.uplink._deliveries._batches.under_way
        self.route.say(deliver=Deliver(users=[7], packet=self.packets[0], batch=2))
        self.assertEqual(len(under_way), 1)
        self.push(users=[8])
        self.assertEqual(under_way, {})

    def test_who_may_not_read_them_misses_nothing(self):
        for user, floor in ((7, ""), (8, "1-3")):
            self.route.say(group_change=GroupChange(version=user, group=5, user=user, added=True, floor=floor))
        self.push(group=5, reads="1-1")
        self.assertEqual(self.alice.texts(), ["0", "1", "2"])
        self.assertEqual([one.upto for one in self.bob.take("synced")], ["1-1", "1-2", "1-3"])

    def test_a_client_that_is_slow_is_behind_once_and_gets_none(self):
        self.bob.connection.pauseProducing()
        self.push(users=[7, 8])
        self.assertEqual((self.alice.texts(), self.bob.texts()), (["0", "1", "2"], []))
        (session,) = self.server.sessions.of(8)
        self.assertGreater(session.behind_since, 0)


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
