"""The handshake, without any transport."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import HandshakeFailed
from cim.link.handshake import AcceptorHandshake, DialerHandshake, refusal
from cim.model import LinkPeer
from cim.wire.link_pb2 import Batch, Challenge, Handshake, Hello, Proof
from tests.link.network import KEY, ROUTE, SERVER, WRONG, constant, opened

#: How the nonces of ends that can seal end.
MARK = b"\xc1m seals"


def dialer(byte=b"d", key=KEY, own=SERVER, expected=ROUTE.name):
    return DialerHandshake(key, own, constant(byte), expected)


def acceptor(byte=b"a", key=KEY, own=ROUTE):
    return AcceptorHandshake(key, own, constant(byte))


def converse(server, route):
    """Run the whole handshake, and return every message."""
    said = [server.begin()]
    said.append(route.receive(said[-1]))
    said.append(server.receive(said[-1]))
    said.append(route.receive(said[-1]))
    said.append(server.receive(said[-1]))
    return said


class HandshakeTests(SynchronousTestCase):
    def refused(self, end, body, words):
        error = self.assertRaises(HandshakeFailed, end.receive, body)
        self.assertIn(words, error.message)
        self.assertIsNone(end.peer)
        return error.message

    def test_both_ends_learn_who_the_other_is(self):
        server, route = dialer(), acceptor()
        said = converse(server, route)
        self.assertEqual(server.peer, ROUTE)
        self.assertEqual(route.peer, SERVER)
        self.assertEqual(said[-1], b"")
        self.assertNotIn(KEY, b"".join(said))

    def test_the_dialer_proves_first(self):
        server, route = dialer(), acceptor()
        challenge = route.receive(server.begin())
        self.assertEqual(Handshake.FromString(challenge).WhichOneof("step"), "challenge")
        self.assertIsNone(route.peer)
        proof = server.receive(challenge)
        self.assertIsNone(server.peer)
        route.receive(proof)
        self.assertEqual(route.peer, SERVER)

    def test_wrong_secret_is_seen_by_the_acceptor(self):
        server, route = dialer(key=b"w" * 32), acceptor()
        proof = server.receive(route.receive(server.begin()))
        self.assertEqual(self.refused(route, proof, "proof"), WRONG)

    def test_wrong_secret_is_seen_by_the_dialer(self):
        server, route = dialer(), acceptor(key=b"w" * 32)
        server.receive(route.receive(server.begin()))
        self.refused(
            server,
            Handshake(proof=Proof(proof=b"p" * 32)).SerializeToString(),
            WRONG,
        )
        self.refused(
            server,
            Handshake(proof=Proof()).SerializeToString(),
            WRONG,
        )

    def test_the_dialers_proof_sent_back_proves_nothing(self):
        server, route = dialer(), acceptor()
        proof = server.receive(route.receive(server.begin()))
        self.refused(server, proof, WRONG)

    def test_the_dialers_hello_sent_back_as_challenge_is_refused(self):
        server = dialer()
        hello = Handshake.FromString(server.begin()).hello
        challenge = Challenge(version=1, name=ROUTE.name, incarnation="i", nonce=hello.nonce)
        self.refused(server, Handshake(challenge=challenge).SerializeToString(), "nonce")

    def test_an_acceptor_without_the_secret_cannot_use_another_acceptor(self):
        # It forwards the dialer's messages, under its own name, to a route that knows the secret.
        server, route = dialer(expected="10.6.6.6:1:2"), acceptor()
        challenge = Handshake.FromString(route.receive(server.begin()))
        challenge.challenge.name = "10.6.6.6:1:2"
        proof = server.receive(challenge.SerializeToString())
        self.refused(route, proof, WRONG)

    def test_replayed_to_an_acceptor(self):
        hello, _, proof, _, _ = converse(dialer(), acceptor())
        fresh = acceptor(b"b")
        fresh.receive(hello)
        self.refused(fresh, proof, WRONG)

    def test_replayed_to_a_dialer(self):
        _, challenge, _, proof, _ = converse(dialer(), acceptor())
        fresh = dialer(b"e")
        fresh.receive(challenge)
        self.refused(fresh, proof, WRONG)

    def test_a_proof_covers_all_that_was_said(self):
        for change in (
            {"name": "10.6.6.6:1:2"},
            {"incarnation": "another"},
            {"websocket": "10.6.6.6:3"},
            {"nonce": b"n" * 24 + MARK},
            {"public_key": b"p" * 32},
            {"highest": 1},
        ):
            server, route = dialer(), acceptor()
            hello = Handshake.FromString(server.begin())
            for name, value in change.items():
                setattr(hello.hello, name, value)
            proof = server.receive(route.receive(hello.SerializeToString()))
            self.refused(route, proof, WRONG)
        for change in ({"incarnation": "another"}, {"nonce": b"n" * 24 + MARK}, {"public_key": b"p" * 32}):
            server, route = dialer(), acceptor()
            challenge = Handshake.FromString(route.receive(server.begin()))
            for name, value in change.items():
                setattr(challenge.challenge, name, value)
            self.refused(route, server.receive(challenge.SerializeToString()), WRONG)

    def test_a_proof_covers_what_nobody_here_knows(self):
        # A later release may say more, and that cannot be taken away or added either.
        server, route = dialer(), acceptor()
        more = server.begin() + b"\x0a\x04\xfa\x01\x01x"
        self.assertEqual(
            Handshake.FromString(more).hello.public_key, Handshake.FromString(server.begin()).hello.public_key
        )
        self.refused(route, server.receive(route.receive(more)), WRONG)

    def test_parts_cannot_be_shifted_between_names(self):
        # Both pairs of names concatenate to the same bytes.
        said = [
            converse(dialer(own=LinkPeer(server, "i"), expected=route), acceptor(own=LinkPeer(route, "i")))
            for server, route in (("ab", "c"), ("a", "bc"))
        ]
        self.assertNotEqual(said[0][2], said[1][2])

    def test_a_route_learns_how_clients_reach_the_server(self):
        own = LinkPeer("10.0.0.1:11211:8081", "run", "wss://chat.example.com/v1/socket", "chat.example.com")
        route = acceptor()
        converse(dialer(own=own), route)
        self.assertEqual(route.peer, own)

    def test_bad_introductions(self):
        good = {"version": 1, "name": "s:1:2", "incarnation": "i", "nonce": b"n" * 32}
        for change, words in (
            ({"nonce": b"n" * 31}, "nonce"),
            ({"nonce": b"a" * 24 + MARK}, "nonce"),
            ({"name": ""}, "name"),
            ({"name": "n" * 301}, "name"),
            ({"incarnation": ""}, "incarnation"),
            ({"websocket": "w" * 301}, "address"),
            ({"tls_name": "w" * 301}, "address"),
        ):
            self.refused(acceptor(), Handshake(hello=Hello(**(good | change))).SerializeToString(), words)

    def test_another_route_than_was_dialed(self):
        server, route = dialer(expected="10.0.0.8:8083:8084"), acceptor()
        self.refused(server, route.receive(server.begin()), "dialed 10.0.0.8:8083:8084")

    def test_steps_out_of_turn(self):
        proof = Handshake(proof=Proof(proof=b"p" * 32)).SerializeToString()
        self.refused(acceptor(), proof, "expected hello")
        self.refused(dialer(), proof, "expected challenge")
        self.refused(acceptor(), b"", "expected hello")
        route = acceptor()
        route.receive(dialer().begin())
        self.refused(route, dialer().begin(), "expected proof")

    def test_a_batch_is_not_a_handshake(self):
        batch = Batch(items=[opened(1)], consumed=3).SerializeToString()
        self.assertRaises(HandshakeFailed, acceptor().receive, batch)
        self.assertRaises(HandshakeFailed, dialer().receive, batch)

    def test_refused(self):
        message = self.refused(
            dialer(), refusal("go\x1b[2Jaway" + "y" * 4000), 'refused by the other end: "go<U+001B>[2Jaway'
        )
        self.assertNotIn("\x1b", message)
        self.assertLess(len(message), 300)

    @given(st.lists(st.binary(max_size=200), max_size=4))
    def test_garbage_ends_in_handshake_failed_or_nothing(self, bodies):
        for end in (acceptor(), dialer()):
            for body in bodies:
                try:
                    end.receive(body)
                except HandshakeFailed:
                    break
            self.assertIsNone(end.peer)
