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
from tests.link.first_release import ACCEPTORS_PROOF, CHALLENGE, DIALERS_PROOF, HELLO, OldAcceptor, OldDialer
from tests.link.network import KEY, ROUTE, SERVER, WRONG, Network, Recorder, constant


def dialer(highest=HIGHEST_VERSION, **options):
    return DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name, highest=highest, **options)


def acceptor(highest=HIGHEST_VERSION, **options):
    return AcceptorHandshake(KEY, ROUTE, constant(b"a"), highest=highest, **options)


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
    def test_its_ends_say_what_they_said(self):
        server, route = OldDialer(), OldAcceptor()
        said = [server.begin()]
        for end in (route, server, route):
            said.append(end.receive(said[-1]))
        self.assertEqual(said, [HELLO, CHALLENGE, DIALERS_PROOF, ACCEPTORS_PROOF])

    def test_a_server_of_any_version_meets_a_route_of_the_first_release(self):
        for highest in (1, 2, 7):
            server, route = dialer(highest, accept_unsealed=True), OldAcceptor()
            converse(server, route)
            self.assertTrue(route.proven)
            self.assertEqual((server.peer, server.version, server.sealing), (ROUTE, 1, None))

    def test_a_route_of_any_version_meets_a_server_of_the_first_release(self):
        for highest in (1, 2, 7):
            server, route = OldDialer(), acceptor(highest, accept_unsealed=True)
            converse(server, route)
            self.assertTrue(server.proven)
            self.assertEqual((route.peer, route.version, route.sealing), (SERVER, 1, None))

    def test_they_are_refused_where_nobody_said_that_they_are_not(self):
        for end, said in ((acceptor(), HELLO), (dialer(), CHALLENGE)):
            error = self.assertRaises(HandshakeFailed, end.receive, said)
            self.assertIn("upgrade the other end, or set --accept-unsealed-links here", error.message)
            self.assertIsNone(end.peer)


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
            changed(0, "hello", highest=0),
            changed(0, "hello", version=2),
            changed(1, "challenge", version=1),
            changed(1, "challenge", version=2),
        ):
            server, route = dialer(3), acceptor(3)
            error = self.assertRaises(HandshakeFailed, converse, server, route, between)
            self.assertEqual(error.message, WRONG)
            self.assertIsNone(route.peer)

    @given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
    def test_any_range_is_answered_with_a_version_in_it_or_refused(self, lowest, highest):
        route = acceptor(3, accept_unsealed=True)
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
