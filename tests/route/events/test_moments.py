"""What is in no log is sent at most once, and where it comes from."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from cim.daemon.metrics import Metrics
from cim.interfaces import ICredentials
from cim.route.events import moments
from cim.route.events.attempts import Outcome
from cim.route.events.event import Event
from cim.route.events.moments import MomentSender
from cim.route.events.sources import ToldCredentials
from cim.route.events.webhook import LOGGED, MOMENTARY, Webhook
from cim.web.calling import Answer
from tests.cluster.native_case import NativeCase
from tests.route.events.hooked import webhooks_of

ALL = Webhook("all", "https://hook.example/in", (bytes(32),), frozenset({*LOGGED, *MOMENTARY}))


class Attempts:
    def __init__(self):
        self.sent = []
        self.answers = []

    async def send(self, event):
        self.sent.append(event.key)
        return await self.answers.pop(0) if self.answers else Outcome()


class MomentTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.attempts = Attempts()
        self.metrics = Metrics("route")
        hook = Webhook("hook", "https://hook.example/in", (bytes(32),), frozenset({"user.online"}))
        self.sender = MomentSender(hook, self.attempts, self.clock, self.metrics)
        self.sender.startService()

    def tell(self, *keys, type="user.online"):
        for key in keys:
            self.sender.tell(Event(type, 0, {}, key))
        self.clock.advance(0)

    def counted(self):
        found = self.metrics.figures()["cim_webhook_events_total"]
        return {sample["labels"]["outcome"]: sample["value"] for sample in found}

    def test_one_after_the_other_and_once(self):
        first = Deferred()
        self.attempts.answers = [first]
        self.tell("a", "b", "c")
        self.assertEqual((self.attempts.sent, len(self.sender)), (["a"], 2))
        first.callback(Outcome("it answered with status 500"))
        self.clock.pump([0] * 5)
        self.assertEqual(self.attempts.sent, ["a", "b", "c"])
        self.assertEqual(self.counted(), {"dropped": 1, "sent": 2})

    def test_what_it_does_not_want(self):
        self.tell("a", type="user.offline")
        self.assertEqual(self.attempts.sent, [])

    def test_so_many_wait(self):
        self.patch(moments, "QUEUE", 2)
        self.attempts.answers = [Deferred()]
        self.tell("a")
        self.tell(*"bcde")
        self.assertEqual((self.attempts.sent, len(self.sender)), (["a"], 2))
        self.assertEqual(self.counted(), {"dropped": 2})

    def test_the_end(self):
        first = Deferred()
        self.attempts.answers = [first]
        self.tell("a", "b")
        stopping = self.sender.stopService()
        self.tell("c")
        self.assertNoResult(stopping)
        first.callback(Outcome())
        self.successResultOf(stopping)
        self.clock.advance(10)
        self.assertEqual(self.attempts.sent, ["a"])


class SourceTests(NativeCase):
    """What a cluster of two servers and two routes tells, each thing once."""

    def setUp(self):
        self.told = []
        self.webhooks = lambda cluster: webhooks_of(cluster, self.request, ALL)
        super().setUp()

    def request(self, method, url, *, body, **_):
        self.told.append(json.loads(body))
        return succeed(Answer(200, Headers(), b""))

    def take(self, *types):
        self.cluster.pass_seconds(3)
        taken = [(one["type"], one["data"]) for one in self.told]
        self.told.clear()
        return [one for one in taken if not types or one[0] in types]

    def test_sessions_and_presence(self):
        self.take()
        phone = self.log_in(self.alice, "phone")
        user = {"user": self.alice.id, "name": "alice"}
        [(_, began), online] = self.take("session.began", "user.online")
        self.assertEqual(online, ("user.online", user))
        self.assertEqual({**began, "server": ""}, {**user, "device": "phone", "server": ""})
        self.assertRegex(began["server"], "127.0.0.1:1121[12]")
        laptop = self.log_in(self.alice, "laptop")
        self.assertEqual([type for type, _ in self.take()], ["session.began"])
        phone.drop()
        self.assertEqual([type for type, _ in self.take()], ["session.ended"])
        laptop.drop()
        self.assertEqual([type for type, _ in self.take()], ["session.ended", "user.offline"])

    def test_a_link_that_comes_back_is_no_news(self):
        self.log_in(self.alice)
        self.take()
        for server in self.cluster.servers:
            for route in self.cluster.routes:
                self.cluster.cut(server, route)
                self.cluster.link(server, route)
                self.assertEqual(self.take(), [])

    def test_messages_and_receipts(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        self.take()
        alice.send(self.bob.id, "hello", "a-1")
        self.turn()
        position = alice.packets()[0].accepted.position
        bob.read(self.conversation, position)
        told = self.take()
        self.assertEqual(sorted(type for type, _ in told), ["message.sent", "receipt.read"])
        found = dict(told)
        self.assertEqual(found["message.sent"]["text"], "hello")
        self.assertEqual(
            found["receipt.read"], {"user": self.bob.id, "conversation": self.conversation, "position": position}
        )

    def test_accounts(self):
        credentials = ToldCredentials(self.cluster.store.credentials, self.cluster.routes[0].webhooks.tell)
        made = self.successResultOf(credentials.create("dave", "hash"))
        self.assertEqual(self.take(), [("account.created", {"user": made.id, "name": "dave"})])
        self.assertTrue(verifyObject(ICredentials, credentials))
        self.assertEqual(self.successResultOf(credentials.credential(made.id)).password, "hash")
        self.assertTrue(self.successResultOf(credentials.delete(made.id)))
        self.assertFalse(self.successResultOf(credentials.delete(made.id)))
        self.assertEqual(self.take(), [("account.deleted", {"user": made.id})])
