"""What ILink promises, for links over TCP and links in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.interfaces import ILink
from cim.link.pipe import MAX_ITEM, QUEUE
from cim.model import LinkPeer
from cim.route.messages.delivery import Push
from cim.server.sessions.table import Session
from cim.traces import Trace
from cim.wire.link_pb2 import Deliver, Request
from tests.link.network import ROUTE, SERVER, MemoryPair, TCPPair, deliver, opened

CHUNK = 256 * 1024


class Contract:
    """The tests; subclasses provide the pair of ends."""

    def up(self):
        pair = self.pair()
        pair.settle()
        (self.server,) = pair.at_server.links
        (self.route,) = pair.at_route.links
        return pair

    def test_both_ends_are_told_who_is_there(self):
        pair = self.pair()
        self.assertEqual(pair.at_server.events, [])
        pair.settle()
        self.assertEqual(pair.at_server.events, [("up", LinkPeer(ROUTE.name, ROUTE.incarnation))])
        self.assertEqual(pair.at_route.events, [("up", SERVER)])
        for link in pair.at_server.links + pair.at_route.links:
            verifyObject(ILink, link)

    def test_items_arrive_in_order_both_ways_in_a_later_turn(self):
        pair = self.up()
        for number in range(300):
            self.assertTrue(self.server.send(opened(number)))
            self.assertTrue(self.route.send(deliver(number)))
        self.assertEqual((pair.at_route.items, pair.at_server.items), ([], []))
        pair.settle()
        self.assertEqual(pair.at_route.users, list(range(300)))
        self.assertEqual(pair.at_server.calls, list(range(300)))
        self.assertEqual((self.server.queued, self.route.queued), (0, 0))

    def test_an_item_sent_when_the_link_comes_up_arrives(self):
        pair = self.pair()
        pair.at_route.on_up = lambda link: link.send(deliver(1))
        pair.at_server.on_up = lambda link: link.send(opened(2))
        pair.settle()
        self.assertEqual((pair.at_server.calls, pair.at_route.users), ([1], [2]))

    def test_a_large_item_sent_when_the_link_comes_up_arrives(self):
        # Over TCP it directly follows the last frame of the handshake.
        pair = self.pair()
        pair.at_route.on_up = lambda link: link.send(deliver(1, 100_000))
        pair.settle()
        self.assertEqual(pair.at_server.calls, [1])

    def test_what_is_sent_for_each_message_arrives_as_its_item(self):
        """By what it says: whether it is an item of link.proto on the way is the link's own affair."""
        pair = self.up()
        session = Session(None)
        session.user, session.name, session.id, session.device = 7, "alice", "5f", "phone"
        packet, trace = b"\xa2\x06\x00", Trace(bytes(range(24)))
        self.assertTrue(self.server.send_request(3, session, "p:7:8", packet))
        self.assertTrue(self.server.send_request(4, session, "p:7:8", packet, "before", trace))
        self.assertTrue(self.server.send_run(5, session, "p:7:8", [packet, b"second", b"third"], "before"))
        self.assertTrue(self.route.send_reply(3, b"accepted"))
        self.assertTrue(self.route.send_replies(5, [b"first", b"second", b"third"]))
        said = Push(packet, self.route, "5f", repeated=True, batch=2, reads="1-2", members=True, trace=trace)
        elsewhere = Push(packet, None, "5f", more=[b"second", b"third"])
        self.assertTrue(self.route.send_push(said, [8, 7]))
        self.assertTrue(self.route.send_push(elsewhere, [8]))
        pair.settle()
        self.assertEqual([item.WhichOneof("item") for item in pair.at_route.items], ["request"] * 3)
        varying = ("call", "after", "trace", "more")
        fields = [field for field in Request.DESCRIPTOR.fields_by_name if field not in varying]
        self.assertEqual([item.request.call for item in pair.at_route.items], [3, 4, 5])
        self.assertEqual([item.request.after for item in pair.at_route.items], ["", "before", "before"])
        self.assertEqual([item.request.trace for item in pair.at_route.items], [b"", trace, b""])
        self.assertEqual([[*item.request.more] for item in pair.at_route.items], [[], [], [b"second", b"third"]])
        asked = Request(user=7, name="alice", session="5f", device="phone", conversation="p:7:8", packet=packet)
        for item in pair.at_route.items:
            self.assertEqual(
                {field: getattr(item.request, field) for field in fields},
                {field: getattr(asked, field) for field in fields},
            )
        reply, replies, first, second = pair.at_server.items
        kinds = [item.WhichOneof("item") for item in pair.at_server.items]
        self.assertEqual(kinds, ["reply", "reply", "deliver", "deliver"])
        for item, call, calls, packets in (
            (reply, 3, 0, [b"accepted"]),
            (replies, 5, 3, [b"first", b"second", b"third"]),
        ):
            answer = item.reply
            self.assertEqual((answer.call, answer.calls, answer.code, [*answer.packets]), (call, calls, "", packets))
        for item, expected in (
            (
                first,
                Deliver(
                    users=[8, 7], packet=packet, except_session="5f", repeated=True, batch=2, members=True, trace=trace
                ),
            ),
            (second, Deliver(users=[8], packet=packet, more=[b"second", b"third"])),
        ):
            for field in Deliver.DESCRIPTOR.fields_by_name:
                said, wanted = getattr(item.deliver, field), getattr(expected, field)
                self.assertEqual(
                    [*said] if field in ("users", "sessions", "more") else said,
                    [*wanted] if field in ("users", "sessions", "more") else wanted,
                    field,
                )

    def test_a_full_queue_drops_pushes_and_takes_what_answers_and_asks(self):
        pair = self.up()
        push = Push(bytes(CHUNK))
        sent = 0
        while self.route.send_push(push, [8]):
            sent += 1
            self.assertLess(sent, 100)
        self.assertGreater(sent, QUEUE / CHUNK - 2)
        self.assertLessEqual(self.route.queued, QUEUE)
        self.assertEqual(pair.dropped, 1)
        self.assertTrue(self.route.send_reply(3, bytes(CHUNK)))
        self.assertTrue(self.server.send_request(3, Session(None), "p:7:8", bytes(CHUNK)))
        pair.settle()
        kinds = [item.WhichOneof("item") for item in pair.at_server.items]
        self.assertEqual((kinds.count("deliver"), kinds.count("reply"), kinds.count("missed")), (sent, 1, 1))

    def test_answers_from_within_link_received_arrive(self):
        pair = self.up()
        pair.at_server.on_item = lambda link, item: link.send(opened(item.deliver.call))
        for number in range(10):
            self.route.send(deliver(number))
        pair.settle()
        self.assertEqual(pair.at_route.users, list(range(10)))

    def test_many_items_of_one_turn_arrive_in_order(self):
        pair = self.up()
        for number in range(25):
            self.assertTrue(self.route.send(deliver(number, CHUNK)))
        pair.settle()
        self.assertEqual(pair.at_server.calls, list(range(25)))

    def test_the_largest_item_arrives_and_a_larger_one_is_dropped(self):
        pair = self.up()
        overhead = deliver(1, MAX_ITEM).ByteSize() - MAX_ITEM
        self.assertFalse(self.route.send(deliver(1, MAX_ITEM - overhead + 1)))
        self.assertEqual(pair.dropped, 1)
        for _ in range(5):
            self.assertTrue(self.route.send(deliver(2, MAX_ITEM - overhead)))
        pair.settle()
        self.assertEqual(pair.at_server.calls, [2] * 5)

    def test_a_full_queue_drops_deliveries_takes_control_and_recovers(self):
        pair = self.up()
        sent = 0
        while self.route.send(deliver(sent, CHUNK)):
            sent += 1
            self.assertLess(sent, 100)
        self.assertGreater(sent, QUEUE / CHUNK - 2)
        self.assertLessEqual(self.route.queued, QUEUE)
        self.assertEqual(pair.dropped, 1)
        self.assertTrue(self.route.send(opened(7, CHUNK)))
        pair.settle()
        self.assertEqual(pair.at_server.calls[:-1], list(range(sent)))
        self.assertEqual(pair.at_server.users[-1], 7)
        self.assertTrue(self.route.send(deliver(1000)))
        pair.settle()
        self.assertEqual(pair.at_server.calls[-1], 1000)
        self.assertEqual(len(pair.at_server.events), 1)

    def test_too_many_control_items_end_the_link(self):
        pair = self.up()
        sent = 0
        while self.route.send(opened(sent, CHUNK)):
            sent += 1
            self.assertLess(sent, 1000)
        self.assertGreater(sent, 2 * QUEUE / CHUNK)
        self.assertEqual(len(pair.at_route.events), 1)
        pair.settle()
        self.assertEqual([event[0] for event in pair.at_route.events], ["up", "down"])
        self.assertEqual([event[0] for event in pair.at_server.events[:2]], ["up", "down"])
        self.assertIn("queue", pair.at_route.events[1][2])

    def test_lose_delivers_sent_items_and_tells_both_once_in_a_later_turn(self):
        pair = self.up()
        for number in range(20):
            self.route.send(deliver(number, CHUNK))
        self.route.lose("enough")
        self.route.lose("more than enough")
        self.assertEqual(len(pair.at_route.events), 1)
        self.assertFalse(self.route.send(deliver(99)))
        pair.settle()
        self.assertEqual(pair.at_server.calls, list(range(20)))
        self.assertEqual(pair.at_route.events[1:2], [("down", SERVER, "enough")])
        self.assertEqual(pair.at_server.events[1][0], "down")
        self.assertFalse(self.server.send(opened(1)))
        self.assertEqual(len(pair.at_route.events), 2)
        self.route.lose("again")
        pair.settle()
        self.assertEqual(len([event for event in pair.at_route.events if event[0] == "down"]), 1)

    def test_nothing_is_received_after_lose(self):
        pair = self.up()
        pair.at_route.on_item = lambda link, item: link.lose("that was one too many")
        self.server.send(opened(1))
        self.server.send(opened(2))
        pair.settle()
        self.assertEqual(pair.at_route.users, [1])
        self.assertEqual(pair.at_route.events[1], ("down", SERVER, "that was one too many"))

    def test_a_user_that_raises_gets_the_next_item(self):
        pair = self.up()

        def fail(link, item):
            if item.opened.user == 1:
                raise ZeroDivisionError

        pair.at_route.on_item = fail
        for number in range(3):
            self.server.send(opened(number))
        pair.settle()
        self.assertEqual(pair.at_route.users, [0, 1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(pair.at_route.events), 1)


class TCPLinkTests(Contract, SynchronousTestCase):
    pair = TCPPair


class MemoryLinkTests(Contract, SynchronousTestCase):
    pair = MemoryPair
