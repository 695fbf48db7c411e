"""Traces of messages through servers and routes, and what they do not tell."""

from __future__ import annotations

from twisted.internet.defer import succeed
from twisted.web.http_headers import Headers

from cim.link.handshake import HIGHEST_VERSION
from cim.policies import About
from cim.route.policy.guarded import Bounds
from cim.route.policy.hook import Hook, HookSettings
from cim.web.calling import Answer
from cim.wire.cim_pb2 import RECALL
from tests.cluster.native_case import NativeCase
from tests.harness.tracing import KeptSpans, trace_of
from tests.route.http.api_case import APICase

SEND, PUBLISH = "send p:{user}:{user}", "publish p:{user}:{user}"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class NativeTests(NativeCase):
    version = HIGHEST_VERSION

    def setUp(self):
        self.kept = KeptSpans()
        self.tracer = self.kept.tracer
        super().setUp()
        self.at_alice, self.at_bob = self.log_in(self.alice), self.log_in(self.bob)
        self.kept.take()

    def say(self, *texts):
        for text in texts:
            self.at_alice.send(self.bob.id, text, f"a-{text}")
        self.turn()
        return self.kept.take()

    def test_from_the_session_to_the_sessions(self):
        spans = self.say("hello")
        self.assertEqual(self.kept.tree(spans), {SEND: {PUBLISH: {"append": {}, "deliver": {}}}})
        self.assertEqual(len({span.context.trace_id for span in spans}), 1)
        self.assertEqual([span.attributes["cim.sessions"] for span in spans if span.name == "deliver"], [1])

    def test_a_push_that_finds_nobody_is_no_delivery(self):
        """A route that is not told where a user is asks every server, and half of these are not told."""
        for number in range(8):
            self.at_alice.send(self.cluster.account(f"offline {number}").id, "hello", f"a-{number}")
        self.turn()
        names = [span.name for span in self.kept.take()]
        self.assertEqual((names.count(PUBLISH), names.count("deliver")), (8, 0))

    def test_nothing_tells_who_said_what(self):
        said = "".join(span.to_json() for span in self.say("hello"))
        for secret in ("hello", "alice", "bob", str(self.alice.id), str(self.bob.id)):
            self.assertNotIn(secret, said)

    def test_clients_see_nothing_of_it(self):
        spans = self.say("hello")
        (packet,) = self.at_bob.packets()
        self.assertEqual(packet.deliver.text, "hello")
        for span in spans:
            self.assertNotIn(trace_of(span)[:16], packet.SerializeToString())

    def test_a_refusal_is_an_error_of_its_spans(self):
        self.at_alice.send(self.bob.id, "", "a-1", kind=RECALL, ref="1-1")
        self.turn()
        refused = {span.name: span.attributes.get("error.type") for span in self.kept.take()}
        self.assertEqual(refused, {SEND: "not-found", PUBLISH: "not-found", "append": None})

    def test_messages_of_one_turn_share_a_span_of_the_store(self):
        spans = self.say("one", "two", "three")
        published = [span for span in spans if span.name == PUBLISH]
        self.assertEqual(len({span.context.trace_id for span in published}), 3)
        (append,) = (span for span in spans if span.name == "append")
        self.assertEqual(append.attributes["db.operation.batch.size"], 3)
        found = [append.parent.span_id, *(link.context.span_id for link in append.links)]
        self.assertEqual(found, [span.context.span_id for span in published])

    def test_what_is_not_traced_carries_nothing(self):
        traces = []
        for server in self.cluster.servers:
            deliver = server.uplink._received["deliver"]

            def heard(link, said, deliver=deliver):
                traces.append(said.trace)
                deliver(link, said)

            server.uplink._received["deliver"] = heard
        (published,) = (span for span in self.say("hello") if span.name == PUBLISH)
        self.assertEqual(traces, [trace_of(published)])
        self.kept.chance = 1.0
        self.assertEqual(self.say("world"), [])
        self.assertEqual(traces[1:], [b""])

    def test_a_send_that_no_route_answers(self):
        for server in self.cluster.servers:
            self.cluster.kill(server)
        (span,) = self.say("hello")
        self.assertEqual((span.name, span.attributes["error.type"]), (SEND, "unavailable"))

    def test_a_route_that_dies_leaves_the_trace_whole(self):
        self.at_alice.send(self.bob.id, "hello", "a-1")
        self.cluster.kill_route(self.cluster.routes[0])
        self.cluster.kill_route(self.cluster.routes[1])
        self.turn()
        spans = self.kept.take()
        self.assertEqual([span.name for span in spans].count(SEND), 1)
        self.assertEqual(len({span.context.trace_id for span in spans}), 1)


class Version1Tests(NativeTests):
    """Links that speak version 1, as between releases: of a trace their ends keep what they know."""

    def setUp(self):
        super().setUp()
        self.cluster.link_version = lambda: 1
        for server in self.cluster.servers:
            for route in self.cluster.routes:
                self.cluster.cut(server, route)
                self.cluster.link(server, route)
        self.turn()
        self.at_alice.packets(), self.at_bob.packets()


class HookTests(NativeCase):
    """A hook is asked within the trace of the message that it is asked about."""

    def setUp(self):
        self.kept, self.asked = KeptSpans(), []
        self.tracer = self.kept.tracer
        settings = HookSettings("mine", "https://hook.example/", frozenset(About), Bounds(0.5), bytes(32))
        self.message_policy = Hook(settings, self.ask, lambda: "q-1", lambda: 1_700_000_000.0)
        super().setUp()

    def ask(self, method, url, *, trace, **sent):
        self.asked.append(trace)
        return succeed(Answer(200, Headers(), b'{"allow": true}'))

    def test_asked(self):
        at_alice = self.log_in(self.alice)
        at_alice.send(self.bob.id, "hello", "a-1")
        self.turn()
        (published,) = (span for span in self.kept.take() if span.name == PUBLISH)
        self.assertEqual(self.asked, [trace_of(published)])
        self.kept.chance = 1.0
        at_alice.send(self.bob.id, "hello", "a-2")
        self.turn()
        self.assertEqual(self.asked[1:], [b""])


class HTTPTests(APICase):
    servers = 2

    def setUp(self):
        self.kept = KeptSpans(0.0)
        self.tracer = self.kept.tracer
        super().setUp()
        self.alice = self.user("alice")
        self.bob = self.account("bob").id
        self.at_bob = self.online("bob")

    def say(self, *headers, client_id="c-1", status=201, **fields):
        said = {"to_user": self.bob, "client_id": client_id, "text": "hello", **fields}
        self.ok("POST", "/v1/messages", said, headers=headers, status=status, **self.by(self.alice))
        return self.kept.take()

    def test_the_trace_of_who_asks_goes_on(self):
        spans = self.say(f"traceparent: 00-{TRACE}-{SPAN}-01")
        self.assertEqual({format(span.context.trace_id, "032x") for span in spans}, {TRACE})
        request = next(span for span in spans if span.name == "POST /v1/messages")
        self.assertEqual(format(request.parent.span_id, "016x"), SPAN)
        self.assertEqual(request.attributes["http.response.status_code"], 201)
        below = [span for span in spans if span is not request]
        published = next(span for span in below if span.name == PUBLISH)
        self.assertEqual(published.parent.span_id, request.context.span_id)
        self.assertEqual(
            {span.name: span.parent.span_id for span in below if span is not published},
            {"append": published.context.span_id, "deliver": published.context.span_id},
        )

    def test_what_who_asks_does_not_trace_is_not_traced(self):
        self.assertEqual(self.say(f"traceparent: 00-{TRACE}-{SPAN}-00"), [])

    def test_headers_that_name_no_trace_are_ignored(self):
        for number, header in enumerate(
            (
                "traceparent:",
                f"traceparent: 00-{'0' * 32}-{SPAN}-01",
                f"traceparent: ff-{TRACE}-{SPAN}-01",
                f"traceparent: 00-{TRACE}-{SPAN}-01-more",
                f"traceparent: 00-{TRACE.upper()}-{SPAN}-01",
                f"traceparent: 00-{TRACE}-{SPAN}-01\r\ntraceparent: 00-{TRACE}-{SPAN}-01",
                "traceparent: " + "a" * 8000,
                "traceparent: 00-ÿ-01",
            )
        ):
            self.assertEqual(self.say(header, client_id=f"c-{number}"), [], header)

    def test_a_repetition_is_traced_too(self):
        self.say()
        spans = self.say(f"traceparent: 00-{TRACE}-{SPAN}-01", status=200)
        self.assertIn("deliver", [span.name for span in spans])

    def test_paths_are_named_as_they_are_declared(self):
        path, header = f"/v1/users/{self.bob}", f"traceparent: 00-{TRACE}-{SPAN}-01"
        self.ok("GET", path, headers=[header], **self.by(self.alice))
        self.call("GET", path, headers=[header], token="no.such.token")
        good, bad = self.kept.take()
        self.assertEqual([good.name, bad.name], ["GET /v1/users/{id}"] * 2)
        self.assertEqual(bad.attributes["http.response.status_code"], 401)
        for secret in (str(self.bob), "bob", "alice", "no.such.token", self.tokens[self.alice.id]):
            self.assertNotIn(secret, good.to_json() + bad.to_json())
