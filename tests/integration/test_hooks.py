"""A hook, a process of its own, that decides on what is said in a cluster on Redis, and in a suite."""

from __future__ import annotations

import base64
import contextlib
import os
import sys
from ipaddress import ip_network

import treq
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from cim.client.client import Client
from cim.client.values import Password
from cim.errors import Refused, Undecided
from cim.outgoing.client import Outgoing
from cim.outgoing.guard import Guard
from cim.policies import About, Question
from cim.route.policy.guarded import MOST, Bounds, Guarded
from cim.route.policy.hook import Hook, HookSettings
from tests.client.client_case import Listener
from tests.harness.daemons import ROOT, environment, loopback
from tests.harness.processes import free_port, private_file
from tests.harness.spawning import DaemonProcess
from tests.integration.cluster_case import ClusterCase

PASSWORD = "correct horse battery"


class HookTests(ClusterCase):
    async def hook(self):
        """Start a hook, and return it and the file of options that has daemons ask it."""
        port = free_port()
        secret = os.path.join(self.folder("hook"), "secret")
        private_file(secret, "whsec_" + base64.b64encode(os.urandom(32)).decode())
        argv = [sys.executable, str(ROOT / "examples" / "before_hook.py"), str(port), secret]
        hook = self.added(DaemonProcess(self.reactor, argv, environment(), ready_when="answering", name="hook"))
        await hook.start()
        hook.url = f"http://127.0.0.1:{port}/"
        path = os.path.join(self.folder("hook"), "options.toml")
        private_file(
            path,
            f"""
            allow-outgoing = ["127.0.0.1"]
            [[before-hook]]
            name = "example"
            url = "http://127.0.0.1:{port}/"
            kinds = ["text", "edit", "account"]
            deadline = 2.0  # of a busy machine
            on-failure = "closed"
            secret-file = "{secret}"
            """,
        )
        return hook, ("--config", path)

    async def person(self, url, name):
        """Return a client that is logged in."""
        client = Client(self.reactor, url, Password(name, PASSWORD, create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client

    async def call(self, daemon, path, body, token=""):
        """Make a call of /v1; return the status and the value of the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await treq.post(f"{daemon.url}{path}", json=body, headers=headers, persistent=False)
        return answer.code, await answer.json()

    async def token(self, daemon, name):
        """Return a token of a user, by a login of a device of its own."""
        _, said = await self.call(daemon, "/v1/sessions", {"name": name, "password": PASSWORD, "device": "api"})
        return said["token"]

    async def post(self, daemon, token, to, client_id, text):
        """Send a message by /v1."""
        return await self.call(daemon, "/v1/messages", {"to_user": to, "client_id": client_id, "text": text}, token)

    async def until_heard(self, client, texts):
        """Wait until somebody was given these texts."""
        await self.until(lambda: client.heard.texts, lambda found: found == texts, f"{texts}")

    def asked(self, hook):
        """Return how often the hook was asked about messages."""
        return sum("asked about text" in line for line in hook.out)

    async def decided(self, hook, first, second):
        """Have people talk over two routes, which may be one."""
        alice, bob = [await self.person(url, name) for url, name in ((first.url, "alice"), (second.url, "bob"))]
        fates = [alice.send(bob.me, text) for text in ("hello", "damn it", "spam", "bye")]
        sent = [await fate for fate in (fates[0], fates[1], fates[3])]
        error = await self.assertFailure(fates[2], Refused)
        self.assertEqual(error.message, "no advertising here")
        await self.until_heard(bob, ["hello", "**** it", "bye"])
        self.assertEqual(alice.heard.texts, ["hello", "**** it", "bye"])
        self.assertEqual(self.asked(hook), 4)
        # The same messages once more, over the other route: nobody is asked again.
        token = await self.token(second, "alice")
        for one, text, stored in ((sent[1], "damn it", "**** it"), (sent[0], "hello", None)):
            status, said = await self.post(second, token, bob.me.id, one.client_id, text)
            self.assertEqual((status, said["position"], said["text"]), (200, one.position, stored))
        self.assertEqual(self.asked(hook), 4)
        # A refusal stays one, on each route.
        for route in (first, second, first):
            status, said = await self.post(route, token, bob.me.id, "again", "spam")
            self.assertEqual((status, said["code"], said["detail"]), (403, "refused", "no advertising here"))
        self.assertEqual(self.asked(hook), 5)
        return alice, bob

    async def test_in_a_cluster(self):
        hook, options = await self.hook()
        _, (first, second) = await self.cluster(1, 2, *options)
        alice, bob = await self.decided(hook, first, second)
        # A dead hook costs nobody more than its deadline, and with `closed` nothing is stored; then all goes on.
        await hook.kill()
        token = await self.token(first, "alice")
        said = [await self.post(first, token, bob.me.id, f"dead-{n}", "hello") for n in range(7)]
        self.assertEqual({(status, problem["code"]) for status, problem in said}, {(503, "unavailable")})
        self.assertIn("not asked for", (await self.fact(first, "policies"))["example"])
        fate = alice.send(bob.me, "later")
        await hook.start()
        await fate
        await self.until_heard(bob, ["hello", "**** it", "bye", "later"])

    async def test_in_a_suite(self):
        hook, options = await self.hook()
        tcp, http = free_port(), free_port()
        where = ("--data", self.folder("data"), "--listen", loopback(tcp), "--http", loopback(http))
        suite = self.daemon("suite", http, *where, *options)
        await self.started(suite)
        await self.decided(hook, suite, suite)
        # Who does not sign is told nothing.
        forged = {"Webhook-Id": "1", "Webhook-Timestamp": "1795811307", "Webhook-Signature": "v1,AAAA"}
        for headers in ({}, forged):
            answer = await treq.post(hook.url, json={"text": "spam"}, headers=headers, persistent=False)
            self.assertEqual(answer.code, 401)
            await answer.content()


class Rude(Protocol):
    """Answers each request with some bytes, or goes on for ever."""

    def dataReceived(self, data):
        self.factory.asked += 1
        self.transport.write(self.factory.answer)
        if self.factory.endless:
            self.streaming = LoopingCall(lambda: self.transport.write(b"x" * 1000))
            self.streaming.start(0.005)
        elif self.factory.ends:
            self.transport.loseConnection()

    def connectionLost(self, reason=connectionDone):
        if getattr(self, "streaming", None) is not None and self.streaming.running:
            self.streaming.stop()


class HostileTests(TestCase):
    """What hooks may do to whoever asks them: over real sockets, each is a failure, in time."""

    timeout = 60

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.factory = Factory.forProtocol(Rude)
        self.factory.asked = 0
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        outgoing = Outgoing(reactor, Guard([ip_network("127.0.0.1")]), per_host=MOST)
        self.addCleanup(outgoing.close)
        self.outcomes = []
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/"
        settings = HookSettings("rude", self.url, frozenset(About), Bounds(0.3), b"s" * 32)
        self.hook = Hook(settings, outgoing.request, lambda: "id", lambda: 1.0)

    async def ask(self, answer, *, endless=False, ends=False):
        """Ask a hook that answers so; return the outcome, and after how many seconds it was there."""
        self.factory.answer, self.factory.endless, self.factory.ends = answer, endless, ends
        outcomes = []
        guarded = Guarded(self.hook, "rude", Bounds(0.3), self.reactor, lambda *counted: outcomes.append(counted[1]))
        began = self.reactor.seconds()
        with contextlib.suppress(Undecided):
            await guarded.check(Question(about=About.TEXT, text="hello"))
        return outcomes, self.reactor.seconds() - began

    async def test_whatever_it_answers(self):
        good = b'{"allow": true}'
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        elsewhere = b"HTTP/1.1 307 Go\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % self.url.encode()
        for answer, how, options in (
            (head % len(good) + good, "allowed", {}),
            (b"", "late", {}),
            (head % 100 + good, "late", {}),
            (b"HTTP/1.1 200 OK\r\n\r\n" + good, "late", {}),
            (b"HTTP/1.1 200 OK\r\n\r\n", "late", {"endless": True}),
            (b"HTTP/1.1 200 OK\r\nX: ", "failed", {"endless": True}),
            (b"", "failed", {"ends": True}),
            (b"what?\r\n\r\n", "failed", {"ends": True}),
            (head % 100 + good, "failed", {"ends": True}),
            (head % (1 << 30) + b"x" * (600 << 10), "failed", {}),
            (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "failed", {}),
            (elsewhere, "failed", {}),
            (head % 4 + b"true", "failed", {}),
        ):
            asked = self.factory.asked
            outcomes, seconds = await self.ask(answer, **options)
            self.assertEqual(outcomes, [how], answer)
            self.assertEqual(self.factory.asked, asked + 1, answer)
            self.assertLess(seconds, 5.0)
