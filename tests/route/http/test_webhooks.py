"""`/v1/admin/webhooks`: how they fare, and how they go on."""

from __future__ import annotations

import json

from twisted.internet.defer import succeed
from twisted.web.http_headers import Headers

from cim.api_keys import Scope, line_of
from cim.route.events.webhook import Webhook
from cim.web.calling import Answer
from tests.route.events.hooked import webhooks_of
from tests.route.http.api_case import KEY, APICase

DAY = 86_400
READER = "readers-key-0123456789abcdef"
OPERATOR = {"token": KEY}


class WebhooksCase(APICase):
    """A cluster with two webhooks, one of which follows the logs and may fail.

    :ivar status: what they answer
    :ivar taken: the bodies that came since it was cleared
    """

    def setUp(self):
        self.status, self.taken = 200, []
        self.webhooks = self.make
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")
        self.cluster.pass_seconds(2)

    def make(self, cluster):
        def request(method, url, *, body, **_):
            self.taken.append(body)
            return succeed(Answer(self.status, Headers(), b""))

        hook = Webhook("shop", "https://shop.example/secret-path", (bytes(32),))
        moments = Webhook("moments", "https://shop.example", (bytes(32),), frozenset({"user.online"}))
        return webhooks_of(cluster, request, hook, moments)

    def say(self, *texts):
        for text in texts:
            body = {"to_user": self.bob.id, "text": text, "client_id": text}
            self.conversation = self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201)["conversation"]

    def stop(self):
        self.status = 500
        self.say("one", "two", "three")
        for _ in range(DAY // 600 + 10):
            self.clock.advance(600)
            self.cluster.turn()
        self.status = 200
        self.taken.clear()

    def texts(self):
        return [json.loads(body)["data"]["text"] for body in self.taken]


class WebhooksTests(WebhooksCase):
    keys = (KEY, line_of(READER, "reader", [Scope.READ]))

    def listed(self):
        return {one["name"]: one for one in self.ok("GET", "/v1/admin/webhooks", **OPERATOR)["webhooks"]}

    def test_how_they_fare(self):
        self.say("one")
        self.cluster.pass_seconds(3)
        shop = self.listed()["shop"]
        self.assertEqual(
            {name: shop[name] for name in ("late", "error", "stopped", "stopped_count", "conversations")},
            {"late": 0, "error": "", "stopped": False, "stopped_count": 0, "conversations": []},
        )
        self.assertEqual(self.listed()["moments"]["events"], ["user.online"])
        self.assertNotIn("secret-path", str(self.listed()))

    def test_replay(self):
        self.stop()
        shop = self.listed()["shop"]
        self.assertEqual((shop["error"], shop["stopped_count"]), ("it answered with status 500", 1))
        self.assertEqual([one["conversation"] for one in shop["conversations"]], [self.conversation])
        self.assertEqual(self.ok("POST", "/v1/admin/webhooks/shop/replay", {}, **OPERATOR), {"resumed": 1})
        self.cluster.pass_seconds(3)
        self.assertEqual(self.texts(), ["one", "two", "three"])
        self.assertEqual(self.listed()["shop"]["stopped_count"], 0)

    def test_skip(self):
        self.stop()
        body = {"conversation": self.conversation}
        self.assertEqual(self.ok("POST", "/v1/admin/webhooks/shop/skip", body, **OPERATOR), {"resumed": 1})
        self.cluster.pass_seconds(3)
        self.assertEqual(self.texts(), ["two", "three"])

    def test_skip_all(self):
        self.stop()
        body = {"conversation": self.conversation, "all": True}
        self.ok("POST", "/v1/admin/webhooks/shop/skip", body, **OPERATOR)
        self.tokens[self.alice.id] = self.log_in("alice", device="api")["token"]
        self.say("four")
        self.cluster.pass_seconds(3)
        self.assertEqual(self.texts(), ["four"])

    def test_refused(self):
        for path, body in (
            ("nobody/replay", {}),
            ("moments/replay", {}),
            ("shop/replay", {"conversation": "p:7:8"}),
            ("shop/skip", {"conversation": "p:7:8"}),
        ):
            self.problem("POST", f"/v1/admin/webhooks/{path}", body, **OPERATOR, status=404, code="not-found")
        self.problem("POST", "/v1/admin/webhooks/shop/skip", {}, **OPERATOR, status=400, code="invalid")
        self.problem(
            "POST", "/v1/admin/webhooks/shop/replay", {"conversation": "x"}, **OPERATOR, status=400, code="invalid"
        )
        reader = {"token": READER}
        for method, path, body in (
            ("GET", "", None),
            ("POST", "/shop/replay", {}),
            ("POST", "/shop/skip", {"conversation": "p:7:8"}),
        ):
            self.problem(method, f"/v1/admin/webhooks{path}", body, **reader, status=403, code="forbidden")
            self.problem(method, f"/v1/admin/webhooks{path}", body, **self.by(self.alice), status=403, code="forbidden")


class NoneTests(APICase):
    def test_a_route_without_any(self):
        self.assertEqual(self.ok("GET", "/v1/admin/webhooks", **OPERATOR), {"webhooks": []})
