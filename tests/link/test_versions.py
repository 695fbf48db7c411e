"""Which version of the items a link speaks; ends that know only version 1 are treated as they always were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import HandshakeFailed
from cim.link.handshake import HIGHEST_VERSION, AcceptorHandshake, DialerHandshake
from cim.link.memory import connect
from cim.wire.link_pb2 import Challenge, Handshake, Hello
from tests.link.network import KEY, ROUTE, SERVER, Network, Recorder

#: What the first release's ends (93fa1d3) send each other, with 32 times "d" and 32 times "a" as nonces.
HELLO = bytes.fromhex(
    "0a550801121331302e302e302e313a31313231313a383038311a0a7365727665722d72756e2220646464646464646464646464"
    "64646464646464646464646464646464646464642a0e31302e302e302e313a3131323132"
)
CHALLENGE = bytes.fromhex(
    "12430801121231302e302e302e393a383038333a383038341a09726f7574652d72756e222061616161616161616161616161616161"
    "61616161616161616161616161616161"
)
DIALERS_PROOF = bytes.fromhex("1a220a205eaf3d80bde64d7b6502a54bf7d73d1468f2cb4642a4e9b9db32896249137f90")
ACCEPTORS_PROOF = bytes.fromhex("1a220a20b30e2dcc9b188f7567f9a33a479787243c0999779ff06ac83c460e6bfb44358b")


def dialer(highest=HIGHEST_VERSION):
    return DialerHandshake(KEY, SERVER, b"d" * 32, ROUTE.name, highest=highest)


def acceptor(highest=HIGHEST_VERSION):
    return AcceptorHandshake(KEY, ROUTE, b"a" * 32, highest=highest)


def nothing(step, said):
    return said


def converse(server, route, on_the_way=nothing):
    """Run the whole handshake.

    :param on_the_way: returns what arrives of the message of a step: 0 for the Hello, then 1, 2, 3
    """
    challenge = route.receive(on_the_way(0, server.begin()))
    proof = server.receive(on_the_way(1, challenge))
    return server.receive(on_the_way(3, route.receive(on_the_way(2, proof))))


def changed(step, kind, **fields):
    """Return a function that changes fields of the message of one step."""

    def change(at, said):
        if at != step:
            return said
        handshake = Handshake.FromString(said)
        for name, value in fields.items():
            setattr(getattr(handshake, kind), name, value)
        return handshake.SerializeToString()

    return change


class FirstReleaseTests(SynchronousTestCase):
    def test_a_server_of_any_version_meets_a_route_of_the_first_release(self):
        for highest in (1, 2, 7):
            server = dialer(highest)
            hello = Handshake.FromString(server.begin()).hello
            # It refuses any other `version`, and does not know `highest`.
            hello.ClearField("highest")
            self.assertEqual(Handshake(hello=hello).SerializeToString(), HELLO)
            self.assertEqual(server.receive(CHALLENGE), DIALERS_PROOF)
            self.assertEqual(server.receive(ACCEPTORS_PROOF), b"")
            self.assertEqual((server.peer, server.version), (ROUTE, 1))

    def test_a_route_of_any_version_meets_a_server_of_the_first_release(self):
        for highest in (1, 2, 7):
            route = acceptor(highest)
            self.assertEqual(route.receive(HELLO), CHALLENGE)
            self.assertEqual(route.receive(DIALERS_PROOF), ACCEPTORS_PROOF)
            self.assertEqual((route.peer, route.version), (SERVER, 1))

    def test_ends_that_speak_only_version_1_send_the_same_bytes(self):
        self.assertEqual(dialer(1).begin(), HELLO)


class CommonVersionTests(SynchronousTestCase):
    def test_the_highest_version_that_both_speak(self):
        for at_server, at_route, common in ((1, 1, 1), (2, 2, 2), (1, 2, 1), (2, 1, 1), (3, 2, 2), (2, 3, 2)):
            server, route = dialer(at_server), acceptor(at_route)
            converse(server, route)
            self.assertEqual((server.version, route.version), (common, common))
            self.assertEqual((server.peer, route.peer), (ROUTE, SERVER))

    def test_there_may_be_no_common_version(self):
        for hello, words in (
            (Hello(version=2), "this end speaks version 1, the other 2"),
            (Hello(version=2, highest=4), "this end speaks version 1, the other 2 to 4"),
            (Hello(version=5, highest=1), "the other 5 to 1"),
            (Hello(), "the other 0"),
        ):
            hello.MergeFrom(Hello(name="s:1:2", incarnation="i", nonce=b"n" * 32))
            error = self.assertRaises(HandshakeFailed, acceptor(1).receive, Handshake(hello=hello).SerializeToString())
            self.assertIn(words, error.message)

    def test_an_answer_that_was_not_offered_is_refused(self):
        for highest, version, words in (
            (1, 7, "this end speaks version 1, the other 7"),
            (2, 0, "this end speaks version 1 to 2, the other 0"),
            (2, 3, "this end speaks version 1 to 2, the other 3"),
        ):
            challenge = Challenge(version=version, name=ROUTE.name, incarnation="i", nonce=b"n" * 32)
            server = dialer(highest)
            body = Handshake(challenge=challenge).SerializeToString()
            self.assertIn(words, self.assertRaises(HandshakeFailed, server.receive, body).message)
            self.assertIsNone(server.peer)

    def test_nobody_in_between_can_choose_the_version(self):
        for between in (
            changed(0, "hello", highest=2),
            changed(0, "hello", version=2),
            changed(1, "challenge", version=1),
            changed(1, "challenge", version=2),
        ):
            server, route = dialer(3), acceptor(3)
            error = self.assertRaises(HandshakeFailed, converse, server, route, between)
            self.assertEqual(error.message, "the proof is wrong: the two ends have different secrets")
            self.assertIsNone(route.peer)

    def test_hiding_the_highest_version_gives_version_1_at_both_ends(self):
        server, route = dialer(3), acceptor(3)
        converse(server, route, changed(0, "hello", highest=0))
        self.assertEqual((server.version, route.version), (1, 1))

    @given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
    def test_any_range_is_answered_with_a_version_in_it_or_refused(self, lowest, highest):
        route = acceptor(3)
        hello = Hello(version=lowest, highest=highest, name="s:1:2", incarnation="i", nonce=b"n" * 32)
        try:
            said = Handshake.FromString(route.receive(Handshake(hello=hello).SerializeToString()))
        except HandshakeFailed:
            return
        self.assertTrue(max(1, lowest) <= said.challenge.version <= min(3, highest or lowest))


class LinkVersionTests(SynchronousTestCase):
    def versions(self, at_server, at_route):
        """Return the version that each end of a link over TCP reports."""
        network, server, route = Network(), Recorder(), Recorder()
        network.list_route()
        network.route(route, highest=at_route)
        network.server(server, highest=at_server)
        network.settle()
        return [link.version for link in (*server.links, *route.links)]

    def test_both_ends_know_the_version(self):
        self.assertEqual(self.versions(2, 2), [2, 2])
        self.assertEqual(self.versions(1, 2), [1, 1])
        self.assertEqual(self.versions(2, 1), [1, 1])

    def test_the_highest_version_is_the_default(self):
        network, server, route = Network(), Recorder(), Recorder()
        network.list_route()
        network.route(route)
        network.server(server)
        network.settle()
        self.assertEqual([link.version for link in (*server.links, *route.links)], [HIGHEST_VERSION] * 2)

    def test_links_in_memory(self):
        ends = (Clock(), Recorder(), SERVER, Recorder(), ROUTE)
        self.assertEqual([link.version for link in connect(*ends)], [HIGHEST_VERSION] * 2)
        self.assertEqual([link.version for link in connect(*ends, version=1)], [1, 1])
        self.assertEqual([link.version for link in connect(*ends, version=2)], [2, 2])
