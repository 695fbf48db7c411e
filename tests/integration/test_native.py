"""Native clients on real processes: over TCP and both kinds of WebSocket, on SQLite and on Redis with ZooKeeper."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Request, TextMessage

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, serverFromString, wrapClientTLS
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from cim.route.http.tokens import KEPT_SECONDS
from cim.server.edge.gateway import Gateway
from cim.server.edge.wheel import TimerWheel
from cim.server.sessions.table import Sessions
from cim.wire import conversations, positions
from cim.wire.cim_pb2 import Hello, Packet, Ping, Received, Send, Sync
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.json_frames import from_json, to_json
from cim.wire.native import goodbye_packet
from tests.harness.certificates import certified, put
from tests.harness.daemons import UNLIMITED, loopback
from tests.harness.processes import HOST, free_port
from tests.integration.cluster_case import ClusterCase
from tests.integration.test_faults import Cable
from tests.server.edge.test_websocket import StandIn

PROTOBUF, JSON = "cim.v1.protobuf", "cim.v1.json"
FORMS = ("", PROTOBUF, JSON)


class Peer(Protocol):
    """A native client's connection.

    :param subprotocol: of a WebSocket; empty for TCP
    :ivar packets: all that came
    """

    def __init__(self, subprotocol):
        self._reader = FrameReader(1 << 20)
        self._websocket = WSConnection(ConnectionType.CLIENT) if subprotocol else None
        self._subprotocol = subprotocol
        self.packets = []
        self.open = Deferred()
        self.is_lost = False

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        if self._websocket is None:
            self.open.callback(None)
        else:
            request = Request(host="localhost", target="/v1/socket", subprotocols=[self._subprotocol])
            self.transport.write(self._websocket.send(request))

    def dataReceived(self, data):
        if self._websocket is None:
            self.packets += map(Packet.FromString, self._reader.feed(data))
            return
        self._websocket.receive_data(data)
        for event in self._websocket.events():
            if isinstance(event, AcceptConnection):
                self.open.callback(None)
            elif isinstance(event, Message):
                text = isinstance(event, TextMessage)
                self.packets.append(from_json(event.data) if text else Packet.FromString(bytes(event.data)))
            elif isinstance(event, CloseConnection):
                self.transport.write(self._websocket.send(event.response()))

    def connectionLost(self, reason=connectionDone):
        self.is_lost = True

    def say(self, *packets):
        self.transport.write(b"".join(map(self._encode, packets)))

    def _encode(self, packet):
        if self._websocket is None:
            return encode_frame(packet.SerializeToString())
        if self._subprotocol == JSON:
            return self._websocket.send(TextMessage(data=to_json(packet)))
        return self._websocket.send(BytesMessage(data=packet.SerializeToString()))


class Native:
    """Someone with a password and one device.

    :ivar peer: the present connection
    """

    def __init__(self, case, name, form):
        self.case = case
        self.name = name
        self.form = form
        self.id = 0
        self.peer = None

    async def register(self, url):
        made = await self.case.v1(url, "/v1/accounts", name=self.name, password=f"password of {self.name}")
        self.id = made["id"]

    async def log_in(self, url, device="phone"):
        """Log in and return the Welcome."""
        said = await self.case.v1(
            url, "/v1/sessions", name=self.name, password=f"password of {self.name}", device=device
        )
        self.token = said["token"]
        server = said["server"]
        host, port = server["host"], server["tcp_port"]
        if self.form:
            parts = urlsplit(server["websocket"])
            host, port = parts.hostname, parts.port
        self.server = f"{server['host']}:{server['tcp_port']}"
        peer = self.peer = Peer(self.form)
        await connectProtocol(HostnameEndpoint(self.case.reactor, host, port), peer)
        self.case.addCleanup(peer.transport.abortConnection)
        await peer.open
        peer.say(Packet(hello=Hello(ticket=said["ticket"], agent="test")))
        return (await self.first("welcome")).welcome

    async def first(self, kind):
        """Wait for the first packet of a kind."""
        found = await self.case.until(
            lambda: [packet for packet in self.peer.packets if packet.HasField(kind)], bool, f"{self.name}: {kind}"
        )
        return found[0]

    def send(self, texts, **to):
        self.peer.say(*(Packet(send=Send(client_id=text, text=text, **to)) for text in texts))

    def accepted(self):
        return {packet.accepted.client_id for packet in self.peer.packets if packet.HasField("accepted")}

    def heard(self, conversation):
        """The texts of a conversation by position, each once."""
        found = {
            positions.parse(packet.deliver.position): packet.deliver.text
            for packet in self.peer.packets
            if packet.HasField("deliver") and packet.deliver.conversation == conversation
        }
        return [text for _, text in sorted(found.items())]

    async def page(self, conversation, after=""):
        """Read one page."""
        self.peer.packets.clear()
        self.peer.say(Packet(sync=Sync(conversation=conversation, after=after, limit=500)))
        synced = (await self.first("synced")).synced
        return self.heard(conversation), synced


class NativeCase(ClusterCase):
    def setUp(self):
        super().setUp()
        self.pool = HTTPConnectionPool(self.reactor, persistent=False)
        self.web = HTTPClient(Agent(self.reactor, pool=self.pool, connectTimeout=10))

    async def v1(self, url, path, *, token="", method="POST", **fields):
        """Make a call and return its answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = await self.web.request(method, url + path, json=fields, headers=headers, timeout=30)
        body = await response.content()
        self.assertIn(response.code, (200, 201, 202, 204), (path, body))
        return json.loads(body) if body else None

    async def status(self, url, path, token):
        """Make a GET call and return its status."""
        response = await self.web.get(url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        await response.content()
        return response.code

    def suite_of(self, *options):
        tcp, http, websocket = free_port(), free_port(), free_port()
        return self.daemon(
            "suite",
            http,
            *("--data", self.folder("data"), "--listen", loopback(tcp), "--http", loopback(http)),
            *("--websocket", loopback(websocket), "--login-policy", "many", *options),
        )

    async def people(self, *urls):
        """Return three who are logged in, each in another way."""
        people = [Native(self, name, form) for name, form in zip(("alice", "bob", "陈小明"), FORMS, strict=True)]
        for at, person in enumerate(people):
            await person.register(urls[at % len(urls)])
            welcome = await person.log_in(urls[at % len(urls)])
            self.assertEqual((welcome.user_id, list(welcome.heads)), (person.id, []))
        return people

    async def everyone_talks(self, people, mark, count=20):
        """Each says something to each other; all of it arrives once and in order, and in pages too."""
        for person in people:
            for other in people:
                if person is not other:
                    person.send([f"{mark} {person.name} {n} 你好" for n in range(count)], user=other.id)
        said = {person: {f"{mark} {person.name} {n} 你好" for n in range(count)} for person in people}
        for person in people:
            await self.until(lambda p=person: said[p] - p.accepted(), lambda left: not left, f"{person.name}: accepted")
        for person in people:
            for other in people:
                if person is not other:
                    name = conversations.private(person.id, other.id)
                    due = [f"{mark} {other.name} {n} 你好" for n in range(count)]
                    heard = await self.until(
                        lambda p=person, c=name, o=other: [
                            text for text in p.heard(c) if text.startswith(f"{mark} {o.name} ")
                        ],
                        lambda heard, due=due: len(heard) >= len(due),
                        f"{person.name} hears {other.name}",
                    )
                    self.assertEqual(heard, due)


class SuiteTests(NativeCase):
    async def test_a_thread_that_goes_on_after_kill_9(self):
        suite = self.suite_of()
        await self.started(suite)
        people = alice, bob, carol = await self.people(suite.url)
        await self.everyone_talks(people, "one")
        name = conversations.private(alice.id, bob.id)
        texts, synced = await bob.page(name)
        self.assertEqual(len(texts), 40)
        bob.peer.say(Packet(received=Received(conversation=name, position=synced.upto)))
        alice.send(["the last"], user=bob.id)
        await self.until(alice.accepted, lambda accepted: "the last" in accepted, "accepted")
        # What was acknowledged is on disk.
        await suite.kill()
        await self.until(lambda: [person.peer.is_lost for person in people], all, "all are cut off")
        await suite.start()
        welcome = await bob.log_in(suite.url)
        (head,) = (head for head in welcome.heads if head.conversation == name)
        texts, _ = await bob.page(name, after=head.received)
        self.assertEqual(texts[-1], "the last")
        for person in (alice, carol):
            await person.log_in(suite.url)
        await self.everyone_talks(people, "two")

    async def test_a_group_and_a_guest_and_a_stop(self):
        suite = self.suite_of()
        await self.started(suite)
        people = alice, bob, carol = await self.people(suite.url)
        group = (await self.v1(suite.url, "/v1/groups", token=alice.token, name="friends"))["id"]
        for person in (bob, carol):
            for token in (alice.token, person.token):  # she invites, they accept
                await self.v1(suite.url, f"/v1/groups/{group}/members/{person.id}", token=token, method="PUT")
        alice.send(["to the group"], group=group)
        for person in (bob, carol):
            await self.until(lambda p=person: p.heard(f"g:{group}"), bool, f"{person.name} hears the group")
        (guest,) = await self.users(suite.url, "guest")
        alice.send(["to a guest"], user=guest.id)
        await self.until(lambda: guest.texts, lambda texts: texts == ["to a guest"], "the guest hears it")
        self.assertEqual(await guest.send(suite.url, bob, "from a guest"), "9000")
        await self.until(lambda: bob.heard(conversations.private(guest.id, bob.id)), bool, "bob hears the guest")
        await suite.stop()
        for person in people:
            goodbye = (await person.first("goodbye")).goodbye
            self.assertEqual(goodbye.code, "draining")
            self.assertEqual(goodbye.retry_after_seconds, 0)  # so few may come back at once


class ClusterTests(NativeCase):
    def server(self, *options, **more):
        return super().server("--websocket", loopback(free_port()), *options, **more)

    def route(self, *options, **more):
        return super().route("--login-policy", "many", *options, **more)

    async def test_a_thread_through_the_death_of_a_route_and_of_a_server(self):
        servers, routes = await self.cluster(2, 2)
        people = alice, bob, _ = await self.people(*(route.url for route in routes))
        self.assertEqual(len({person.server for person in people}), 2)
        await self.everyone_talks(people, "one")
        # A route dies while all talk: servers send what is unanswered through the other.
        talking = Deferred.fromCoroutine(self.everyone_talks(people, "two", count=50))
        routes[0].signal("KILL")
        await talking
        # A server dies: its users come back at the other, and find everything.
        dead = next(server for server in servers if server.node.startswith(alice.server + ":"))
        name = conversations.private(alice.id, bob.id)
        await dead.kill()
        await self.until(lambda: alice.peer.is_lost, bool, "alice is cut off")
        lost = [person for person in people if person.server == alice.server]
        await self.until(
            lambda: self.fact(routes[1], "servers"),
            lambda found: dead.node not in found,
            "the server is not picked",
            60,
        )
        await gatherResults([Deferred.fromCoroutine(person.log_in(routes[1].url)) for person in lost])
        await self.everyone_talks(people, "three")
        texts, synced = await alice.page(name)
        self.assertEqual(len(texts), 2 * (20 + 50 + 20))
        self.assertFalse(synced.more)
        for person in (alice, bob):
            for mark, count in (("one", 20), ("two", 50), ("three", 20)):
                said = [text for text in texts if text.startswith(f"{mark} {person.name} ")]
                self.assertEqual(said, [f"{mark} {person.name} {n} 你好" for n in range(count)])

    async def test_a_route_loses_redis(self):
        """The other does its work within 2 s, and nobody is told of a failure; it gets its share again later."""
        await self.stores()
        cable = Cable(self.reactor, self.redis.port)
        self.addCleanup(cable.cut)
        server, well = self.server(), self.route()
        away = self.route("--store", f"redis:{HOST}:{cable.entry}")
        await self.started(server, well, away)
        await self.linked([server], [well, away])
        people = alice, *_ = await self.people(well.url)
        # Their conversations are many enough to be shared by both routes.
        others = [(await self.users(well.url, f"other {number}"))[0].id for number in range(16)]

        async def talk(mark):
            for other in others:
                alice.send([f"{mark} {other}"], user=other)
            said = {f"{mark} {other}" for other in others}
            await self.until(lambda: said - alice.accepted(), lambda left: not left, f"{mark} is accepted")
            await self.everyone_talks(people, mark)

        await talk("one")
        await cable.cut()
        await self.until(
            lambda: self.fact(server, "routes_without_store"), lambda found: found == [away.node], "it is told", 2
        )
        zookeeper = await self.look_into_zookeeper()
        node = f"/cim-route/{away.node}"

        async def told():
            return b'"away": true' in (await deferToThread(zookeeper.get, node))[0]

        await self.until(told, bool, "its node tells it", 2)
        await talk("two")
        cable.mend()
        await self.until(lambda: self.fact(server, "routes_without_store"), lambda found: found is None, "it is back")
        await self.until(told, lambda seen: not seen, "its node tells it")
        before = await self.metric(away, 'cim_store_seconds_count{operation="append"}')
        await talk("three")
        self.assertGreater(await self.metric(away, 'cim_store_seconds_count{operation="append"}'), before)
        failures = [packet.failure for person in people for packet in person.peer.packets if packet.HasField("failure")]
        self.assertEqual(failures, [])

    async def test_a_group_is_kept_in_order_through_both_routes(self):
        _, routes = await self.cluster(2, 2)
        one, other = (route.url for route in routes)
        alice, bob, carol = await self.people(one, other)
        group = (await self.v1(one, "/v1/groups", token=alice.token, name="friends", open=True))["id"]
        name, of_bob = f"/v1/groups/{group}", f"/v1/groups/{group}/members/{bob.id}"
        for person in (bob, carol):
            await self.v1(other, f"{name}/members/{person.id}", token=person.token, method="PUT")
        alice.send(["hello"], group=group)
        await self.until(lambda: bob.heard(f"g:{group}"), bool, "bob hears it")
        await self.v1(other, f"{of_bob}/mute", token=alice.token, method="PUT", seconds=60)
        bob.send(["muted"], group=group)
        failure = (await bob.first("failure")).failure
        self.assertEqual(failure.code, "muted")
        self.assertIn(" UTC by the admins of this group", failure.message)
        await self.v1(one, f"{of_bob}/mute", token=alice.token, method="DELETE")
        bob.send(["not any more"], group=group)
        await self.until(
            lambda: carol.heard(f"g:{group}"), lambda heard: heard == ["hello", "not any more"], "it goes on"
        )
        await self.v1(one, f"{name}/bans/{bob.id}", token=alice.token, method="PUT")
        removed = (await bob.first("removed")).removed
        self.assertEqual((removed.group, removed.what, removed.by), (group, "banned", alice.id))
        response = await self.web.request(
            "PUT", f"{other}{of_bob}", json={}, headers={"Authorization": f"Bearer {bob.token}"}, timeout=30
        )
        self.assertEqual((response.code, (await response.json())["code"]), (403, "forbidden"))
        said = await self.v1(other, f"{name}/members", token=alice.token, add=[bob.id], remove=[carol.id])
        self.assertEqual([one["outcome"] for one in said["results"]], ["refused", "removed"])
        self.assertEqual(await self.v1(other, name, token=alice.token, method="DELETE"), {"members": 0})
        self.assertEqual((await alice.first("removed")).removed.what, "dissolved")
        self.assertEqual(await self.status(one, name, alice.token), 404)

    async def test_a_new_password_ends_all_other_sessions_at_both_servers_and_routes(self):
        _, routes = await self.cluster(2, 2)
        alice, bob = Native(self, "alice", ""), Native(self, "bob", JSON)
        await alice.register(routes[0].url)
        await bob.register(routes[1].url)
        await bob.log_in(routes[0].url)
        # The same user on six devices by all ways of connecting, through both routes, at both servers.
        devices = {}
        for at, form in enumerate(FORMS * 2):
            device = devices[f"device-{at}"] = Native(self, "alice", form)
            await device.log_in(routes[at % 2].url, f"device-{at}")
        self.assertEqual(len({device.server for device in devices.values()}), 2)
        password = "password of alice"
        ask = {"name": "alice", "password": password, "device": "late"}
        login = await self.v1(routes[1].url, "/v1/sessions", **ask)
        kept = devices.pop("device-3")
        new = {"password": password, "new_password": "another password"}
        said = await self.v1(routes[0].url, "/v1/password", method="PUT", token=kept.token, **new)
        for name, device in devices.items():
            goodbye = await device.first("goodbye")
            self.assertEqual(goodbye.goodbye.code, "logged-out", name)
            await self.until(lambda one=device: one.peer.is_lost, bool, f"{name} is closed")
        # What it had been given before opens nothing.
        late = Peer("")
        await connectProtocol(
            HostnameEndpoint(self.reactor, login["server"]["host"], login["server"]["tcp_port"]), late
        )
        await late.open
        late.say(Packet(hello=Hello(ticket=login["ticket"])))
        await self.until(lambda: late.is_lost, bool, "the late one is closed")
        self.assertEqual([packet.goodbye.code for packet in late.packets], ["unauthorized"])
        await deferLater(self.reactor, KEPT_SECONDS)
        for route in routes:
            for token in (login["token"], kept.token, *(device.token for device in devices.values())):
                self.assertEqual(await self.status(route.url, "/v1/groups", token), 401)
            self.assertEqual(await self.status(route.url, "/v1/groups", said["token"]), 200)
        sessions = await self.v1(routes[1].url, "/v1/sessions", method="GET", token=said["token"])
        self.assertEqual([session["device"] for session in sessions["sessions"]], ["device-3"])
        # Who changed it goes on, and others are not touched.
        kept.send(["still here"], user=bob.id)
        name = conversations.private(bob.id, alice.id)
        await self.until(lambda: bob.heard(name), lambda heard: heard == ["still here"], "bob hears it")

    async def test_routes_that_come_and_go_make_no_send_fail(self):
        servers, routes = await self.cluster(2, 2, *UNLIMITED)
        people = alice, bob, _ = await self.people(*(route.url for route in routes))
        going = True

        async def talk(person, other):
            """Have 16 Sends unanswered all the time."""
            said = []
            while going:
                more = range(len(said), len(person.accepted()) + 16)
                texts = [f"{person.name} {number}" for number in more]
                person.send(texts, user=other.id)
                said += texts
                await deferLater(self.reactor, 0.01)
            return said

        def go_on():
            """Wait until each has said a hundred things more."""
            wanted = {person: len(person.accepted()) + 100 for person in (alice, bob)}
            return self.until(
                lambda: all(len(person.accepted()) >= count for person, count in wanted.items()), bool, "they go on"
            )

        talking = [Deferred.fromCoroutine(talk(*two)) for two in ((alice, bob), (bob, alice))]
        await go_on()
        newcomer = self.route(*UNLIMITED)
        await self.started(newcomer)
        await self.linked(servers, [*routes, newcomer])
        await go_on()
        for route in routes:
            await route.stop()
            await go_on()
        going = False
        name = conversations.private(alice.id, bob.id)
        for person, other, said in zip((alice, bob), (bob, alice), await gatherResults(talking), strict=True):
            await self.until(lambda p=person, s=said: set(s) - p.accepted(), lambda left: not left, "all are accepted")
            heard = await self.until(
                lambda o=other, p=person: [text for text in o.heard(name) if text.startswith(f"{p.name} ")],
                lambda heard, said=said: len(heard) == len(said),
                "all are heard",
            )
            self.assertEqual(heard, said)
        failures = [packet for person in people for packet in person.peer.packets if packet.HasField("failure")]
        self.assertEqual(failures, [])


class TLSTests(TestCase):
    """A port with TLS in this process."""

    timeout = 60

    async def test_a_connection_ends_without_running_into_a_time_out(self):
        from twisted.internet import reactor

        made = certified("localhost")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        put(folder / "localhost.pem", made.pem)
        gateway = Gateway(
            sessions=Sessions(reactor),
            native=StandIn,
            clock=reactor,
            wheel=TimerWheel(reactor),
            refused=lambda kind: None,
            guest=StandIn,
        )
        port = await serverFromString(reactor, f"tls:{folder}:0:interface={HOST}").listen(gateway)
        self.addCleanup(port.stopListening)
        trust = trustRootFromCertificates([Certificate.loadPEM(made.certificate_pem)])
        endpoint = HostnameEndpoint(reactor, HOST, port.getHost().port)
        for held in (False, True):
            peer = Peer("")
            await connectProtocol(wrapClientTLS(optionsForClientTLS("localhost", trust), endpoint), peer)
            peer.say(Packet(hello=Hello(ticket="t")), Packet(ping=Ping()))
            while not peer.packets:
                await deferLater(reactor, 0.01)
            (connection,) = gateway.connections
            connection.hold(held)
            connection.end(goodbye_packet("replaced"))
            # Nothing ticks here that could cut it.
            while gateway.connections or not peer.is_lost:
                await deferLater(reactor, 0.01)
            self.assertEqual(peer.packets[-1].goodbye.code, "replaced")
