"""Tests of the turns in which users' lists are made, and of what they count."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.limits import Buckets, Limit, defaults
from cim.route.front.rates import RATE_LIMITS, Rates
from cim.route.http.lists import WAITING, Lists
from cim.route.messages.reading import PAGE_BYTES
from tests.route.http.test_messages import MessagesCase

ALICE, BOB = 1, 2


class TurnTests(SynchronousTestCase):
    def setUp(self):
        self.kinds = []
        self.rates = Rates(defaults(RATE_LIMITS), Clock(), self.kinds.append)
        self.lists = Lists(self.rates, self.kinds.append)
        self.made = []

    def make(self, user, name=None, things=0):
        """Begin to make a list, which lasts until it is fired."""
        done = Deferred()

        async def work():
            async with self.lists.turn(user) as counts:
                self.made.append(name)
                await done
                counts(things)

        return Deferred.fromCoroutine(work()), done

    def test_one_of_each_user_at_a_time(self):
        lists = [self.make(ALICE, name) for name in "abc"]
        of_bob = self.make(BOB, "x")
        self.assertEqual(self.made, ["a", "x"])
        lists[0][1].callback(None)
        self.assertEqual(self.made, ["a", "x", "b"])
        lists[1][1].errback(ZeroDivisionError())
        self.failureResultOf(lists[1][0], ZeroDivisionError)
        self.assertEqual(self.made, ["a", "x", "b", "c"])
        lists[2][1].callback(None)
        self.assertEqual(len(self.lists), 1)
        # Until here: it would count no more once it is collected.
        self.assertNoResult(of_bob[0])
        self.make(ALICE, "d")
        self.assertEqual(self.made[-1], "d")

    def test_so_many_wait(self):
        lists = [self.make(ALICE, number) for number in range(1 + WAITING)]
        error = self.failureResultOf(self.make(ALICE)[0], RateLimited).value
        self.assertEqual((error.retry_after, self.kinds), (1, ["limit-user-lists"]))
        self.assertNoResult(self.make(BOB)[0])
        for _, done in lists:
            done.callback(None)
        self.assertEqual(self.made, [0, None, *range(1, 1 + WAITING)])

    def test_they_count_by_what_is_in_them(self):
        _, done = self.make(ALICE, things=12_400)
        done.callback(None)
        for _ in range(8):
            self.rates.take("user-calls", ALICE)
        self.assertRaises(RateLimited, self.rates.take, "user-calls", ALICE)
        _, done = self.make(BOB, things=50_000)
        done.callback(None)
        error = self.assertRaises(RateLimited, self.rates.take, "user-calls", BOB)
        self.assertEqual(error.retry_after, 61)


class PageTests(MessagesCase):
    def calls_left(self, user):
        """How many calls a user may make at once."""
        return self.cluster.routes[0].rates._buckets["user-calls"]._left(user.id, self.clock.seconds())[0]

    def test_a_page_counts_by_its_messages(self):
        self.say(self.alice, self.bob, *(["x"] * 25))
        self.cluster.routes[0].rates._buckets["user-calls"] = Buckets(Limit(0.001, 100))
        self.page(self.bob, limit=500)
        self.assertAlmostEqual(self.calls_left(self.bob), 97)
        for path, rest in (("/v1/conversations", 95.92), ("/v1/groups", 94.92)):
            self.ok("GET", path, **self.by(self.bob))
            self.assertAlmostEqual(self.calls_left(self.bob), rest)

    def test_a_list_of_invitations_counts_by_them(self):
        """Each takes three look-ups."""
        for name in ("one", "two"):
            group = self.ok("POST", "/v1/groups", {"name": name}, **self.by(self.alice), status=201)["id"]
            self.ok("PUT", f"/v1/groups/{group}/members/{self.bob.id}", {}, **self.by(self.alice), status=202)
        self.cluster.routes[0].rates._buckets["user-calls"] = Buckets(Limit(0.001, 100))
        self.ok("GET", "/v1/invitations", **self.by(self.bob))
        self.assertAlmostEqual(self.calls_left(self.bob), 98.84)

    def test_pages_are_bounded_by_what_goes_out(self):
        """Control characters take six bytes each in JSON, so a page of half a MiB was one of three."""
        said = self.say(self.alice, self.bob, *(["\x01" * 40_000] * 8))
        forward, position = [], ""
        while position is not None:
            page = self.page(self.bob, after=position, limit=500)
            self.assertLess(len(json.dumps(page)), PAGE_BYTES * 1.1)
            self.assertGreater(len(page["messages"]), 0)
            forward += [message["position"] for message in page["messages"]]
            position = page["more"]
        self.assertEqual(forward, said)
        page = self.page(self.bob, before="9999999999999-1", limit=500)
        self.assertEqual([message["position"] for message in page["messages"]], said[-2:])
        self.assertEqual(page["more"], said[-2])
