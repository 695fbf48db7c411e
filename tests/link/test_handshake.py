"""The handshake, without any transport."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import HandshakeFailed
from cim.link.handshake import AcceptorHandshake, DialerHandshake, refusal
from cim.model import LinkPeer
from cim.wire.link_pb2 import Batch, Challenge, Handshake, Hello, Proof
from tests.link.network import KEY, ROUTE, SERVER, opened


def dialer(nonce=b"d" * 32, key=KEY, own=SERVER, expected=ROUTE.name):
    return DialerHandshake(key, own, nonce, expected)


def acceptor(nonce=b"a" * 32, key=KEY, own=ROUTE):
    return AcceptorHandshake(key, own, nonce)


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
        self.assertEqual(self.refused(route, proof, "proof"), "the proof is wrong: the two ends have different secrets")

    def test_wrong_secret_is_seen_by_the_dialer(self):
        server, route = dialer(), acceptor(key=b"w" * 32)
        server.receive(route.receive(server.begin()))
        self.refused(
            server,
            Handshake(proof=Proof(proof=b"p" * 32)).SerializeToString(),
            "the proof is wrong: the two ends have different secrets",
        )
        self.refused(
            server,
            Handshake(proof=Proof()).SerializeToString(),
            "the proof is wrong: the two ends have different secrets",
        )

    def test_the_dialers_proof_sent_back_proves_nothing(self):
        server, route = dialer(), acceptor()
        proof = server.receive(route.receive(server.begin()))
        self.refused(server, proof, "the proof is wrong: the two ends have different secrets")

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
        self.refused(route, proof, "the proof is wrong: the two ends have different secrets")

    def test_replayed_to_an_acceptor(self):
        hello, _, proof, _, _ = converse(dialer(), acceptor())
        fresh = acceptor(nonce=b"b" * 32)
        fresh.receive(hello)
        self.refused(fresh, proof, "the proof is wrong: the two ends have different secrets")

    def test_replayed_to_a_dialer(self):
        _, challenge, _, proof, _ = converse(dialer(), acceptor())
        fresh = dialer(nonce=b"e" * 32)
        fresh.receive(challenge)
        self.refused(fresh, proof, "the proof is wrong: the two ends have different secrets")

    def test_a_proof_covers_all_that_was_said(self):
        for change in (
            {"name": "10.6.6.6:1:2"},
            {"incarnation": "another"},
            {"websocket": "10.6.6.6:3"},
            {"nonce": b"n" * 32},
        ):
            server, route = dialer(), acceptor()
            hello = Handshake.FromString(server.begin())
            for name, value in change.items():
                setattr(hello.hello, name, value)
            proof = server.receive(route.receive(hello.SerializeToString()))
            self.refused(route, proof, "the proof is wrong: the two ends have different secrets")
        server, route = dialer(), acceptor()
        challenge = Handshake.FromString(route.receive(server.begin()))
        challenge.challenge.incarnation = "another"
        self.refused(
            route,
            server.receive(challenge.SerializeToString()),
            "the proof is wrong: the two ends have different secrets",
        )

    def test_parts_cannot_be_shifted_between_names(self):
        # Both pairs of names concatenate to the same bytes.
        said = [
            converse(dialer(own=LinkPeer(server, "i"), expected=route), acceptor(own=LinkPeer(route, "i")))
            for server, route in (("ab", "c"), ("a", "bc"))
        ]
        self.assertNotEqual(said[0][2], said[1][2])

    def test_bad_introductions(self):
        good = {"version": 1, "name": "s:1:2", "incarnation": "i", "nonce": b"n" * 32}
        for change, words in (
            ({"nonce": b"n" * 31}, "nonce"),
            ({"nonce": b"a" * 32}, "nonce"),
            ({"name": ""}, "name"),
            ({"name": "n" * 301}, "name"),
            ({"incarnation": ""}, "incarnation"),
            ({"websocket": "w" * 301}, "WebSocket"),
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
        message = self.refused(dialer(), refusal("go\x1b[2Jaway" + "y" * 4000), "refused by the other end: 'go")
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
