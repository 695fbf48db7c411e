"""Spans: what is traced, and what is said of it."""

from __future__ import annotations

from unittest.mock import patch

from opentelemetry.trace import SpanKind, StatusCode

from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.tracing import ASKED, MAX_LINKS, Tracer
from cim.errors import Forbidden, OutOfOrder
from tests.harness.tracing import KeptSpans, trace_of

GIVEN = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GIVEN_TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7")


class TracingCase(SynchronousTestCase):
    ratio = 1.0

    def setUp(self):
        self.kept = KeptSpans(self.ratio)
        self.tracer = self.kept.tracer

    def request(self, *headers):
        return self.tracer.request("POST", "/v1/messages", "https", list(headers) or None)

    def ended(self):
        (span,) = self.kept.take()
        return span


class NamesTests(TracingCase):
    def test_a_request(self):
        self.request().answered(201)
        span = self.ended()
        self.assertEqual((span.name, span.kind), ("POST /v1/messages", SpanKind.SERVER))
        self.assertEqual(
            dict(span.attributes),
            {
                "http.request.method": "POST",
                "http.route": "/v1/messages",
                "url.scheme": "https",
                "http.response.status_code": 201,
            },
        )
        self.assertIs(span.status.status_code, StatusCode.UNSET)
        self.assertIsNone(span.parent)

    def test_only_a_fault_of_ours_is_an_error(self):
        self.request().answered(404)
        self.assertIs(self.ended().status.status_code, StatusCode.UNSET)
        self.request().answered(503)
        span = self.ended()
        self.assertIs(span.status.status_code, StatusCode.ERROR)
        self.assertEqual(span.attributes["error.type"], "503")
        self.assertIsNone(span.status.description)

    def test_messages_tell_what_kind_of_conversation_it_is_and_no_more(self):
        for conversation, shown in (
            ("p:1795430398297:1795430398298", "p:{user}:{user}"),
            ("g:1795430398297", "g:{group}"),
            ("g:0", "g:0"),
        ):
            self.tracer.send(conversation).end()
            span = self.ended()
            self.assertEqual((span.name, span.kind), (f"send {shown}", SpanKind.SERVER))
            self.assertNotIn("1795430398297", str(dict(span.attributes)) + span.name)
            self.tracer.publish(conversation, GIVEN_TRACE).end()
            span = self.ended()
            self.assertEqual((span.name, span.kind), (f"publish {shown}", SpanKind.PRODUCER))
            self.assertEqual(
                dict(span.attributes),
                {
                    "messaging.system": "cim",
                    "messaging.operation.type": "send",
                    "messaging.operation.name": "publish",
                    "messaging.destination.template": shown,
                },
            )

    def test_an_error_is_named_by_its_code_and_never_by_its_text(self):
        self.tracer.publish("p:1:2", GIVEN_TRACE).end(Forbidden("alice said hello"))
        span = self.ended()
        self.assertEqual(span.attributes["error.type"], "forbidden")
        self.assertNotIn("alice", span.to_json())
        self.tracer.publish("p:1:2", GIVEN_TRACE).end(OutOfOrder())
        self.assertEqual(self.ended().attributes["error.type"], "out-of-order")

    def test_what_is_said_later_is_ignored(self):
        span = self.tracer.publish("p:1:2", GIVEN_TRACE)
        span.end()
        span.end(Forbidden())
        self.assertIs(self.ended().status.status_code, StatusCode.UNSET)

    def test_a_batch_is_below_its_first_message_and_linked_to_the_others(self):
        messages = [self.tracer.publish("p:1:2", GIVEN_TRACE) for _ in range(3)]
        self.tracer.append([message.trace for message in messages], 7).end()
        span = self.ended()
        first, *others = messages
        self.assertEqual((span.name, span.kind), ("append", SpanKind.CLIENT))
        self.assertEqual(span.parent.span_id.to_bytes(8, "big"), first.trace[16:])
        self.assertEqual([trace_of(link) for link in span.links], [other.trace for other in others])
        self.assertEqual(
            dict(span.attributes),
            {"db.system.name": "redis", "db.operation.name": "append", "db.operation.batch.size": 7},
        )

    def test_links_are_bounded(self):
        self.tracer.append([GIVEN_TRACE] * 500, 500).end()
        self.assertEqual(len(self.ended().links), MAX_LINKS)

    def test_a_call_names_the_host_alone(self):
        self.tracer.call("POST", "hooks.example.com", 443, GIVEN_TRACE).answered(200)
        span = self.ended()
        self.assertEqual((span.name, span.kind), ("POST", SpanKind.CLIENT))
        self.assertEqual(span.attributes["server.address"], "hooks.example.com")
        self.assertEqual(span.attributes["server.port"], 443)

    def test_a_name_from_a_link_that_is_none_begins_a_new_trace(self):
        for trace in (b"x", bytes(24), GIVEN_TRACE[:23], GIVEN_TRACE * 3, b"\xff" * 100_000):
            self.tracer.deliver(trace).end()
            span = self.ended()
            self.assertEqual(len(trace_of(span)), 24)


class ChoiceTests(TracingCase):
    ratio = 0.01

    def test_what_begins_here_is_traced_by_chance(self):
        self.kept.chance = 0.0099
        self.assertIsNotNone(self.request())
        self.assertIsNotNone(self.tracer.send("p:1:2"))
        self.assertIsNotNone(self.tracer.call("GET", "example.com", 80))
        self.kept.chance = 0.01
        self.assertIsNone(self.request())
        self.assertIsNone(self.tracer.send("p:1:2"))
        self.assertIsNone(self.tracer.call("GET", "example.com", 80))

    def test_what_belongs_to_a_trace_is_traced(self):
        self.request(GIVEN).answered(200)
        span = self.ended()
        self.assertEqual(span.context.trace_id.to_bytes(16, "big"), GIVEN_TRACE[:16])
        self.assertEqual(span.parent.span_id.to_bytes(8, "big"), GIVEN_TRACE[16:])
        self.assertTrue(span.parent.is_remote)
        self.assertIsNotNone(self.tracer.call("GET", "example.com", 80, GIVEN_TRACE))

    def test_what_somebody_decided_not_to_trace_is_not_traced(self):
        self.kept.chance = 0.0
        self.assertIsNone(self.request(GIVEN[:-1] + b"0"))

    def test_a_header_that_names_no_trace_is_no_header(self):
        nobody = b"00-" + b"0" * 32 + GIVEN[35:]
        for headers in ((b"",), (nobody,), (GIVEN, GIVEN), (GIVEN + b"\xff",), (b"x" * 10_000,)):
            self.kept.chance = 0.5
            self.assertIsNone(self.request(*headers), headers)
            self.kept.chance = 0.0
            span = self.request(*headers)
            span.answered(200)
            self.assertIsNone(self.ended().parent)

    def test_nobody_can_have_everything_traced(self):
        begun = [self.request(GIVEN) for _ in range(ASKED.burst + 3)]
        self.assertEqual(sum(span is not None for span in begun), ASKED.burst)
        self.assertEqual(self.kept.dropped, ["traces"] * 3)
        self.kept.now += 1
        self.assertIsNotNone(self.request(GIVEN))

    def test_nothing_is_traced_before_somebody_takes_it(self):
        tracer = Tracer(1.0, random=lambda: 0.0, seconds=lambda: 0.0, dropped=lambda what: None)
        self.assertIsNone(tracer.request("GET", "/", "http", [GIVEN]))
        self.assertIsNone(tracer.send("p:1:2"))
        self.assertIsNone(tracer.publish("p:1:2", GIVEN_TRACE))
        self.assertIsNone(tracer.deliver(GIVEN_TRACE))

    def test_opentelemetry_can_be_told_to_trace_nothing(self):
        with patch.dict("os.environ", {"OTEL_SDK_DISABLED": "true"}):
            disabled = KeptSpans()
        self.assertEqual(disabled.tracer.send("p:1:2").trace, b"")
        span = disabled.tracer.publish("p:1:2", GIVEN_TRACE)
        self.assertEqual(span.trace, GIVEN_TRACE)
        span.end(Forbidden())
        self.assertEqual(disabled.take(), [])


class AllTests(TracingCase):
    ratio = 1.0

    def test_all_and_nothing(self):
        self.kept.chance = 0.999999
        self.assertIsNotNone(self.tracer.send("p:1:2"))
        none = KeptSpans(0.0)
        none.chance = 0.0
        self.assertIsNone(none.tracer.send("p:1:2"))
