"""Sessions that a route has not heard of yet, and messages that it does not push to them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.server.links.fences import Fences
from cim.wire.link_pb2 import HEADS, Deliver
from cim.wire.native import FETCH
from tests.server.native_case import Route, ServerCase

ALICE, BOB = 7, 9


class FencesTests(SynchronousTestCase):
    def setUp(self):
        self.numbers = iter(range(1, 100))
        self.fences = Fences(lambda: next(self.numbers))
        self.heard = []

    def after(self, link, name):
        self.fences.after(link, lambda: self.heard.append(name))

    def asked(self, link):
        return [fence.call for fence in link.take("fence")]

    def test_one_question_at_a_time_covers_everything_before_it(self):
        one, other = Route("one"), Route("other")
        for name in "abc":
            self.after(one, name)
        self.after(other, "d")
        self.assertEqual((self.asked(one), self.asked(other)), ([1], [2]))
        self.fences.answered(1)
        self.assertEqual((self.heard, self.asked(one)), (["a"], [3]))
        self.fences.answered(3)
        self.assertEqual((self.heard, self.asked(one)), (["a", "b", "c"], []))
        self.after(one, "e")
        self.assertEqual(self.asked(one), [4])

    def test_answers_to_something_else(self):
        self.after(Route("one"), "a")
        self.fences.answered(77)
        self.fences.answered(1)
        self.fences.answered(1)
        self.assertEqual(self.heard, ["a"])

    def test_a_link_that_ends(self):
        link = Route("one")
        self.after(link, "a")
        self.after(link, "b")
        self.fences.link_down(link)
        self.fences.answered(1)
        self.assertEqual(self.heard, [])
        again = Route("one")
        self.after(again, "c")
        self.fences.answered(*self.asked(again))
        self.assertEqual(self.heard, ["c"])


class LateTests(ServerCase):
    """Two routes, one of which hears of sessions late."""

    def setUp(self):
        super().setUp()
        self.home, self.late = self.link(), self.link("127.0.0.1:8183:8184")
        self.turn()
        self.pass_seconds(1)

    def asked(self, purpose):
        """Take and answer the questions of a kind; return the `since` of each."""
        found = []
        for route in self.routes:
            for request in route.take("request"):
                if request.purpose == purpose:
                    found.append(request.since)
        return found

    def test_a_guest_that_fetched_before_the_route_had_heard_of_it(self):
        self.late.silent = {"fence", "heads"}
        self.home.silent = {"heads"}
        self.guest(BOB)
        self.turn()
        self.home.say(deliver=Deliver(call=5, users=[BOB], packet=FETCH))
        self.assertEqual(self.asked(HEADS), [""])
        self.pass_seconds(1)
        self.assertEqual(self.asked(HEADS), [])
        self.late.silent = {"heads"}
        self.pass_seconds(0.3)
        [since] = self.asked(HEADS)
        self.assertLess(int(since), self.clock.seconds() * 1000)

    def test_a_guest_that_fetches_afterwards_costs_nothing_more(self):
        self.guest(BOB)
        self.pass_seconds(1)
        self.assertEqual((self.asked(HEADS), len(self.server.rechecks)), ([], 0))

    def test_a_native_session_that_was_welcomed_before(self):
        self.late.silent = {"opened", "fence"}
        client = self.begin(ALICE)
        self.pass_seconds(2)
        self.assertEqual(client.packets()[0].WhichOneof("body"), "welcome")
        looked = []
        self.patch(self.server.rechecks, "recheck", lambda session, since: looked.append((session.user, since)))
        self.pass_seconds(2)
        self.assertEqual(looked, [])
        opened = self.clock.seconds() - 4
        self.late.silent = {"opened"}
        self.turn()
        [(user, since)] = looked
        self.assertEqual(user, ALICE)
        self.assertApproximates(since, opened, 0.5)

    def test_all_sessions_once_a_new_route_has_heard_of_them(self):
        self.log_in(ALICE)
        self.pass_seconds(3)
        for route in self.routes:
            route.items.clear()
        looked = []
        self.patch(self.server.rechecks, "link_up", looked.append)
        new = self.link("127.0.0.1:8283:8284")
        new.silent = {"fence"}
        self.pass_seconds(1)
        self.assertEqual(looked, [])
        self.assertEqual([item.WhichOneof("item") for item in new.items][-2:], ["snapshot_end", "fence"])
        new.silent = set()
        self.turn()
        self.assertEqual(looked, [new.peer.name])
