"""What is in the logs is sent at least once and in order, whatever the webhook does and whoever dies."""

from __future__ import annotations

import json
import random
from itertools import pairwise

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.daemon.metrics import Metrics
from cim.errors import CallTimeout
from cim.model import Retention
from cim.route.events.logs import LEASE_SECONDS, POLL_SECONDS, WORK_SECONDS
from cim.route.events.webhook import Webhook, webhook_of
from cim.route.events.webhooks import Webhooks
from cim.web.calling import Answer
from cim.wire import conversations
from tests.harness.store import MemoryStore
from tests.store.conversing import ALICE, BOB, CAROL, TALK, Conversing

OTHER = conversations.private(ALICE, CAROL)
DAY = 86_400
HOOK = Webhook("hook", "https://hook.example/in", (bytes(32),), at_once=3)


class Receiver:
    """A webhook's other end."""

    def __init__(self):
        #: The events that it took, by their ids, in order; and all that came.
        self.taken = {}
        self.came = []
        self.under_way = 0
        self.most = 0
        #: Answers to the next requests; a status, an error, or a Deferred.
        self.answers = []
        self.usual = 200
        self.headers = {}

    def request(self, method, url, *, headers, body, seconds, most):
        id, event = headers["Webhook-Id"], json.loads(body)
        self.came.append((id, event))
        answer = self.answers.pop(0) if self.answers else self.usual
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Deferred):
            self.under_way += 1
            self.most = max(self.most, self.under_way)

            def answered(status):
                self.under_way -= 1
                return self.answer(id, event, status)

            return answer.addCallback(answered)
        return succeed(self.answer(id, event, answer))

    def answer(self, id, event, status):
        if 200 <= status < 300:
            self.taken.setdefault(id, event)
        return Answer(status, Headers(self.headers), b"")

    def texts(self, conversation=None):
        """What was said, in the order in which it first came."""
        return [
            event["data"].get("text", event["type"])
            for event in self.taken.values()
            if conversation in (None, event["data"]["conversation"])
        ]


class LogCase(Conversing, SynchronousTestCase):
    retention = Retention(days=30, count=500)
    webhooks = (HOOK,)

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000.5)
        self.store = MemoryStore(self.clock, self.retention)
        self.receiver = Receiver()
        self.requests = {}
        self.random = random.Random(1)
        self.metrics = Metrics("route")
        self.routes = [self.route()]
        self.clock.advance(2)

    def route(self):
        ids = iter(range(1000))
        number = len(getattr(self, "routes", ()))
        route = Webhooks(
            self.webhooks,
            requests=lambda webhook: self.requests.get(webhook.name, self.receiver.request),
            store=self.store,
            clock=self.clock,
            time_of_day=self.clock.seconds,
            new_id=lambda: f"route-{number}-{next(ids)}",
            random=self.random.random,
            metrics=self.metrics,
        )
        route.startService()
        self.addCleanup(route.stopService)
        return route

    def now(self):
        return int(self.clock.seconds() * 1000)

    def said(self, *texts, **options):
        return self.successResultOf(Deferred.fromCoroutine(self.say(*texts, **options)))

    def pass_by(self, seconds, step=1.0):
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step


class LogTests(LogCase):
    def test_all_in_order(self):
        self.said("one", "two")
        self.said("x", conversation=OTHER)
        self.said("three")
        self.pass_by(3)
        self.assertEqual(self.receiver.texts(TALK), ["one", "two", "three"])
        self.assertEqual(self.receiver.texts(OTHER), ["x"])
        self.assertEqual(len(self.receiver.came), 4)

    def test_all_that_is_said_from_its_first_start_on(self):
        self.webhooks = (evolve(HOOK, name="new"),)
        self.routes.append(self.route())
        self.said("at once")
        self.pass_by(3)
        self.assertEqual(self.receiver.texts(), ["at once"] * 2)

    def test_soon_after_a_message_of_this_route(self):
        self.said("one")
        self.routes[0].stored(None, None)
        self.clock.advance(0.11)
        self.assertEqual(self.receiver.texts(), ["one"])

    def test_more_than_a_page(self):
        texts = [str(number) for number in range(130)]
        self.said(*texts)
        self.pass_by(3)
        self.assertEqual(self.receiver.texts(), texts)
        self.assertEqual(len(self.receiver.came), 130)

    def test_a_failure_holds_its_conversation_alone(self):
        self.said("one", "two")
        self.said("x", conversation=OTHER)
        self.receiver.answers = [500]
        self.pass_by(2)
        failing, going = (TALK, OTHER) if not self.receiver.texts(TALK) else (OTHER, TALK)
        self.assertEqual(len(self.receiver.texts(going)), 2 if going == TALK else 1)
        self.assertEqual(self.receiver.texts(failing), [])
        self.pass_by(10)
        self.assertEqual(self.receiver.texts(TALK), ["one", "two"])
        self.assertEqual(self.receiver.texts(OTHER), ["x"])
        ids = [id for id, _ in self.receiver.came]
        self.assertEqual(len(ids), len({*ids}) + 1)

    def test_later_each_time(self):
        self.said("one")
        self.receiver.usual = 503
        times = []
        for _ in range(1200):
            before = len(self.receiver.came)
            self.clock.advance(1)
            times += [self.clock.seconds()] * (len(self.receiver.came) - before)
        waits = [later - sooner for sooner, later in pairwise(times)]
        self.assertEqual(waits, sorted(waits))
        self.assertTrue(2 <= waits[0] <= 7 and waits[-1] > 100, waits)

    def test_retry_after(self):
        self.said("one")
        self.receiver.answers, self.receiver.headers = [429], {"Retry-After": ["300"]}
        self.pass_by(295)
        self.assertEqual(len(self.receiver.came), 1)
        self.pass_by(10)
        self.assertEqual(self.receiver.texts(), ["one"])

    def test_after_a_day_it_stops_until_it_is_resumed(self):
        self.said("one", "two")
        self.receiver.usual = 500
        self.pass_by(DAY + 4000, step=30)
        came = len(self.receiver.came)
        self.assertTrue(25 < came < 60, came)
        self.assertEqual(
            self.routes[0].facts(),
            {"webhooks": {"hook": "it has stopped in 1 conversations: cim-admin webhooks list"}},
        )
        self.receiver.usual = 200
        self.said("three")
        self.said("x", conversation=OTHER)
        self.pass_by(DAY, step=30)
        self.assertEqual(self.receiver.texts(), ["x"])
        self.successResultOf(self.store.followers.resume("hook"))
        self.pass_by(15)
        self.assertEqual(self.receiver.texts(TALK), ["one", "two", "three"])
        self.assertEqual(self.routes[0].facts(), {"webhooks": {"hook": "ok"}})

    def test_who_wants_nothing_any_more(self):
        self.said("one")
        self.receiver.usual = 410
        self.pass_by(DAY, step=30)
        self.assertEqual(len(self.receiver.came), 1)
        self.assertIn("410", self.routes[0].facts()["webhooks"]["hook"])
        self.said("x", conversation=OTHER)
        self.pass_by(10)
        self.assertEqual(len(self.receiver.came), 1)
        self.receiver.usual = 200
        self.successResultOf(self.store.followers.resume("hook"))
        self.pass_by(15)
        self.assertEqual(sorted(self.receiver.texts()), ["one", "x"])

    def test_no_answer_is_a_failure(self):
        self.said("one")
        self.receiver.answers = [CallTimeout("it gave no answer")]
        self.pass_by(2)
        self.assertEqual(self.routes[0].facts(), {"webhooks": {"hook": "it fails: it gave no answer"}})
        self.pass_by(10)
        self.assertEqual(self.receiver.texts(), ["one"])

    def test_gaps(self):
        self.said("one")
        self.pass_by(2)
        self.receiver.usual = 500
        self.said("two", "three")
        self.pass_by(2)
        self.store.database.execute("DELETE FROM message WHERE n = 2")
        self.receiver.usual = 200
        self.pass_by(12)
        self.assertEqual(self.receiver.texts(), ["one", "gap", "three"])
        [lost] = [event["data"] for event in self.receiver.taken.values() if event["type"] == "gap"]
        first, third = [
            event["data"]["position"] for event in self.receiver.taken.values() if "position" in event["data"]
        ]
        epoch = first.partition("-")[0]
        self.assertEqual(lost, {"conversation": TALK, "after": first, "upto": f"{epoch}-2"})
        self.assertEqual(third, f"{epoch}-3")

    def test_all_that_was_said_is_gone(self):
        self.receiver.usual = 500
        self.said("one", "two")
        self.pass_by(2)
        self.store.database.execute("DELETE FROM message")
        self.receiver.usual = 200
        self.pass_by(12)
        self.assertEqual(self.receiver.texts(), ["gap"])
        self.said("three")
        self.pass_by(3)
        self.assertEqual(self.receiver.texts(), ["gap", "three"])

    def test_so_many_at_once(self):
        held = [Deferred() for _ in range(10)]
        self.receiver.answers = list(held)
        for user in range(1, 8):
            self.said("x", sender=user, conversation=conversations.private(user, BOB))
        self.pass_by(5)
        self.assertEqual((self.receiver.most, len(self.receiver.came)), (3, 3))
        for answer in held:
            answer.callback(200)
            self.pass_by(2)
        self.assertEqual((self.receiver.most, len(self.receiver.taken)), (3, 7))

    def test_how_far_a_slow_one_came_is_kept(self):
        """Now and then, so that not all of it is sent again when its route dies."""
        slow = [Deferred() for _ in range(5)]
        self.receiver.answers = list(slow)
        self.said(*"abcde")
        self.pass_by(2)
        for answer in slow[:4]:
            self.pass_by(9)
            answer.callback(200)
        for loop in (self.routes[0].logs[0]._loop, self.routes[0].logs[0]._looking):
            loop.stop()
        self.receiver.answers = []
        self.routes.append(self.route())
        self.pass_by(2 * LEASE_SECONDS)
        came = [event["data"]["text"] for _, event in self.receiver.came]
        self.assertEqual((came[:5], self.receiver.texts()), ([*"abcde"], [*"abcde"]))
        self.assertNotIn("a", came[5:])

    def test_the_store_is_away(self):
        self.said("one")
        self.store.available = False
        self.pass_by(30)
        self.assertEqual(self.receiver.came, [])
        self.store.available = True
        self.pass_by(2)
        self.assertEqual(self.receiver.texts(), ["one"])

    def test_the_store_goes_away_while_something_is_sent(self):
        answer = Deferred()
        self.receiver.answers = [answer]
        self.said("one", "two")
        self.pass_by(2)
        self.store.available = False
        answer.callback(200)
        self.pass_by(LEASE_SECONDS)
        self.store.available = True
        self.pass_by(LEASE_SECONDS + 2)
        self.assertEqual(self.receiver.texts(), ["one", "two"])

    def test_it_notes_how_far_it_came_when_it_stops(self):
        answer = Deferred()
        self.receiver.answers = [answer]
        self.said("one", "two")
        self.pass_by(2)
        stopping = self.routes[0].stopService()
        self.assertNoResult(stopping)
        answer.callback(200)
        self.successResultOf(stopping)
        self.routes.append(self.route())
        self.pass_by(2)
        self.assertEqual([event["data"]["text"] for _, event in self.receiver.came], ["one", "two"])

    def test_who_dies(self):
        """Another route goes on when its time is over, with the same ids."""
        self.receiver.answers = [Deferred()]
        self.said("one", "two")
        self.pass_by(2)
        self.assertEqual(len(self.receiver.came), 1)
        self.routes.append(self.route())
        self.pass_by(LEASE_SECONDS - 5)
        self.assertEqual(len(self.receiver.came), 1)
        self.pass_by(10)
        self.assertEqual(self.receiver.texts(), ["one", "two"])
        self.assertEqual(self.receiver.came[0], self.receiver.came[1])

    def test_metrics(self):
        self.said("one", "two")
        self.receiver.answers = [500]
        self.pass_by(15)
        found = {
            sample["labels"]["outcome"]: sample["value"]
            for sample in self.metrics.figures()["cim_webhook_events_total"]
            if sample["labels"]["webhook"] == "hook"
        }
        self.assertEqual(found, {"failed": 1, "sent": 2})


class FilterTests(LogCase):
    webhooks = (
        Webhook("hook", "https://hook.example/in", (bytes(32),), frozenset({"message.edited", "gap"})),
        Webhook("talk", "https://hook.example/in", (bytes(32),), conversations=frozenset({TALK})),
    )

    def test_only_what_is_wanted(self):
        one, _ = self.said("one", "two")
        self.said("x", conversation=OTHER)
        self.said("edit", ref=one, counts=False, refers=one, edits=True)
        self.pass_by(3)
        by = [(event["type"], event["data"]["text"]) for event in self.receiver.taken.values()]
        self.assertEqual(
            sorted(by),
            [
                ("message.edited", "edit"),
                ("message.edited", "edit"),
                ("message.sent", "edit"),
                ("message.sent", "two"),
            ],
        )

    def test_what_nobody_wants_is_not_read(self):
        read, asked = self.store.conversations.read, []
        self.patch(self.store.conversations, "read", lambda name, **more: (asked.append(name), read(name, **more))[1])
        self.said("x", conversation=OTHER)
        self.said("one")
        self.pass_by(3)
        self.assertEqual(sorted(asked), [TALK, TALK, OTHER])

    def test_failures_are_counted_behind_what_nobody_wants(self):
        """What is skipped is no success, or it would never stop."""
        [one] = self.said("one")
        self.receiver.usual = 500
        self.said("edit", ref=one, counts=False, refers=one, edits=True)
        self.pass_by(DAY + 4000, step=30)
        self.assertEqual(self.successResultOf(self.store.followers.following("hook")).count, 1)


class SlowTests(LogCase):
    """One that never answers keeps nothing from another."""

    webhooks = (HOOK, Webhook("slow", "https://slow.example/in", (bytes(32),), at_once=2))

    def route(self):
        self.hanging = []

        def hang(*_, **__):
            self.hanging.append(Deferred())
            return self.hanging[-1]

        fast = self.receiver.request
        self.requests = {"hook": fast, "slow": hang}
        return super().route()

    def test_it_slows_nobody_down(self):
        for round in range(5):
            for user in range(1, 8):
                self.said(f"{round}", sender=user, conversation=conversations.private(user, BOB))
            self.pass_by(2)
            self.assertEqual(len(self.receiver.taken), 7 * (round + 1))
        self.assertEqual(len(self.hanging), 2)


class MischiefTests(LogCase):
    """Whatever fails, what is taken is in order, and all of it in the end."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from([200, 200, 200, 500, 302, "hang", "die", "away", "back", "say"]), max_size=40))
    def test_order(self, mischief):
        self.setUp()
        said = 0

        def say():
            nonlocal said
            if self.store.available:
                self.said(str(said))
                said += 1

        for one in mischief:
            say()
            if one == "hang":
                self.receiver.answers.append(Deferred())
            elif one == "die":
                self.routes.append(self.route())
                # It says nothing any more, whatever is under way.
                for sender in self.routes.pop(0).logs:
                    sender._loop.stop()
                    sender._looking.stop()
            elif one in ("away", "back"):
                self.store.available = one == "back"
            elif one != "say":
                self.receiver.answers.append(one)
            self.pass_by(2)
        self.store.available = True
        self.receiver.answers.clear()
        say()
        self.pass_by(3 * LEASE_SECONDS + 300)
        self.assertEqual(self.receiver.texts(), [str(number) for number in range(said)])


class UsualTests(SynchronousTestCase):
    def test_an_answer_ends_before_another_route_begins(self):
        """`seconds` has a bound for this."""
        self.assertRaises(ValueError, webhook_of, {"name": "x", "url": "x", "secret-file": "x", "seconds": 21})
        self.assertLess(WORK_SECONDS + 20 + POLL_SECONDS, LEASE_SECONDS)
