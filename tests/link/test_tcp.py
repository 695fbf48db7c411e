"""Links over simulated TCP: who is accepted, who is dialed, and what time and hostile bytes do."""

from __future__ import annotations

import errno
import itertools

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import EventLoggingObserver, StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cim.link.handshake import DialerHandshake
from cim.link.pipe import MAX_FRAME, WINDOW
from cim.link.protocol import DRAIN_SECONDS, HANDSHAKE_SECONDS, LinkParts, LinkProtocol
from cim.link.tcp import MAX_UNPROVEN, MAX_UNPROVEN_OF_ONE
from cim.model import LinkPeer
from cim.route.service import CATCH_UP_SECONDS
from cim.wire.framing import FrameReader, encode_frame, encode_varint
from cim.wire.link_pb2 import Batch, Handshake
from tests.link.first_release import OldAcceptor, OldDialer, Refusal
from tests.link.network import KEY, ROUTE, SERVER, WRONG, Network, Recorder, constant, deliver, opened, random_bytes

OTHER_ROUTE = LinkPeer("10.0.0.8:8083:8085", "other-run")


class NetworkTestCase(SynchronousTestCase):
    def setUp(self):
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.network = Network()
        self.settle = self.network.settle
        self.at_route, self.at_server = Recorder(), Recorder()

    def logged(self, words):
        return [event for event in self.log if event.get("log_format") and words in event["log_format"]]

    def linked(self):
        self.network.list_route()
        self.acceptor = self.network.route(self.at_route)
        self.dialers = self.network.server(self.at_server)
        self.settle()
        (self.route,) = self.at_route.links
        (self.server,) = self.at_server.links

    def kinds(self, user):
        return [event[0] for event in user.events]


class HandshakeTests(NetworkTestCase):
    """A route's end, which the test sends bytes to."""

    def setUp(self):
        super().setUp()
        self.acceptor = self.network.route(self.at_route)

    def connect(self):
        link = self.acceptor.buildProtocol(None)
        transport = StringTransport()
        link.makeConnection(transport)
        return link, transport

    def said(self, transport):
        return [Handshake.FromString(body) for body in FrameReader(MAX_FRAME).feed(transport.value())]

    def proven(self, own=SERVER):
        """Return a proven link, its transport, and what seals the batches that it gets."""
        link, transport = self.connect()
        dialer = DialerHandshake(KEY, own, random_bytes(own.incarnation), ROUTE.name)
        link.dataReceived(encode_frame(dialer.begin()))
        (challenge,) = FrameReader().feed(transport.value())
        link.dataReceived(encode_frame(dialer.receive(challenge)))
        dialer.receive(FrameReader().feed(transport.value())[1])
        transport.clear()
        return link, transport, dialer.sealing

    def test_a_wrong_secret_is_reported_and_ends_the_connection(self):
        link, transport = self.connect()
        dialer = DialerHandshake(b"w" * 32, SERVER, constant(b"d"), ROUTE.name)
        link.dataReceived(encode_frame(dialer.begin()))
        (challenge,) = FrameReader().feed(transport.value())
        link.dataReceived(encode_frame(dialer.receive(challenge)) + encode_frame(b"") * 10)
        self.assertEqual(self.said(transport)[1].refused.reason, WRONG)
        self.assertEqual(len(self.said(transport)), 2)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.at_route.events, [])
        self.assertEqual(self.acceptor.counted.refused, 1)

    def test_a_handshake_in_single_bytes(self):
        link, transport = self.connect()
        dialer = DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name)
        for byte in encode_frame(dialer.begin()):
            link.dataReceived(bytes((byte,)))
        (challenge,) = FrameReader().feed(transport.value())
        for byte in encode_frame(dialer.receive(challenge)):
            self.assertEqual(self.at_route.links, [])
            link.dataReceived(bytes((byte,)))
        self.assertEqual(self.at_route.links, [link])

    def test_no_batch_before_the_handshake_has_succeeded(self):
        batch = encode_frame(Batch(items=[opened(1)]).SerializeToString())
        link, transport = self.connect()
        link.dataReceived(batch)
        self.assertTrue(transport.disconnecting)
        link, transport = self.connect()
        link.dataReceived(encode_frame(DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name).begin()) + batch)
        self.assertTrue(transport.disconnecting)
        self.assertEqual((self.at_route.events, self.at_route.items), ([], []))

    def test_hostile_bytes_before_the_handshake(self):
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
            b"\xff" * 100,
            encode_varint(4097),
            encode_varint(1 << 31) + b"x" * 100,
            encode_frame(b"\xff" * 4096),
            encode_frame(b""),
        ):
            link, transport = self.connect()
            link.dataReceived(data)
            self.assertTrue(transport.disconnecting, data)
            before = transport.value()
            link.dataReceived(data)
            self.assertEqual(transport.value(), before)
            self.assertLess(len(before), 200)
        self.assertEqual(self.acceptor.counted.refused, 6)
        self.assertEqual(self.at_route.events, [])

    def test_a_truncated_hello_meets_the_deadline(self):
        link, transport = self.connect()
        link.dataReceived(encode_frame(DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name).begin())[:-1])
        self.network.reactor.pump([1] * (HANDSHAKE_SECONDS - 1))
        self.assertFalse(transport.disconnecting)
        self.network.reactor.advance(1)
        self.assertTrue(transport.disconnecting and transport.disconnected)
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])

    def test_a_refused_peer_that_does_not_read_is_cut_off(self):
        link, transport = self.connect()
        link.dataReceived(b"\xff" * 100)
        self.assertFalse(transport.disconnected)
        self.network.reactor.advance(HANDSHAKE_SECONDS)
        self.assertTrue(transport.disconnected)

    def from_address(self, host):
        link = self.acceptor.buildProtocol(IPv4Address("TCP", host, 4711))
        transport = StringTransport()
        link.makeConnection(transport)
        return transport

    def test_for_one_more_unproven_connection_the_oldest_goes(self):
        transports = [self.connect()[1] for _ in range(MAX_UNPROVEN)]
        self.assertFalse(any(transport.disconnected for transport in transports))
        self.proven()
        self.assertEqual([transport.disconnected for transport in transports], [True] + [False] * (MAX_UNPROVEN - 1))
        self.assertEqual(len(self.logged("Refused")), 1)
        # It is proven, so there is room for one more.
        self.connect()
        self.assertFalse(transports[1].disconnected)
        self.connect()
        self.assertTrue(transports[1].disconnected)

    def test_an_address_takes_no_place_of_another(self):
        other = self.from_address("192.0.2.1")
        transports = [self.from_address("198.51.100.7") for _ in range(MAX_UNPROVEN_OF_ONE + 100)]
        self.assertFalse(other.disconnected)
        self.assertEqual(
            [transport.disconnected for transport in transports], [True] * 100 + [False] * MAX_UNPROVEN_OF_ONE
        )

    def test_proven_connections_do_not_count_as_unproven(self):
        for number in range(MAX_UNPROVEN + 1):
            self.proven(LinkPeer(f"10.0.0.{number}:1:2", "run"))
        self.assertEqual(len(self.at_route.links), MAX_UNPROVEN + 1)

    def test_strangers_do_not_fill_the_log(self):
        for _ in range(100):
            link, _ = self.connect()
            link.dataReceived(b"\xff" * 100)
            link.connectionLost()
        self.assertEqual(len(self.logged("Refused")), 1)
        self.network.reactor.advance(60)
        self.connect()[0].dataReceived(b"\xff" * 100)
        self.assertEqual([event["unlogged"] for event in self.logged("Refused")], [0, 99])
        self.assertEqual(self.acceptor.counted.refused, 101)

    def test_hostile_bytes_after_the_handshake(self):
        good = Batch(items=[opened(1)]).SerializeToString()
        for number, (data, body) in enumerate(
            (
                (b"\xff" * 100, None),
                (encode_varint(MAX_FRAME + 1), None),
                (encode_frame(good), None),
                (b"", b"\xff" * 100),
                (b"", Batch(consumed=1).SerializeToString()),
            )
        ):
            link, transport, sealing = self.proven(LinkPeer(f"10.0.0.{number}:1:2", "run"))
            link.dataReceived(encode_frame(sealing.seal(good)))
            self.assertFalse(transport.disconnecting)
            link.dataReceived(data if body is None else encode_frame(sealing.seal(body)))
            self.assertTrue(transport.disconnected, data)
            self.assertFalse(link.send(opened(1)))
            link.dataReceived(encode_frame(sealing.seal(good)))
            link.connectionLost()
            self.assertEqual(self.at_route.links, [])
        self.assertEqual(self.at_route.users, [1] * 5)
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])

    def test_a_truncated_batch_is_not_handled(self):
        link, _, sealing = self.proven()
        first, second = (sealing.seal(Batch(items=[opened(user)]).SerializeToString()) for user in (1, 2))
        link.dataReceived(encode_frame(first) + encode_frame(second)[:-1])
        link.connectionLost()
        self.assertEqual(self.at_route.users, [1])
        self.assertEqual(self.kinds(self.at_route), ["up", "down"])

    def test_a_second_link_of_a_server_replaces_the_first_only_when_proven(self):
        first, first_transport, sealing = self.proven()
        second, transport = self.connect()
        dialer = DialerHandshake(KEY, LinkPeer(SERVER.name, "new-run"), constant(b"e"), ROUTE.name)
        second.dataReceived(encode_frame(dialer.begin()))
        self.assertEqual(self.at_route.links, [first])
        (challenge,) = FrameReader().feed(transport.value())
        second.dataReceived(encode_frame(dialer.receive(challenge)))
        self.assertEqual(self.at_route.links, [second])
        self.assertEqual(
            [event[:2] for event in self.at_route.events],
            [("up", SERVER), ("down", SERVER), ("up", LinkPeer(SERVER.name, "new-run"))],
        )
        self.assertTrue(first_transport.disconnected)
        first.dataReceived(encode_frame(sealing.seal(Batch(items=[opened(1)]).SerializeToString())))
        first.connectionLost()
        self.assertEqual(self.at_route.items, [])
        self.assertEqual(self.at_route.links, [second])
        third, _, _ = self.proven(LinkPeer(SERVER.name, "newest-run"))
        self.assertEqual(self.at_route.links, [third])

    def test_the_first_batch_may_come_with_the_last_frame_of_the_handshake(self):
        # And it may be larger than any frame of a handshake.
        parts = LinkParts(
            own=SERVER,
            key=KEY,
            user=self.at_server,
            old_user=self.at_server,
            reactor=self.network.reactor,
            random_bytes=lambda count: b"d" * count,
        )

        class Owner:
            link_proven = link_refused = link_gone = lambda self, *arguments: None

        dialer = LinkProtocol(parts, Owner(), DialerHandshake(KEY, SERVER, constant(b"d"), ROUTE.name))
        to_route = StringTransport()
        dialer.makeConnection(to_route)
        self.at_route.on_up = lambda link: link.send(deliver(1, 50_000))
        link, to_server = self.connect()
        for _ in range(2):
            said = to_route.value()
            to_route.clear()
            link.dataReceived(said)
            if self.at_route.links:
                self.network.reactor.advance(0)
            said = to_server.value()
            to_server.clear()
            dialer.dataReceived(said)
        self.assertGreater(len(said), 50_000)
        self.assertEqual(self.at_server.calls, [1])


class TimeTests(NetworkTestCase):
    def test_an_idle_link_lives_on_heartbeats(self):
        self.linked()
        self.network.pass_seconds(120)
        self.assertEqual(self.kinds(self.at_server) + self.kinds(self.at_route), ["up", "up"])
        for counted in (self.acceptor.counted, self.dialers.counted):
            beats = [batch for batch in counted.batches if batch[0] == "out"]
            self.assertTrue(25 <= len(beats) <= 41, len(beats))
            self.assertEqual({items for _, items, _ in beats}, {0})

    def test_a_silent_peer_is_dead(self):
        self.linked()
        self.network.stall_seconds(9)
        self.settle()
        self.assertEqual(self.kinds(self.at_server), ["up"])
        self.network.stall_seconds(10)
        self.assertFalse(self.route.send(opened(1)))
        self.settle()
        self.assertEqual(self.at_route.events[1:2], [("down", SERVER, "the other end is silent")])
        self.assertEqual(self.at_server.events[1][2], "the other end is silent")

    def test_a_suspended_process_does_not_blame_its_peer(self):
        self.linked()
        self.network.reactor.advance(3600)
        self.network.pass_seconds(20)
        self.assertEqual(self.kinds(self.at_server) + self.kinds(self.at_route), ["up", "up"])

    def test_a_slow_peer_bounds_the_queue_and_recovers(self):
        self.linked()
        (pump,) = self.network.pumps
        sent = 0
        for _ in range(200):
            if self.route.send(deliver(sent, 100_000)):
                sent += 1
            self.network.reactor.advance(0)
        # The server reads nothing, so no more than a window was written.
        self.assertLessEqual(sum(len(data) for data in pump.serverIO.stream), WINDOW + 1000)
        self.assertGreater(self.acceptor.counted.dropped, 50)
        self.assertEqual(self.acceptor.counted.dropped, 200 - sent)
        self.settle()
        self.assertEqual(self.at_server.calls, list(range(sent)))
        self.assertTrue(self.route.send(deliver(sent)))
        self.settle()
        self.assertEqual(self.at_server.calls[-1], sent)
        self.assertEqual(self.kinds(self.at_server), ["up"])

    def test_one_turn_is_one_batch_and_observed_at_both_ends(self):
        self.linked()
        for number in range(5):
            self.route.send(deliver(number))
        self.settle()
        ((_, items, size),) = [batch for batch in self.acceptor.counted.batches if batch[1]]
        self.assertEqual(items, 5)
        (received,) = [batch for batch in self.dialers.counted.batches if batch[1]]
        self.assertEqual(received[:2], ("in", 5))
        self.assertIn(size - received[2], (1, 2, 3))

    def test_a_peer_that_gives_no_credit_delays_lose_only_for_a_while(self):
        self.linked()
        for number in range(50):
            self.route.send(deliver(number, 100_000))
        self.route.lose("enough")
        self.network.stall_seconds(DRAIN_SECONDS)
        (pump,) = self.network.pumps
        self.assertTrue(pump.serverIO.disconnecting)
        self.settle()
        self.assertEqual(self.at_route.events[1:2], [("down", SERVER, "enough")])


class LoseAllTests(NetworkTestCase):
    def test_fires_when_all_are_gone_and_accepts_no_more(self):
        self.linked()
        self.route.send(deliver(1))
        unproven = self.acceptor.buildProtocol(None)
        transport = StringTransport()
        unproven.makeConnection(transport)
        gone = self.acceptor.lose_all("the route stops")
        self.assertNoResult(gone)
        self.assertTrue(transport.disconnected)
        unproven.connectionLost()
        self.network.step()
        self.network.step()
        self.network.step()
        self.assertEqual(self.at_server.calls, [1])
        self.assertEqual(self.at_route.events[1:], [("down", SERVER, "the route stops")])
        self.successResultOf(gone)
        self.assertIsNone(self.acceptor.buildProtocol(None))
        self.successResultOf(self.acceptor.lose_all("again"))


class DialersTests(NetworkTestCase):
    def test_every_listed_route_gets_a_link(self):
        at_other = Recorder()
        self.network.list_route()
        self.network.list_route(OTHER_ROUTE)
        self.network.route(self.at_route)
        self.network.route(at_other, OTHER_ROUTE)
        dialers = self.network.server(self.at_server)
        self.settle()
        self.assertEqual({link.peer for link in self.at_server.links}, {ROUTE, OTHER_ROUTE})
        self.assertEqual(len(at_other.links), 1)
        stopped = dialers.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.at_server.links + at_other.links + self.at_route.links, [])
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])

    def test_a_route_that_is_listed_later_gets_a_link(self):
        self.network.route(self.at_route)
        self.network.server(self.at_server)
        self.settle()
        self.assertEqual(self.at_server.links, [])
        self.network.list_route()
        self.settle()
        self.assertEqual(len(self.at_server.links), 1)

    def test_names_that_are_not_addresses_are_logged_and_left_out(self):
        self.network.list_route(LinkPeer("nonsense", ""))
        self.linked()
        self.assertEqual(len(self.logged("cannot be dialed")), 1)

    def test_a_lost_link_is_dialed_again(self):
        self.linked()
        self.network.pass_seconds(20)
        self.route.lose("oops")
        self.settle()
        self.assertEqual(self.at_server.links, [])
        self.network.pass_seconds(1)
        self.assertEqual(self.kinds(self.at_server), ["up", "down", "up"])
        self.assertEqual(self.kinds(self.at_route), ["up", "down", "up"])

    def attempts(self, seconds):
        """Return when attempts to connect came within that time."""
        times = []
        for _ in range(seconds * 10):
            self.network.reactor.advance(0.1)
            if self.network.reactor.tcpClients:
                times.append(self.network.reactor.seconds())
            self.settle()
        return times

    def test_backoff_grows_to_less_than_a_starting_route_waits(self):
        self.network.list_route()
        self.network.server(self.at_server)
        times = self.attempts(60)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        self.assertLess(gaps[0], 0.6)
        self.assertEqual([round(gap) for gap in gaps[-5:]], [2] * 5)
        self.assertLess(max(gaps), CATCH_UP_SECONDS - 0.5)

    def test_jitter_halves_it(self):
        self.network.list_route()
        self.network.server(self.at_server, jitter=0.999)
        times = self.attempts(60)
        self.assertLess(times[-1] - times[-2], 1.2)
        self.assertGreater(times[-1] - times[-2], 0.8)

    def test_a_wrong_secret_is_logged_once_and_backs_off(self):
        self.network.list_route()
        acceptor = self.network.route(self.at_route, key=b"w" * 32)
        self.network.server(self.at_server)
        times = self.attempts(60)
        self.assertLess(len(times), 40)
        self.assertEqual(len(self.logged("No link to route")), 1)
        self.assertIn(WRONG, self.logged("No link to route")[0]["reason"])
        self.assertGreater(acceptor.counted.refused, 10)
        self.assertEqual(self.at_server.events + self.at_route.events, [])

    def test_a_route_that_cannot_be_reached_is_logged_once_and_shown(self):
        self.network.list_route()
        dialers = self.network.server(self.at_server)
        self.network.pass_seconds(60)
        (event,) = self.logged("No link to route")
        self.assertEqual(
            (event["route"], event["reason"]), (ROUTE.name, "cannot connect: Connection was refused by other side.")
        )
        self.assertEqual(dialers.facts(), {"routes_not_linked": {ROUTE.name: event["reason"]}})
        self.network.route(self.at_route)
        self.network.pass_seconds(5)
        self.assertEqual((len(self.at_server.links), dialers.facts()), (1, {}))

    def test_no_descriptors_left_to_dial(self):
        self.network.list_route()
        dialers = self.network.server(self.at_server)
        self.network.route(self.at_route)
        endpoint_for = dialers._endpoint_for
        lacking = True

        class Endpoint:
            def __init__(self, route):
                self.endpoint = endpoint_for(route)

            def connect(self, factory):
                if lacking:
                    raise OSError(errno.EMFILE, "No more")
                return self.endpoint.connect(factory)

        dialers._endpoint_for = Endpoint
        self.network.pass_seconds(60)
        self.assertEqual(dialers.facts(), {"routes_not_linked": {ROUTE.name: "cannot connect: [Errno 24] No more"}})
        lacking = False
        self.network.pass_seconds(5)
        self.assertEqual((len(self.at_server.links), dialers.facts()), (1, {}))

    def test_two_servers_with_one_name_back_off(self):
        self.network.list_route()
        self.network.route(self.at_route)
        self.network.server(self.at_server)
        self.settle()
        self.network.server(Recorder(), LinkPeer(SERVER.name, "another-run"), seed=3)
        self.settle()
        self.network.pass_seconds(60)
        self.assertTrue(6 < len(self.at_route.events) < 100, len(self.at_route.events))
        self.assertEqual(len(self.at_route.links), 1)
        for before, after in itertools.pairwise(self.kinds(self.at_route)):
            self.assertNotEqual(before, after)

    def test_a_route_that_left_the_list_keeps_its_link_until_that_drops(self):
        announcement = self.network.list_route()
        self.network.route(self.at_route)
        self.network.server(self.at_server)
        self.settle()
        self.successResultOf(announcement.withdraw())
        self.network.pass_seconds(60)
        self.assertEqual(len(self.at_server.links), 1)
        self.at_route.links[0].lose("gone")
        self.network.pass_seconds(60)
        self.assertEqual(self.kinds(self.at_server), ["up", "down"])
        self.assertEqual(self.network.reactor.tcpClients, [])
        self.network.list_route()
        self.settle()
        self.assertEqual(self.kinds(self.at_server), ["up", "down", "up"])

    def test_a_route_that_left_the_list_without_a_link_is_not_dialed(self):
        announcement = self.network.list_route()
        self.network.server(self.at_server)
        self.network.pass_seconds(3)
        announcement.withdraw()
        self.settle()
        self.assertEqual(self.attempts(20), [])
        self.network.route(self.at_route)
        self.network.list_route()
        self.settle()
        self.assertEqual(len(self.at_server.links), 1)

    def test_a_route_that_came_back_to_the_list_is_dialed_after_its_link_drops(self):
        announcement = self.network.list_route()
        self.network.route(self.at_route)
        self.network.server(self.at_server)
        self.settle()
        announcement.withdraw()
        self.settle()
        self.network.list_route()
        self.settle()
        self.at_route.links[0].lose("gone")
        self.network.pass_seconds(5)
        self.assertEqual(self.kinds(self.at_server), ["up", "down", "up"])

    def test_stop_sends_what_was_sent_first(self):
        self.linked()
        for number in range(40):
            self.server.send(opened(number, 100_000))
        stopped = self.dialers.stopService()
        self.assertNoResult(stopped)
        self.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.at_route.users, list(range(40)))
        self.assertEqual(self.at_server.events[1][2], "the server is stopping")

    def test_stop_while_dialing_or_shaking_hands(self):
        self.network.list_route()
        self.network.route(self.at_route)
        dialers = self.network.server(self.at_server)
        self.network.reactor.advance(0)
        stopped = dialers.stopService()
        self.settle()
        self.successResultOf(stopped)
        dialers = self.network.server(self.at_server)
        self.network.step()
        stopped = dialers.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.network.reactor.advance(60)
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])
        self.assertEqual(self.at_server.events, [])

    def test_starts_again_after_stop(self):
        self.linked()
        stopped = self.dialers.stopService()
        self.settle()
        self.successResultOf(stopped)
        self.dialers.startService()
        self.settle()
        self.assertEqual(self.kinds(self.at_server), ["up", "down", "up"])


class UnsealedTests(NetworkTestCase):
    """Who is at the other end does not seal."""

    def old_server(self, acceptor):
        """A server of the first release has linked to the route."""
        link = acceptor.buildProtocol(None)
        transport = StringTransport()
        link.makeConnection(transport)
        old = OldDialer()
        link.dataReceived(encode_frame(old.begin()))
        (said,) = FrameReader().feed(transport.value())
        try:
            link.dataReceived(encode_frame(old.receive(said)))
        except Refusal as refusal:
            self.assertIn("--accept-unsealed-links", str(refusal))
        return link

    def test_they_are_shown_where_they_are_accepted(self):
        acceptor = self.network.route(self.at_route, accept_unsealed=True)
        dialers = self.network.server(self.at_server, accept_unsealed=True)
        for end in (acceptor, dialers):
            self.assertEqual(end.facts(), {"accepts_unsealed_links": True, "unsealed_links": []})
        link = self.old_server(acceptor)
        self.assertEqual(acceptor.facts()["unsealed_links"], [SERVER.name])
        link.connectionLost()
        self.assertEqual(acceptor.unsealed(), [])

    def test_a_sealed_link_is_not_among_them(self):
        self.network.list_route()
        acceptor = self.network.route(self.at_route, accept_unsealed=True)
        dialers = self.network.server(self.at_server, accept_unsealed=True)
        self.settle()
        self.assertEqual((len(self.at_route.links), acceptor.unsealed(), dialers.unsealed()), (1, [], []))

    def test_an_old_route_is(self):
        self.network.list_route()
        dialers = self.network.server(self.at_server, accept_unsealed=True)
        self.network.reactor.listenTCP(8084, OldRoute())
        self.settle()
        self.assertEqual(self.at_server.events, [("up", ROUTE)])
        self.assertEqual(dialers.unsealed(), [ROUTE.name])

    def test_elsewhere_nothing_is_shown_and_they_are_refused(self):
        acceptor = self.network.route(self.at_route)
        link = self.old_server(acceptor)
        self.assertEqual((acceptor.facts(), link.up, self.at_route.events), ({}, False, []))
        (event,) = self.logged("Refused a link")
        self.assertIn("--accept-unsealed-links", event["reason"])
        self.assertEqual(acceptor.counted.refused, 1)

    def test_a_server_tells_once_that_an_old_route_is_refused(self):
        self.network.list_route()
        self.network.server(self.at_server)
        self.network.reactor.listenTCP(8084, OldRoute())
        self.network.pass_seconds(60)
        (event,) = self.logged("No link to route")
        self.assertIn("--accept-unsealed-links", event["reason"])
        self.assertEqual(self.at_server.events, [])


class SkewTests(NetworkTestCase):
    def test_both_ends_know_how_far_their_clocks_differ(self):
        seconds = self.network.reactor.seconds
        acceptor = self.network.route(self.at_route, time_of_day=lambda: seconds() + 1_700_000_000)
        dialers = self.network.server(self.at_server, time_of_day=lambda: seconds() + 1_700_000_031.5)
        self.network.list_route()
        self.assertEqual((acceptor.skews(), dialers.skews()), ({}, {}))
        self.network.pass_seconds(10)
        self.assertAlmostEqual(acceptor.skews()[SERVER.name], -31.5, 3)
        self.assertAlmostEqual(dialers.skews()[ROUTE.name], 31.5, 3)
        dialers.stopService()
        self.network.pass_seconds(10)
        self.assertEqual((acceptor.skews(), dialers.skews()), ({}, {}))

    def test_an_end_that_tells_no_time(self):
        acceptor = self.network.route(self.at_route, time_of_day=None)
        dialers = self.network.server(self.at_server)
        self.network.list_route()
        self.network.pass_seconds(10)
        self.assertEqual(len(self.at_route.links), 1)
        self.assertEqual((acceptor.skews(), dialers.skews()), ({}, {}))


class OldRoute(Factory):
    """A route of the first release."""

    noisy = False

    def buildProtocol(self, addr):
        return OldRouteProtocol()


class OldRouteProtocol(Protocol):
    def connectionMade(self):
        self.handshake, self.reader = OldAcceptor(), FrameReader(MAX_FRAME)

    def dataReceived(self, data):
        for body in self.reader.feed(data):
            if not self.handshake.proven:
                try:
                    self.transport.write(encode_frame(self.handshake.receive(body)))
                except Refusal:
                    self.transport.loseConnection()
