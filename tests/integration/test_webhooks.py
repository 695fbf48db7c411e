"""Webhooks of a real cluster: whatever dies and whoever is hostile, the receivers that are none get all in order."""

from __future__ import annotations

import base64
import json
import os
import sys

from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from cim.client.client import Client
from cim.client.values import Password
from cim.standard_webhooks import signed
from cim.wire import conversations
from tests.client.client_case import Listener
from tests.harness.certificates import put
from tests.harness.daemons import UNLIMITED, environment
from tests.harness.spawning import DaemonProcess
from tests.integration.cluster_case import HOST, ClusterCase

SECRET = bytes(range(32))
KEY = "operators-key-0123456789"


class Receiver(Resource):
    """Takes events; holds its answers while it is told to."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.came = []
        self.taken = {}
        self.holding = False
        self.held = []

    def render_POST(self, request):
        body = request.content.read()
        id, at, signature = (request.getHeader(f"Webhook-{name}") for name in ("Id", "Timestamp", "Signature"))
        if signature != signed(SECRET, id, int(at), body)["Webhook-Signature"]:
            request.setResponseCode(401)
            return b""
        event = json.loads(body)
        self.came.append(id)
        self.taken.setdefault(id, event["data"].get("text", event["type"]))
        if self.holding:
            self.held.append(request)
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        return b""


class Redirecting(Resource):
    isLeaf = True
    to = b""
    asked = 0

    def render_POST(self, request):
        self.asked += 1
        request.redirect(self.to)
        return b""


class Hanging(Protocol):
    """Says nothing."""


class Dripping(Protocol):
    """Says a byte of an answer now and then."""

    def connectionMade(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        self.drip()

    def drip(self):
        self.transport.write(b"x")
        self.timer = self.factory.reactor.callLater(0.1, self.drip)

    def connectionLost(self, reason):
        self.timer.cancel()


class Streaming(Protocol):
    """Sends an answer without end, as fast as it is taken."""

    def connectionMade(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.transport.registerProducer(self, False)

    def resumeProducing(self):
        self.transport.write(b"x" * 65536)

    def stopProducing(self):
        pass


class WebhooksTests(ClusterCase):
    timeout = 120

    def listen(self, factory):
        port = self.reactor.listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        return f"http://{HOST}:{port.getHost().port}/"

    def serve(self, resource):
        site = Site(resource, parsePOSTFormSubmission=False)
        site.log = lambda request: None
        return self.listen(site)

    def play(self, protocol):
        factory = Factory.forProtocol(protocol)
        factory.reactor, factory.noisy = self.reactor, False
        return self.listen(factory)

    def webhooks(self, **urls):
        """Return the options of a route that posts to these."""
        secret, keys, config = (os.path.join(self.folder("secret"), name) for name in ("hook", "keys", "route.toml"))
        put(secret, b"whsec_" + base64.b64encode(SECRET))
        put(keys, KEY.encode())
        with open(config, "w") as file:
            for name, url in urls.items():
                file.write(f'[[webhook]]\nname = "{name}"\nurl = "{url}"\nsecret-file = "{secret}"\nseconds = 1\n')
        self.keys = keys
        return (*UNLIMITED, "--config", config, "--allow-outgoing", HOST, "--api-key-file", keys, "--accounts=open")

    async def client(self, name):
        client = Client(self.reactor, self.routes[0].url, Password(name, f"password of {name}", create=True))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        await client.when_ready()
        return client

    async def admin(self, *words):
        """Run cim-admin; return what it prints."""
        command = [
            sys.executable,
            "-m",
            "cim.admin",
            *words,
            "--route",
            self.routes[0].url,
            "--api-key-file",
            self.keys,
        ]
        process = DaemonProcess(self.reactor, command, environment(), os.getcwd(), name="cim-admin", ready_when=None)
        await process.start()
        self.assertEqual(await process.wait_for_exit(30), 0, process.lines)
        return list(process.out)

    async def test_hostile_receivers_slow_nobody_down(self):
        good, redirecting = Receiver(), Redirecting()
        url = self.serve(good)
        redirecting.to = url.encode()
        options = self.webhooks(
            good=url,
            hanging=self.play(Hanging),
            dripping=self.play(Dripping),
            streaming=self.play(Streaming),
            redirecting=self.serve(redirecting),
            unresolvable="http://no-such-host.invalid/",
        )
        self.servers, self.routes = await self.cluster(1, 1, *options)
        alice, bob = await self.client("alice"), await self.client("bob")
        texts = [str(number) for number in range(200)]
        for text in texts:
            alice.send(bob.me, text)
        await self.until(lambda: len(good.taken), lambda count: count == 200, "200 events", 15)
        self.assertEqual((list(good.taken.values()), len(good.came)), (texts, 200))

        async def errors():
            rows = [json.loads(line) for line in await self.admin("webhooks", "list", "--json")]
            return {row["name"]: row["error"].partition("/")[0].rstrip("1234567890") for row in rows}

        found = await self.until(errors, lambda found: all(found[name] for name in found if name != "good"), "errors")
        self.assertEqual(
            {name: error for name, error in found.items() if name in ("good", "redirecting", "streaming")},
            {"good": "", "redirecting": "it answered with status ", "streaming": "an answer is larger than allowed"},
        )
        self.assertEqual(good.came, list(good.taken))
        # What fails is told, and nothing is unwell for it.
        status, health = await self.routes[0].health()
        self.assertEqual((status, health["facts"]["webhooks"]["good"]), (200, "ok"))
        self.assertIn("it fails", health["facts"]["webhooks"]["hanging"])
        self.assertEqual(await self.admin("webhooks", "replay", "good"), ["good goes on in 0 conversations"])

    async def test_a_route_is_killed_while_it_sends(self):
        good = Receiver()
        options = self.webhooks(good=self.serve(good))
        self.servers, self.routes = await self.cluster(1, 1, *options)
        alice, bob = await self.client("alice"), await self.client("bob")
        texts = [str(number) for number in range(60)]
        for text in texts[:30]:
            alice.send(bob.me, text)
        await self.until(lambda: len(good.taken), lambda count: count == 30, "30 events")
        good.holding = True
        for text in texts[30:]:
            await alice.send(bob.me, text)
        await self.until(lambda: len(good.held), bool, "an event whose answer is held")
        await self.routes[0].kill()
        good.holding = False
        # As if half a minute had passed, after which another route may go on.
        conversation = conversations.private(alice.me.id, bob.me.id)
        self.assertEqual(await self.redis.command("ZADD", "cim:fd:{good}", "CH", "0", conversation), b":1\r\n")
        self.routes[0] = self.route(*options)
        await self.started(self.routes[0])
        await self.until(lambda: len(good.taken), lambda count: count == 60, "60 events")
        self.assertEqual(list(good.taken.values()), texts)
        # What came again has the id that it had.
        self.assertEqual(len({*good.came}), 60)
        self.assertGreater(len(good.came), 60)
