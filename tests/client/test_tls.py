"""Whole clients at a cluster with TLS, and at whoever stands in its place."""

from __future__ import annotations

from attrs import evolve

from twisted.internet.protocol import Factory, Protocol

from cim.client.trust import Trust
from cim.client.values import Guest, State
from cim.errors import Untrusted
from cim.route.http.upstream import UpstreamAPI
from cim.web.envelope import Envelopes
from cim.web.operations import internal_only
from cim.web.serving import CallResource
from cim.web.site import BoundedSite
from tests.client.client_case import ClientCase
from tests.client.test_trust import showing
from tests.harness.certificates import certified

NAME = "chat.example"
SERVER = 11211


def upstream_site(case):
    """Return what serves upstream's API for a ClientCase."""
    metrics = case.cluster.metrics
    api = UpstreamAPI(case.cluster.routes[0], case.cluster.store.accounts, metrics)
    site = BoundedSite(CallResource({Envelopes(internal_only(None, metrics)): (api,)}, metrics), case.clock, metrics)
    site.startFactory()
    return site


class Eavesdropper(Factory):
    """Takes connections in a server's place, and keeps what is said on them."""

    def __init__(self, answer=b""):
        self.heard = b""
        self.answer = answer

    def buildProtocol(self, addr):
        made = Protocol()
        made.dataReceived = lambda data: self.hear(made, data)
        return made

    def hear(self, protocol, data):
        self.heard += data
        if self.answer:
            protocol.transport.write(self.answer)


class TLSCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.root = certified("root", ca=True)
        self.made = certified(NAME, "127.0.0.1", signer=self.root)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(self.root.certificate_pem)
        self.trust = Trust(ca=path)
        (link,) = self.cluster.routes[0].presence.links()
        link.peer = evolve(link.peer, tls_name=NAME)
        self.urls = ["https://127.0.0.1:8083"]
        self.serve(self.made)
        self.network.listen(8083, self.site_of(self.cluster.routes[0]), showing(self.made))

    def serve(self, made):
        """Have the server show a certificate."""
        self.network.listen(SERVER, self.cluster.servers[0].gateway, showing(made))

    def make(self, name, credentials=None, **options):
        return super().make(name, credentials, **{"trust": self.trust, **options})

    def turn(self):
        for _ in range(3):
            super().turn()

    def refused(self, name="alice", *args, **options):
        """Return why a client ended that was never let in."""
        client = self.make(name, *args, **options)
        client.startService()
        error = self.error(client.when_ready(), Untrusted)
        self.assertIs(client.state, State.CLOSED)
        return error.message


class LoginTests(TLSCase):
    def test_messages(self):
        alice, bob = self.online("alice"), self.online("bob")
        self.result(alice.send(bob.me, "over TLS 你好"))
        self.assertEqual(bob.heard.others, ["over TLS 你好"])
        self.result(bob.send(alice.me, "and back"))
        self.assertEqual(alice.heard.others, ["and back"])

    def test_nothing_of_it_can_be_read_on_the_way(self):
        said = []
        for factory in self.network.factories.values():
            original = factory.buildProtocol

            def recorded(addr, original=original):
                protocol = original(addr)
                hear = protocol.dataReceived
                protocol.dataReceived = lambda data: (said.append(data), hear(data))
                return protocol

            factory.buildProtocol = recorded
        alice = self.online("alice")
        self.result(alice.send("g:0", "a secret"))
        self.assertGreater(len(said), 3)
        for word in (b"a secret", b"alice", b"sessions", b"battery"):
            self.assertNotIn(word, b"".join(said))

    def test_by_pin_alone(self):
        alice = self.online("alice", trust=Trust(pins=self.made.pin))
        self.result(alice.send("g:0", "hello"))
        self.assertEqual(alice.heard.texts, ["hello"])

    def test_a_guest_is_told_by_a_header(self):
        self.network.listen(8083, upstream_site(self), showing(self.made))
        alice = self.online("alice", Guest("alice"))
        self.assertEqual(self.cluster.servers[0].sessions.of(alice.me.id)[0].name, "alice")
        self.serve(certified("evil.example", signer=self.root))
        self.assertIn(f"not for {NAME}", self.refused("bob", Guest("bob")))


class HostileTests(TLSCase):
    def test_a_server_under_another_name(self):
        self.serve(certified("evil.example", signer=self.root))
        self.assertIn(f"127.0.0.1:{SERVER} is not for {NAME}", self.refused())

    def test_a_server_whose_certificate_has_expired(self):
        self.serve(certified(NAME, signer=self.root, days=-1))
        self.assertIn("expired on", self.refused())

    def test_a_server_that_vouches_for_itself(self):
        itself = certified(NAME)
        self.serve(itself)
        self.assertIn(itself.pin, self.refused())

    def test_a_route_under_another_name(self):
        self.network.listen(8083, self.site_of(self.cluster.routes[0]), showing(certified("a", signer=self.root)))
        self.assertIn("127.0.0.1:8083 is not for 127.0.0.1", self.refused())

    def test_a_route_with_another_key(self):
        other = certified("127.0.0.1", signer=self.root)
        self.network.listen(8083, self.site_of(self.cluster.routes[0]), showing(other))
        message = self.refused(trust=Trust(pins=self.made.pin))
        self.assertIn(self.made.pin, message)
        self.assertIn(other.pin, message)

    def test_a_server_with_another_key(self):
        self.serve(certified(NAME, signer=self.root))
        self.assertIn("does not have the key", self.refused(trust=Trust(pins=self.made.pin)))

    def test_a_server_that_changes_while_the_client_lives(self):
        """It goes on trying, says why, and says nothing to the stranger."""
        alice = self.online("alice")
        stranger = Eavesdropper()
        self.network.listen(SERVER, stranger, showing(certified(NAME)))
        self.wires_of(alice)[-1].cut()
        self.wait(20)
        self.assertIs(alice.state, State.RECONNECTING)
        self.assertIn("nobody that this client trusts", alice.heard.states[-1][1])
        self.assertEqual(stranger.heard, b"")
        self.serve(self.made)
        self.wait(30)
        self.assertIs(alice.state, State.READY)

    def test_someone_who_takes_the_tls_away(self):
        """The login says TLS, and the port speaks none: nothing is said to it in clear, however often it is tried."""
        for answer in (b"", b"\x02\x08\x02" * 3, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"):
            stranger = Eavesdropper(answer)
            self.network.listen(SERVER, stranger)
            alice = self.make("alice")
            alice.startService()
            self.wait(40)
            self.assertIs(alice.state, State.CONNECTING)
            self.assertEqual(stranger.heard[:2], b"\x16\x03", answer)
            for word in (b"alice", b"eyJ"):
                self.assertNotIn(word, stranger.heard, answer)
            if answer:
                self.assertIn("does not speak TLS", alice.heard.states[-1][1])
            closing = alice.close()
            self.wait(3)
            self.successResultOf(closing)

    def test_a_route_without_tls(self):
        stranger = Eavesdropper(b"HTTP/1.1 200 OK\r\n\r\n")
        self.network.listen(8083, stranger)
        alice = self.make("alice")
        alice.startService()
        self.wait(5)
        self.assertIs(alice.state, State.CONNECTING)
        self.assertIn("does not speak TLS", alice.heard.states[-1][1])
        self.assertNotIn(b"alice", stranger.heard)

    def test_one_of_two_routes(self):
        """The other one is asked instead."""
        self.network.listen(8084, self.site_of(self.cluster.routes[0]), showing(certified("a", signer=self.root)))
        alice = self.online("alice", urls=["https://127.0.0.1:8084", *self.urls])
        self.result(alice.send("g:0", "hello"))
        self.assertEqual(alice.heard.texts, ["hello"])
