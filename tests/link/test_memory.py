"""The service that keeps a link in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.link.memory import MemoryLinks
from tests.link.network import ROUTE, SERVER, Recorder, deliver, opened


class MemoryLinksTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.at_server, self.at_route = Recorder(), Recorder()
        self.links = MemoryLinks(self.clock, self.at_server, SERVER, self.at_route, ROUTE)
        self.links.startService()

    def kinds(self):
        return [event[0] for event in self.at_server.events], [event[0] for event in self.at_route.events]

    def test_links_in_the_next_turn_and_delivers_in_the_one_after_sending(self):
        self.assertEqual(self.kinds(), ([], []))
        self.clock.advance(0)
        self.assertEqual(self.kinds(), (["up"], ["up"]))
        self.at_route.links[0].send(deliver(1))
        self.clock.advance(0)
        self.assertEqual(self.at_server.calls, [1])

    def test_stop_delivers_what_was_sent(self):
        self.clock.advance(0)
        self.at_server.links[0].send(opened(1))
        stopped = self.links.stopService()
        self.assertNoResult(stopped)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.at_route.users, [1])
        self.assertEqual(self.kinds(), (["up", "down"], ["up", "down"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_lost_link_comes_back(self):
        self.clock.advance(0)
        self.at_route.links[0].lose("oops")
        self.clock.advance(0)
        self.assertEqual(self.kinds(), (["up", "down"], ["up", "down"]))
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.kinds(), (["up", "down", "up"], ["up", "down", "up"]))

    def test_a_lost_link_comes_back_whatever_an_end_makes_of_it(self):
        self.clock.advance(0)
        self.at_route.link_down = lambda link, reason: 1 / 0
        self.at_server.links[0].lose("oops")
        self.clock.advance(0)
        del self.at_route.link_down
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.kinds(), (["up", "down", "up"], ["up", "up"]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop_while_the_link_is_down_or_not_yet_up(self):
        stopped = self.links.stopService()
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.kinds()[0][-1:], self.kinds()[1][-1:])
        self.links.startService()
        self.clock.advance(0)
        self.at_route.links[0].lose("oops")
        self.clock.advance(0)
        self.successResultOf(self.links.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.at_server.links, self.at_route.links), ([], []))

    def test_a_drop_is_counted(self):
        drops = []
        links = MemoryLinks(self.clock, self.at_server, SERVER, self.at_route, ROUTE, dropped=lambda: drops.append(1))
        links.startService()
        self.clock.advance(0)
        while self.at_route.links[-1].send(deliver(1, 1_000_000)):
            pass
        self.assertEqual(drops, [1])

    def test_the_other_end_is_told_that_something_was_dropped(self):
        self.links.startService()
        self.clock.advance(0)
        while self.at_route.links[-1].send(deliver(1, 1_000_000)):
            pass
        self.clock.advance(0)
        self.at_route.links[-1].send(deliver(2))
        self.clock.advance(0)
        kinds = [item.WhichOneof("item") for item in self.at_server.items]
        self.assertEqual([kind for kind in kinds if kind != "deliver"], ["missed"])
