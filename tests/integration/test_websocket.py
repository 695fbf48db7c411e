"""WebSockets over real sockets, with a client library that others wrote."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cim.server.edge.connection import Limits
from cim.server.edge.gateway import Gateway
from cim.server.edge.websocket import WebSocketPort
from cim.server.edge.wheel import TimerWheel
from cim.server.sessions.table import Sessions
from cim.web.origins import Origins
from cim.wire.cim_pb2 import Packet
from cim.wire.websocket_frames import JSON, PROTOBUF
from tests.harness.certificates import certified, put
from tests.server.edge.test_websocket import HELLO, PING, StandIn

HOST = "127.0.0.1"
JSON_HELLO = '{"hello": {"ticket": "t"}}'


class WebSocketCase(TestCase):
    """A port on the kernel's choice of number, with stand-ins for sessions."""

    timeout = 60
    description = f"tcp:0:interface={HOST}"
    limits = Limits(max_frame=65536)

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        wheel = TimerWheel(reactor)
        wheel.startService()
        self.addCleanup(wheel.stopService)
        self.sessions = []
        self.gateway = Gateway(
            sessions=Sessions(reactor),
            native=self.session,
            clock=reactor,
            wheel=wheel,
            refused=lambda kind: None,
            limits=self.limits,
            guest=self.session,
        )
        port = WebSocketPort(self.gateway, Origins(["https://chat.example.com"]))
        self.port = await serverFromString(reactor, self.description).listen(port)
        self.addCleanup(self.stop)

    async def stop(self):
        await self.port.stopListening()
        await self.gateway.drain().addTimeout(20, self.reactor)

    def session(self, connection):
        self.sessions.append(StandIn(connection))
        return self.sessions[-1]

    @property
    def url(self):
        return f"ws://{HOST}:{self.port.getHost().port}/v1/socket"

    def connect(self, subprotocol, **options):
        """Return a connected client; blocks."""
        options = {"open_timeout": 20, "close_timeout": 20, "proxy": None, **options}
        return connect(self.url, subprotocols=[subprotocol], **options)

    async def until(self, condition):
        """Wait for a condition; the test's own timeout is the deadline."""
        while not condition():
            await deferLater(self.reactor, 0.01, lambda: None)


class ClientTests(WebSocketCase):
    async def test_both_subprotocols(self):
        def talk(subprotocol, hello, ping):
            with self.connect(subprotocol) as client:
                self.assertEqual(client.subprotocol, subprotocol)
                self.assertNotIn("Sec-WebSocket-Extensions", client.response.headers)
                client.send(hello)
                client.send(iter((ping[:3], ping[3:])))  # in fragments
                answer = client.recv(timeout=20)
                self.assertTrue(client.ping(b"alive").wait(20))
            return answer, client.protocol.close_code

        answer, code = await deferToThread(talk, PROTOBUF, HELLO, PING)
        self.assertEqual((Packet.FromString(answer).WhichOneof("body"), code), ("pong", 1000))
        answer, code = await deferToThread(talk, JSON, JSON_HELLO, '{"ping": {}}')
        self.assertEqual((json.loads(answer), code), ({"pong": {}}, 1000))
        await self.until(lambda: all(session.is_lost for session in self.sessions))

    async def test_a_refusal(self):
        def refused(**options):
            with self.assertRaises(InvalidStatus) as caught:
                self.connect(PROTOBUF, **options)
            return caught.exception.response.status_code

        self.assertEqual(await deferToThread(refused, origin="https://evil.example"), 403)

        def unknown():
            with self.assertRaises(InvalidStatus) as caught:
                self.connect("chat")
            return caught.exception.response

        response = await deferToThread(unknown)
        self.assertEqual((response.status_code, JSON.encode() in response.body), (400, True))

    async def test_why_it_ended_is_read_though_the_client_was_still_writing(self):
        """A message of ten times the limit: the Goodbye and the Close are not lost to a reset."""

        def talk():
            with self.connect(JSON) as client:
                client.send(JSON_HELLO)
                try:
                    client.send("x" * 655_360)
                    goodbye = json.loads(client.recv(timeout=20))
                    client.recv(timeout=20)
                except ConnectionClosed:
                    return goodbye["goodbye"]["code"], client.protocol.close_code
            return "no end", 0

        for _ in range(5):
            self.assertEqual(await deferToThread(talk), ("protocol-error", 1009))

    async def test_draining(self):
        def talk(ready):
            with self.connect(JSON) as client:
                client.send(JSON_HELLO)
                client.send('{"ping": {}}')
                client.recv(timeout=20)
                self.reactor.callFromThread(ready.append, client)
                try:
                    client.recv(timeout=20)
                except ConnectionClosed:
                    pass
            return client.protocol.close_code

        ready = []
        ends = [deferToThread(talk, ready) for _ in range(3)]
        await self.until(lambda: len(ready) == 3)
        started = self.reactor.seconds()
        await self.gateway.drain()
        self.assertLess(self.reactor.seconds() - started, 4)
        self.assertEqual(await gatherResults(ends), [1001] * 3)

    async def test_one_who_does_not_read_holds_nobody_up(self):
        def idle():
            # Reads nothing itself: the library's own thread stops after a few messages.
            client = self.connect(PROTOBUF, max_queue=1)
            client.send(HELLO)
            return client

        slow, quick = await gatherResults([deferToThread(idle), deferToThread(idle)])
        await self.until(lambda: len(self.sessions) == 2)
        first, second = (session.connection for session in self.sessions)
        packet = Packet(text="x" * 60_000).SerializeToString()
        count = 0
        while not first.slow and not second.slow:
            first.write_packet(packet)
            count += 1
            self.assertLess(count, 1000)
            await deferLater(self.reactor, 0, lambda: None)
        self.assertTrue(first.slow)
        second.write_packet(packet)
        # Which of the two clients is the slow one, only their sockets tell.
        results = await DeferredList([deferToThread(one.recv, 20) for one in (slow, quick)])
        self.assertEqual([(ok, len(data)) for ok, data in results], [(True, len(packet))] * 2)

        def rest(client):
            got = 0
            while True:
                try:
                    client.recv(timeout=0.5)
                except TimeoutError:
                    return got
                got += 1

        self.assertEqual(
            sorted(await gatherResults([deferToThread(rest, one) for one in (slow, quick)])), [0, count - 1]
        )
        await self.until(lambda: not first.slow)
        self.assertTrue(self.sessions[0].is_relieved)
        for client in (slow, quick):
            await deferToThread(client.close)


class TLSTests(WebSocketCase):
    async def setUp(self):
        made = certified("localhost")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        put(folder / "localhost.pem", made.pem)
        self.context = ssl.create_default_context(cadata=made.certificate_pem.decode())
        self.description = f"tls:{folder}:0:interface={HOST}"
        await super().setUp()

    @property
    def url(self):
        return f"wss://{HOST}:{self.port.getHost().port}/v1/socket"

    async def test_hello_and_bad_input(self):
        def talk():
            with self.connect(JSON, ssl=self.context, server_hostname="localhost") as client:
                client.send(JSON_HELLO)
                client.send('{"ping": {}}')
                answers = [json.loads(client.recv(timeout=20))]
                client.send("no JSON")
                answers.append(json.loads(client.recv(timeout=20)))
                try:
                    client.recv(timeout=20)
                except ConnectionClosed:
                    pass
            return answers, client.protocol.close_code

        started = self.reactor.seconds()
        (pong, goodbye), code = await deferToThread(talk)
        self.assertEqual((pong, goodbye["goodbye"]["code"], code), ({"pong": {}}, "protocol-error", 1007))
        # The end needs no time-out.
        await self.until(lambda: not self.gateway.connections)
        self.assertLess(self.reactor.seconds() - started, 4)
