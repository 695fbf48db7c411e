"""What ILink promises, for links over TCP and links in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.interfaces import ILink
from cim.link.pipe import MAX_ITEM, QUEUE
from cim.model import LinkPeer
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
