"""Traces of real daemons, in a collector's double over real HTTP."""

from __future__ import annotations

import json

from twisted.internet.defer import gatherResults

from tests.harness.collector import Collector, Mood
from tests.integration.test_native import Native, NativeCase

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SEND, PUBLISH = "send p:{user}:{user}", "publish p:{user}:{user}"


class TracingCase(NativeCase):
    def setUp(self):
        super().setUp()
        self.collector = Collector(self.reactor)
        self.addCleanup(self.collector.stop)

    async def post(self, url, person, client_id, receiver, traceparent):
        said = {"to_user": receiver.id, "client_id": client_id, "text": f"text {client_id}"}
        headers = {"Authorization": f"Bearer {person.token}", "traceparent": traceparent}
        response = await self.web.request("POST", f"{url}/v1/messages", json=said, headers=headers, timeout=30)
        self.assertEqual((response.code, (await response.content())[:0]), (201, b""))

    async def two(self, url):
        """Return two who are logged in."""
        people = [Native(self, name, "") for name in ("alice", "bob")]
        for person in people:
            await person.register(url)
            await person.log_in(url)
        return people

    async def trace(self, trace, count):
        """Wait for that many spans of a trace, and return them by name."""
        seen = await self.until(
            lambda: self.collector.traces().get(trace, []),
            lambda spans: len(spans) >= count,
            f"{count} spans of {trace} in {self.collector.spans}",
        )
        self.assertEqual(len(seen), count, seen)
        return {span.name: span for span in seen}


class ClusterTests(TracingCase):
    async def test_one_trace_from_the_request_or_the_session_to_the_other_server(self):
        await self.stores()
        to = ("--trace", self.collector.url)
        servers = [self.server(*to, "--trace-ratio", "1") for _ in range(2)]
        routes = [self.route(*to, "--trace-ratio", "0", "--login-policy", "many") for _ in range(2)]
        await self.started(*servers, *routes)
        await self.linked(servers, routes)
        url = routes[0].url
        alice, bob = await self.two(url)
        self.assertNotEqual(alice.server, bob.server)

        alice.send(["text native"], user=bob.id)
        await self.until(lambda: bob.peer.packets[-1].deliver.text, lambda text: text == "text native", "it is heard")
        (sent,) = await self.until(lambda: self.collector.named(SEND), bool, "the session's span")
        native = await self.trace(sent.trace, 4)
        self.assertEqual((sent.service, sent.parent, sent.kind), ("cim-server", "", "SERVER"))
        self.assertEqual((native[PUBLISH].service, native[PUBLISH].parent), ("cim-route", sent.id))
        self.assertEqual(native["append"].parent, native[PUBLISH].id)
        self.assertEqual(native["append"].attributes["db.system.name"], "redis")
        self.assertEqual((native["deliver"].service, native["deliver"].parent), ("cim-server", native[PUBLISH].id))
        self.assertEqual(native["deliver"].attributes["cim.sessions"], 1)

        # Who asks decides; a header that names no trace is none, and these routes begin no trace by themselves.
        await self.post(url, alice, "untraced", bob, f"00-{TRACE}-{SPAN}-00")
        for number, bad in enumerate((f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}", "x" * 4000, "00-ü")):
            await self.post(url, alice, f"bad {number}", bob, bad)
        await self.post(url, alice, "traced", bob, f"00-{TRACE}-{SPAN}-01")
        # Two pushes: to bob, and to alice's own session.
        await self.until(lambda: len(self.collector.traces().get(TRACE, [])), lambda n: n >= 5, "the call's spans")
        spans = self.collector.traces()[TRACE]
        called = {span.name: span for span in spans}
        request = called["POST /v1/messages"]
        self.assertEqual((request.service, request.parent, request.kind), ("cim-route", SPAN, "SERVER"))
        self.assertEqual(request.attributes["http.response.status_code"], 201)
        self.assertEqual(called[PUBLISH].parent, request.id)
        self.assertEqual({span.parent for span in spans if span.name in ("append", "deliver")}, {called[PUBLISH].id})
        self.assertEqual(sorted(span.name for span in spans), sorted((*called, "deliver")))

        # What was said to the routes before the last call has arrived by now, too, if it was traced.
        self.assertEqual([span.name for span in self.collector.spans if span.name.startswith("POST")], [request.name])
        self.assertEqual(
            {resource["service.name"] for resource in self.collector.resources}, {"cim-server", "cim-route"}
        )
        shown = json.dumps([vars(span) for span in self.collector.spans])
        for secret in ("text", "alice", "bob", str(alice.id), str(bob.id), alice.token):
            self.assertNotIn(secret, shown)
        await gatherResults([daemon.stop() for daemon in (*servers, *routes)])


class CollectorTests(TracingCase):
    async def test_a_collector_that_fails_does_no_harm(self):
        self.collector.mood = Mood.REFUSES
        suite = self.suite_of("--trace", self.collector.url, "--trace-ratio", "1")
        await self.started(suite)
        alice, bob = await self.two(suite.url)

        async def dropped():
            said = (await self.web.get(f"{suite.url}/metrics")).content()
            return float(next((line.split()[1] for line in (await said).decode().splitlines() if "spans" in line), 0))

        await self.until(dropped, bool, "what it did not take is counted")
        self.assertIn("takes no traces", "\n".join(suite.lines))
        self.collector.mood = Mood.TAKES
        alice.send(["one"], user=bob.id)
        await self.until(lambda: self.collector.named(SEND), bool, "it is given what comes next")
        await self.until(lambda: "\n".join(suite.lines), lambda said: "takes traces again" in said, "it is said")
        for mood in (Mood.STREAMS, Mood.HANGS):
            self.collector.mood, before = mood, self.collector.requests
            alice.send([mood.name], user=bob.id)
            await self.until(
                lambda: bob.peer.packets[-1].deliver.text, lambda text, mood=mood: text == mood.name, "heard"
            )
            await self.until(lambda before=before: self.collector.requests > before, bool, "it is asked")
        began = self.reactor.seconds()
        self.assertEqual(await suite.stop(), 0)
        self.assertLess(self.reactor.seconds() - began, 5.0)
