"""What a client may do on its connection, and when the connection ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.limits import Limit
from cim.server.edge.connection import Limits
from cim.wire.cim_pb2 import MESSAGE, PING, Packet
from cim.wire.framing import encode_frame
from cim.wire.guests import Generation, encode_login, encode_ping
from tests.harness.cluster import Cluster


class GatewayTests(SynchronousTestCase):
    """One server, one route, alice."""

    def setUp(self):
        self.cluster = Cluster()
        self.server = self.cluster.servers[0]
        self.alice = self.cluster.account("alice")

    def refused(self, kind):
        return self.cluster.metrics._refused[kind]

    def connect(self, data=b""):
        return self.cluster.connect(self.server.own.name, data)

    def test_pings_are_answered_in_the_client_s_generation(self):
        for generation, pong in (
            (Generation.W2, "080a04706f6e671802"),
            (Generation.W1, "0a0a04706f6e6710001803"),
        ):
            client = self.cluster.log_in(self.alice, generation=generation)
            client.ping(self.alice.id)
            self.assertEqual(client.transport.value().hex(), pong)
            client.drop()

    def test_a_wrong_id_in_a_ping_is_ignored(self):
        client = self.cluster.log_in(self.alice)
        client.ping(424242)
        self.assertEqual([packet.command for packet in client.frames()], [PING])

    def test_nobody_binds_an_id_without_a_reservation(self):
        client = self.connect(encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertTrue(client.closed)
        self.assertEqual(len(self.server.sessions), 0)
        self.assertEqual(self.refused("unreserved-login"), 1)

    def test_a_reservation_is_for_id_and_name_and_once_and_for_thirty_seconds(self):
        self.server.sessions.reserve(self.alice.id, "alice", "owner", 30)
        self.assertTrue(self.connect(encode_login(Generation.W2, self.alice.id, "mallory")).closed)
        first = self.connect(encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertFalse(first.closed)
        self.assertTrue(self.connect(encode_login(Generation.W2, self.alice.id, "alice")).closed)
        first.drop()
        self.assertTrue(self.connect(encode_login(Generation.W2, self.alice.id, "alice")).closed)
        self.server.sessions.reserve(self.alice.id, "alice", "owner", 30)
        self.cluster.pass_seconds(30)
        self.assertTrue(self.connect(encode_login(Generation.W2, self.alice.id, "alice")).closed)
        self.assertEqual(self.server.sessions.reserved, 0)

    def test_one_connection_cannot_claim_two_ids(self):
        bob = self.cluster.account("bob")
        self.server.sessions.reserve(bob.id, "bob", "owner", 30)
        client = self.cluster.log_in(self.alice)
        client.send(encode_login(Generation.W2, bob.id, "bob"))
        self.assertTrue(client.closed)
        self.assertEqual(len(self.server.sessions), 0)
        self.assertEqual(self.refused("bad-login"), 1)

    def test_a_repeated_login_frame_changes_nothing(self):
        client = self.cluster.log_in(self.alice)
        client.send(encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertFalse(client.closed)
        self.assertEqual(len(self.server.sessions), 1)

    def test_chat_by_tcp_is_ignored_and_counted(self):
        client = self.cluster.log_in(self.alice)
        client.send(encode_frame(Packet(text="hello", command=MESSAGE).SerializeToString()))
        self.assertFalse(client.closed)
        self.assertEqual(self.refused("ignored-frame"), 1)

    def test_bytes_that_are_not_frames_end_the_connection(self):
        cases = {
            "frame-too-large": b"\x81\x80\x04" + b"x" * 100,
            "bad-frame": b"\xff\xff\xff\xff\xff\xff",
            "bad-login": encode_ping(Generation.W2, 1),
        }
        for kind, data in cases.items():
            with self.subTest(kind):
                client = self.connect(data)
                self.assertTrue(client.closed)
                self.assertEqual(self.refused(kind), 1)
        client = self.cluster.log_in(self.alice)
        client.send(encode_frame(b"\xff\xff"))
        self.assertTrue(client.closed)
        self.assertEqual(len(self.server.sessions), 0)

    def test_a_native_hello_is_refused_for_now(self):
        hello = Packet()
        hello.hello.ticket = "x"
        self.assertTrue(self.connect(encode_frame(hello.SerializeToString())).closed)

    def test_nothing_is_read_from_a_closing_connection(self):
        client = self.connect(b"\xff\xff\xff\xff\xff\xff")
        self.server.sessions.reserve(self.alice.id, "alice", "owner", 30)
        client.send(encode_login(Generation.W2, self.alice.id, "alice"))
        self.assertEqual(len(self.server.sessions), 0)

    def test_a_login_that_never_comes(self):
        client = self.connect()
        self.cluster.pass_seconds(9)
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(1)
        self.assertTrue(client.closed)
        self.assertEqual(self.refused("login-timeout"), 1)

    def test_bytes_do_not_extend_the_time_to_log_in(self):
        client = self.connect()
        for _ in range(10):
            client.send(b"\x11"[:1] if not client.connection._reader.partial else b"\x0a")
            self.cluster.pass_seconds(1)
        self.assertTrue(client.closed)

    def test_a_frame_that_never_ends(self):
        client = self.cluster.log_in(self.alice)
        frame = encode_ping(Generation.W2, self.alice.id)
        for byte in frame[:9]:
            client.send(bytes((byte,)))
            self.cluster.pass_seconds(1)
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(1)
        self.assertTrue(client.closed)
        self.assertEqual(self.refused("slow-frame"), 1)

    def test_a_client_that_is_always_in_the_middle_of_a_frame_is_not_slow(self):
        client = self.cluster.log_in(self.alice)
        frame = encode_ping(Generation.W2, self.alice.id)
        client.send(frame[:5])
        for _ in range(15):
            self.cluster.pass_seconds(1)
            client.send(frame[5:] + frame[:5])
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(10)
        self.assertTrue(client.closed)

    def test_a_frame_in_pieces_that_ends_in_time(self):
        client = self.cluster.log_in(self.alice)
        frame = encode_ping(Generation.W2, self.alice.id)
        client.send(frame[:5])
        self.cluster.pass_seconds(8)
        client.send(frame[5:])
        self.assertEqual(len(client.frames()), 1)
        self.cluster.pass_seconds(20)
        self.assertFalse(client.closed)

    def test_silence_ends_a_w2_session_after_33_seconds_and_a_w1_session_after_130(self):
        for generation, seconds in ((Generation.W2, 33), (Generation.W1, 130)):
            client = self.cluster.log_in(self.alice, generation=generation)
            self.cluster.clock.advance(0.9)
            client.ping(self.alice.id)
            self.cluster.pass_seconds(seconds)
            self.assertFalse(client.closed)
            self.cluster.pass_seconds(1)
            self.assertTrue(client.closed, generation)
            self.assertEqual(len(client.frames()), 1)  # the pong: guests are not asked
            self.assertEqual(len(self.server.sessions), 0)
            self.assertEqual(list(self.cluster.routes[0].presence.guests()), [])
        self.assertEqual(self.refused("idle"), 2)

    def test_any_frame_is_a_sign_of_life(self):
        client = self.cluster.log_in(self.alice)
        for _ in range(10):
            self.cluster.pass_seconds(30)
            client.ping(self.alice.id)
        self.assertFalse(client.closed)

    def test_a_closing_connection_that_hangs_is_cut(self):
        client = self.connect(b"\xff\xff\xff\xff\xff\xff")
        self.assertFalse(client.transport.aborted)
        self.cluster.pass_seconds(6)
        self.assertTrue(client.transport.aborted)

    def test_the_wheel_forgets_connections_that_are_gone(self):
        client = self.cluster.log_in(self.alice)
        self.assertEqual(len(self.server.wheel), 1)
        client.drop()
        self.assertEqual(len(self.server.wheel), 0)
        self.assertEqual(self.server.gateway.connections, set())

    def test_a_slow_client_is_neither_pushed_to_nor_read_from(self):
        client = self.cluster.log_in(self.alice)
        client.connection.pauseProducing()
        self.assertEqual(client.transport.producerState, "paused")
        self.assertEqual(self.refused("slow-session"), 1)
        client.connection.resumeProducing()
        self.assertEqual(client.transport.producerState, "producing")
        self.assertFalse(client.connection.slow)

    def test_a_connection_that_ends_leaves_its_transport_free_to_close(self):
        client = self.cluster.log_in(self.alice)
        client.connection.hold(True)
        client.connection.close("why not")
        self.assertTrue(client.closed)
        self.assertIsNone(client.transport.producer)
        self.assertEqual(client.transport.producerState, "producing")

    def test_when_full_the_oldest_without_a_login_goes(self):
        self.server.gateway.max_connections = 3
        first, member, last = self.connect(), self.cluster.log_in(self.alice), self.connect()
        newest = self.connect()
        self.assertEqual([one.transport.aborted for one in (first, member, last, newest)], [True, False, False, False])
        first.drop()
        self.assertEqual(self.refused("too-many-connections"), 1)
        for client in (last, newest):
            client.drop()
        # Those that have logged in stay.
        self.server.gateway.max_connections = 1
        self.assertIsNone(self.server.gateway.buildProtocol(None))
        self.assertFalse(member.closed)
        self.assertEqual(self.refused("too-many-connections"), 2)

    def test_when_it_stops_nobody_goes_for_a_new_one(self):
        client = self.connect()
        self.server.gateway.drain()
        self.assertFalse(client.transport.aborted)
        self.assertIsNone(self.server.gateway.buildProtocol(None))
        self.assertFalse(client.transport.aborted)

    def test_draining_closes_all_and_fires_when_done(self):
        client = self.cluster.log_in(self.alice)
        drained = self.server.gateway.drain()
        self.assertTrue(client.closed)
        self.assertNoResult(drained)
        self.assertIsNone(self.server.gateway.buildProtocol(None))
        client.drop()
        self.successResultOf(drained)


class LimitTests(SynchronousTestCase):
    """Limits that are not the defaults."""

    def test_the_frame_limit(self):
        cluster = Cluster(limits=Limits(max_frame=100))
        name = cluster.servers[0].own.name
        self.assertTrue(cluster.connect(name, b"\x65").closed)
        self.assertFalse(cluster.connect(name, b"\x64").closed)


class UnprovenTests(SynchronousTestCase):
    """Connections that have not logged in are bounded, together and for each address."""

    def setUp(self):
        self.cluster = Cluster(limits=Limits(unproven=4, address_unproven=2))
        self.gateway = self.cluster.servers[0].gateway
        self.gateway.address_of = lambda transport: self.address
        self.address = "192.0.2.7"

    def connect(self, address="192.0.2.7"):
        self.address = address
        return self.cluster.connect(self.cluster.servers[0].own.name)

    def aborted(self, *clients):
        return [client.transport.aborted for client in clients]

    def test_the_oldest_of_an_address_goes_for_one_more_there(self):
        elsewhere = self.connect("198.51.100.7")
        here = [self.connect() for _ in range(3)]
        self.assertEqual(self.aborted(elsewhere, *here), [False, True, False, False])
        self.assertEqual(self.cluster.metrics._refused["unproven-connections"], 1)

    def test_the_oldest_of_all_goes_for_one_more_anywhere(self):
        clients = [self.connect(f"192.0.2.{number}") for number in range(5)]
        self.assertEqual(self.aborted(*clients), [True, False, False, False, False])

    def test_who_has_logged_in_or_gone_counts_no_more(self):
        for name in ("alice", "bob", "carol"):
            client = self.cluster.log_in(self.cluster.account(name))
            self.assertEqual(len(self.gateway.unproven), 0, name)
            client.ping(1)
        gone = self.connect()
        gone.drop()
        kept = [self.connect() for _ in range(2)]
        self.assertEqual(self.aborted(client, *kept), [False] * 3)

    def test_connections_of_a_trusted_proxy_count_together_alone(self):
        clients = [self.connect("") for _ in range(5)]
        self.assertEqual(self.aborted(*clients), [True, False, False, False, False])


class ConnectsTests(SynchronousTestCase):
    """Connections that end without a login are limited for each address."""

    def setUp(self):
        self.cluster = Cluster(limits=Limits(connects=Limit(1, 3)))
        self.gateway = self.cluster.servers[0].gateway
        self.gateway.address_of = lambda peer: peer or "192.0.2.7"

    def admitted(self, peer=None):
        return self.gateway.buildProtocol(peer) is not None

    def test_so_many_at_once_and_then_so_many_a_second(self):
        self.assertEqual([self.admitted() for _ in range(5)], [True] * 3 + [False] * 2)
        self.assertEqual(self.cluster.metrics._refused["limit-address-connects"], 2)
        self.assertTrue(self.admitted("198.51.100.7"))
        self.cluster.clock.advance(1)
        self.assertEqual([self.admitted() for _ in range(2)], [True, False])

    def test_a_login_gives_back_what_its_connection_took(self):
        for number in range(10):
            client = self.cluster.log_in(self.cluster.account(f"user-{number}"))
            self.assertFalse(client.closed)
        self.assertEqual([self.admitted() for _ in range(4)], [True] * 3 + [False])

    def test_proxies_that_are_trusted_take_nothing(self):
        self.gateway.address_of = lambda peer: ""
        self.assertEqual([self.admitted() for _ in range(10)], [True] * 10)
