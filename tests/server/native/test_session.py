"""A native client's session: from Hello to Goodbye."""

from __future__ import annotations

from cim.keys import derive_key
from cim.limits import Buckets, Limit
from cim.model import Place
from cim.server import service
from cim.server.native import session as native
from cim.wire.cim_pb2 import Hello, Packet, Ping, Pong, Welcome
from cim.wire.framing import encode_frame
from cim.wire.link_pb2 import Deliver, End, Probe
from cim.wire.native import PING, goodbye_packet
from tests.server.native_case import START, ServerCase, deliver, head

ALICE, BOB = 7, 9


class NativeCase(ServerCase):
    def setUp(self):
        super().setUp()
        self.route = self.link()
        self.turn()

    def goodbye(self, client):
        """Return the code of the Goodbye that ended a client's session; its connection must be closed."""
        packets = client.packets()
        self.assertTrue(client.closed)
        self.assertEqual(packets[-1].WhichOneof("body"), "goodbye")
        return packets[-1].goodbye.code


class StateTests(NativeCase):
    """The tables that say which state handles what."""

    def test_every_state_takes_packets_and_can_end(self):
        self.assertEqual(native._RECEIVED.keys(), set(native.SessionState))
        self.assertEqual(set(native.COMES_FROM[native.OVER]), set(native.SessionState))

    def test_nothing_follows_the_end(self):
        client = self.begin(ALICE, "alice")
        session = next(iter(self.server.sessions))
        client.drop()
        for state in set(native.SessionState) - {native.OVER}:
            self.assertRaises(AssertionError, session._become, state)


class HelloTests(NativeCase):
    """What it takes to get in."""

    def test_welcome(self):
        self.route.heads[ALICE] = [head("p:7:9", "1-4", unread=2)]
        client = self.begin(ALICE, "alice")
        self.turn()
        [packet] = client.packets()
        session = next(iter(self.server.sessions))
        expected = Welcome(
            user_id=ALICE,
            session=session.id,
            heartbeat_seconds=11,
            heads=[head("p:7:9", "1-4", unread=2)],
            as_of=str(START * 1000),
            max_packet=65536,
        )
        self.assertEqual(packet.welcome, expected)
        self.assertEqual((session.user, session.name, session.device), (ALICE, "alice", "phone"))

    def test_what_is_pushed_together_before_the_welcome_waits_for_it(self):
        self.route.silent = {"heads"}
        client = self.begin(ALICE, "alice")
        self.turn()
        first, second = (deliver(text, "p:7:9", f"1-{n}").packet for n, text in enumerate("ab", 1))
        self.route.say(deliver=Deliver(users=[ALICE], packet=first, more=[second]))
        self.assertEqual(client.packets(), [])
        self.route.silent = set()
        self.turn()
        welcome, *pushed = client.packets()
        self.assertTrue(welcome.HasField("welcome"))
        self.assertEqual([packet.deliver.text for packet in pushed], ["a", "b"])

    def test_the_order_of_a_login(self):
        other = self.link("127.0.0.1:8183:8184")
        self.turn()
        for route in (self.route, other):
            route.silent = {"open", "opened", "heads"}
        client = self.begin(ALICE, "alice", "owner", since="123")
        self.turn()
        home, other = (self.route, other) if "open" in self._kinds(self.route) else (other, self.route)
        [opening] = home.take("open")
        self.assertEqual(
            (opening.user, opening.name, opening.owner, opening.device), (ALICE, "alice", "owner", "phone")
        )
        self.assertEqual(home.take("opened") + other.take("opened"), [])
        home.items.append(self._item(open=opening))
        home.silent = {"heads"}
        self.turn()
        [opened] = other.take("opened")
        self.assertTrue(opened.call and not opened.home)
        self.assertEqual((opened.session, opened.device), (opening.session, "phone"))
        self.assertEqual(home.take("request"), [])
        other.items.append(self._item(opened=opened))
        other.silent = {"heads"}
        self.turn()
        [request] = home.take("request")
        self.assertEqual((request.since, request.device, request.session), ("123", "phone", opening.session))
        self.assertEqual(client.packets(), [])
        home.reply(request, Packet(welcome=Welcome()))
        self.assertEqual(client.packets()[0].welcome.session, opening.session)

    def _kinds(self, route):
        return [item.WhichOneof("item") for item in route.items]

    def _item(self, **item):
        from cim.wire.link_pb2 import Item

        return Item(**item)

    def test_tickets_that_are_refused(self):
        self.reserve(ALICE, "alice", "owner")
        ours = self.server.own.place
        good = self.ticket(ALICE, "alice", "owner")
        head_, body, signature = good.split(".")
        unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + body + "."
        cases = {
            "none": "",
            "rubbish": "abc",
            "altered": f"{head_}.{body[:-2]}xx.{signature}",
            "alg none": unsigned,
            "another key": self.ticket(
                ALICE, "alice", "owner", key=derive_key(b"another secret of a cluster", "ticket")
            ),
            "another server": self.ticket(ALICE, "alice", "owner", place=Place("127.0.0.1:1:2", ours.incarnation)),
            "an earlier run": self.ticket(ALICE, "alice", "owner", place=Place(ours.server, "run-0")),
            "another login": self.ticket(ALICE, "alice", "owner-2"),
            "another user": self.ticket(BOB, "alice", "owner"),
            "another device": self.ticket(ALICE, "alice", "owner", device="tablet"),
        }
        for case, ticket in cases.items():
            with self.subTest(case):
                client = self.connect()
                client.hello(ticket)
                self.assertEqual(self.goodbye(client), "unauthorized")
        self.assertEqual(self.refused("bad-ticket"), len(cases))
        self.assertEqual(len(self.server.sessions), 0)
        client = self.connect()
        client.hello(good, "tablet")
        self.assertEqual(self.goodbye(client), "unauthorized")
        client = self.connect()
        client.hello(good, "phone")
        self.turn()
        self.assertFalse(client.closed)

    def test_a_ticket_from_a_route_whose_clock_is_wrong(self):
        for number, now in enumerate((START - 3600, START + 86400 * 40, 1)):
            owner = f"owner-{number}"
            self.reserve(ALICE, "alice", owner)
            client = self.connect()
            client.hello(self.ticket(ALICE, "alice", owner, now=now))
            self.turn()
            self.assertFalse(client.closed, now)

    def test_a_ticket_is_valid_once(self):
        client = self.log_in(ALICE, "alice", "owner")
        other = self.connect()
        other.hello(self.ticket(ALICE, "alice", "owner"))
        self.assertEqual(self.goodbye(other), "unauthorized")
        self.assertFalse(client.closed)

    def test_a_ticket_of_a_guest_s_reservation_and_a_login_frame_of_a_native_one(self):
        self.server.sessions.reserve(ALICE, "alice", "owner", 30, device="phone")
        client = self.connect()
        client.hello(self.ticket(ALICE, "alice", "owner"))
        self.assertEqual(self.goodbye(client), "unauthorized")
        self.reserve(BOB, "bob", "owner-b", device="guest")
        guest = self.connect()
        from cim.wire.guests import Generation, encode_login

        guest.connection.dataReceived(encode_login(Generation.W2, BOB, "bob"))
        self.assertTrue(guest.closed)

    def test_a_ticket_after_logout(self):
        self.reserve(ALICE, "alice", "owner")
        self.route.say(end=End(call=5, user=ALICE, code="logged-out"))
        client = self.connect()
        client.hello(self.ticket(ALICE, "alice", "owner"))
        self.assertEqual(self.goodbye(client), "unauthorized")

    def test_a_packet_before_hello(self):
        client = self.connect()
        client.ping()
        self.assertEqual(self.goodbye(client), "protocol-error")

    def test_a_second_hello(self):
        client = self.log_in(ALICE)
        client.hello("x")
        self.assertEqual(self.goodbye(client), "protocol-error")
        self.assertEqual(len(self.server.sessions), 0)

    def test_bytes_that_are_not_a_packet(self):
        for body in (b"\x82\x01\xff", b"\x8a\x01\x00", b"\xff\xff", b"\x08\x01", b""):
            with self.subTest(body):
                client = self.log_in(ALICE)
                client.connection.dataReceived(encode_frame(body))
                self.assertEqual(self.goodbye(client), "protocol-error")
                self.assertEqual(len(self.server.sessions), 0)

    def test_packets_that_only_servers_send_are_refused(self):
        bodies = {field.name for field in Packet.DESCRIPTOR.oneofs_by_name["body"].fields}
        refused = bodies - native._SERVED.keys()
        answers = {"welcome", "accepted", "deliver", "synced", "news", "failure"}
        self.assertEqual(refused, answers | {"presence", "invited", "muted", "removed"})
        for body in refused:
            with self.subTest(body):
                client = self.log_in(ALICE)
                packet = Packet()
                getattr(packet, body).SetInParent()
                client.say(packet)
                self.assertIn(f"`{body}`", client.packets()[-1].goodbye.message)
                self.assertTrue(client.closed)

    def test_packets_that_come_with_the_hello_wait_for_the_welcome(self):
        self.reserve(ALICE, "alice", "owner")
        client = self.connect()
        client.say(
            Packet(hello=Hello(ticket=self.ticket(ALICE, "alice", "owner"))), Packet(ping=Ping()), Packet(ping=Ping())
        )
        self.assertFalse(client.read_from)
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome", "pong", "pong"])
        self.assertTrue(client.read_from)

    def test_a_second_hello_with_the_first(self):
        self.reserve(ALICE, "alice", "owner")
        client = self.connect()
        hello = Packet(hello=Hello(ticket=self.ticket(ALICE, "alice", "owner")))
        client.say(hello, hello, hello)
        self.turn()
        self.assertEqual(self.goodbye(client), "protocol-error")

    def test_a_silent_client_is_closed(self):
        client = self.connect()
        self.pass_seconds(11)
        self.assertTrue(client.closed)


class OpeningTests(NativeCase):
    """Routes that are slow or away while a session opens."""

    def test_a_newer_login_holds_the_user(self):
        self.route.refusals["open"] = "replaced"
        client = self.begin(ALICE)
        self.turn()
        self.assertEqual(self.goodbye(client), "replaced")
        self.assertEqual(len(self.server.sessions), 0)
        self.assertEqual(self.route.take("opened"), [])

    def test_a_route_that_is_unavailable_for_a_while(self):
        self.route.refusals["open"] = "unavailable"
        client = self.begin(ALICE)
        self.pass_seconds(2)
        self.assertEqual(client.packets(), [])
        self.route.refusals.clear()
        self.pass_seconds(1)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])

    def test_a_route_that_stays_unavailable(self):
        self.route.refusals["heads"] = "unavailable"
        client = self.begin(ALICE)
        self.pass_seconds(6)
        failure, goodbye = client.packets()
        self.assertEqual(failure.failure.code, "unavailable")
        self.assertEqual(goodbye.goodbye.code, "draining")
        self.assertEqual(goodbye.goodbye.retry_after_seconds, failure.failure.retry_after_seconds)
        self.assertGreater(goodbye.goodbye.retry_after_seconds, 0)
        self.assertTrue(client.closed)
        self.assertEqual(len(self.route.take("closed")), 1)

    def test_no_route_at_all_and_then_one(self):
        self.reserve(ALICE, "alice", "owner")
        self.unlink(self.route)
        client = self.connect()
        client.hello(self.ticket(ALICE, "alice", "owner"))
        self.pass_seconds(1)
        self.link()
        self.pass_seconds(1)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])

    def test_the_home_dies_while_it_opens(self):
        other = self.link("127.0.0.1:8183:8184")
        self.turn()
        for kind in ({"open"}, {"heads"}):
            with self.subTest(kind):
                home, spare = self.route, other
                for route in (self.route, other):
                    route.silent = kind
                client = self.begin(ALICE)
                self.turn()
                if not any(item.WhichOneof("item") in ("open", "request") for item in home.items):
                    home, spare = other, self.route
                spare.silent = set()
                self.unlink(home)
                self.turn()
                self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])
                client.drop()
                self.route, other = spare, self.link(home.peer.name)

    def test_the_only_route_is_asked_for_heads_at_once(self):
        self.route.silent = {"heads"}
        self.begin(ALICE)
        self.turn()
        self.assertEqual([item.WhichOneof("item") for item in self.route.items[-2:]], ["opened", "request"])
        [opened] = self.route.take("opened")
        self.assertEqual((opened.user, opened.home, opened.call), (ALICE, True, 0))

    def test_a_route_that_does_not_confirm_in_time(self):
        other = self.link("127.0.0.1:8183:8184")
        self.turn()
        for route in (self.route, other):
            route.silent = {"opened"}
        client = self.begin(ALICE)
        self.turn()
        self.assertEqual(client.packets(), [])
        self.pass_seconds(1.1)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])
        for route in (self.route, other):
            route.silent = {"heads"}
        self.pass_seconds(0.2)
        requests = self.route.take("request") + other.take("request")
        self.assertEqual(len(requests), 1, "what it missed meanwhile is looked for")

    def test_a_client_that_leaves_while_it_opens_releases_its_record(self):
        self.route.silent = {"open"}
        client = self.begin(ALICE)
        client.drop()
        self.assertEqual(self.route.take("closed"), [])
        self.route.silent = set()
        self.turn()
        self.assertEqual([item.WhichOneof("item") for item in self.route.items[-2:]], ["opened", "closed"])
        self.assertTrue(self.route.take("closed")[0].home)

    def test_what_is_pushed_before_the_welcome_comes_after_it(self):
        self.route.silent = {"heads"}
        client = self.begin(ALICE)
        self.turn()
        self.route.say(deliver=deliver("early", "p:7:9", "1-1", users=[ALICE]))
        self.assertEqual(client.packets(), [])
        self.route.silent = set()
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome", "deliver"])

    def test_pushes_beyond_the_kept_ones_are_checked_for_later(self):
        self.route.silent = {"heads"}
        client = self.begin(ALICE)
        self.turn()
        for number in range(1001):
            self.route.say(deliver=deliver("early", "p:7:9", f"1-{number + 1}", users=[ALICE]))
        self.route.silent = set()
        self.turn()
        self.assertEqual(len(client.packets()), 1001)
        self.route.heads[ALICE] = [head("p:7:9", "1-1001")]
        self.pass_seconds(1)
        [news] = client.packets()
        self.assertEqual(news.news.heads[0].latest, "1-1001")


class DeviceTests(NativeCase):
    """Several devices of one user."""

    def test_the_same_device_replaces_itself(self):
        first = self.log_in(ALICE, owner="owner-1")
        second = self.log_in(ALICE, owner="owner-2")
        self.assertEqual(self.goodbye(first), "replaced")
        self.assertFalse(second.closed)
        self.assertEqual([closed.owner for closed in self.route.take("closed")], ["owner-1"])
        self.assertEqual([s.owner for s in self.server.sessions.of(ALICE)], ["owner-2"])

    def test_another_device_is_live_only_beside(self):
        first = self.log_in(ALICE, device="phone")
        reserved = self.server.sessions.reserve(
            ALICE, "user7", "owner-2", 30, device="tablet", native=True, beside=False
        )
        self.assertFalse(reserved)
        second = self.log_in(ALICE, device="tablet", beside=True)
        third = self.log_in(ALICE, device="watch", beside=True)
        self.assertFalse(first.closed or second.closed or third.closed)
        self.route.say(probe=Probe(call=99, user=ALICE))
        self.assertEqual(self.route.take("outcome")[-1].sessions, 3)
        for owner, live in ((first.connection.session.owner, 1), ("another", 0)):
            self.route.say(probe=Probe(call=99, user=ALICE, owner=owner))
            self.assertEqual(self.route.take("outcome")[-1].sessions, live)
        self.route.say(deliver=deliver("hi", users=[ALICE]))
        self.assertEqual([client.texts() for client in (first, second, third)], [["hi"]] * 3)
        second.drop()
        self.assertEqual(len(self.server.sessions.of(ALICE)), 2)

    def test_reservations_beside_one_another_are_all_claimed(self):
        self.reserve(ALICE, "alice", "one", "phone", beside=True)
        self.reserve(ALICE, "alice", "two", "tablet", beside=True)
        self.assertEqual(self.server.sessions.reserved, 2)
        clients = []
        for owner, device in (("two", "tablet"), ("one", "phone")):
            client = self.connect()
            client.hello(self.ticket(ALICE, "alice", owner, device))
            clients.append(client)
        self.turn()
        self.assertEqual([client.closed for client in clients], [False, False])
        self.reserve(ALICE, "alice", "three", "phone", beside=True)
        self.reserve(ALICE, "alice", "four", "phone", beside=True)
        self.assertEqual(self.server.sessions.reserved, 1)


class LifeTests(NativeCase):
    """A session while it lives, and how it ends."""

    def test_ping(self):
        client = self.log_in(ALICE)
        client.ping()
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["pong"])

    def test_a_ping_within_another_frame_is_none(self):
        client = self.log_in(ALICE)
        ping = encode_frame(PING)
        # In a field that nobody knows.
        frame = encode_frame(Packet(pong=Pong()).SerializeToString() + b"\xc2\x3e" + encode_frame(ping))
        client.connection.dataReceived(frame[: -len(ping)])
        client.connection.dataReceived(ping)
        self.assertEqual(client.packets(), [])
        client.connection.dataReceived(ping)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["pong"])

    def test_pings_count_towards_the_limit(self):
        self.server.gateway.frames = Buckets(Limit(1, 2))
        self.server.gateway.counted_together = 1
        client = self.log_in(ALICE)
        for _ in range(2):
            client.ping()
        self.assertFalse(client.read_from)
        self.assertEqual(self.metrics._refused["limit-session-frames"], 1)
        client.ping()
        self.assertEqual(len(client.packets()), 2)
        self.pass_seconds(2)
        self.assertEqual(len(client.packets()), 1)

    def test_silence(self):
        client = self.log_in(ALICE)
        self.pass_seconds(30)
        client.ping()
        client.packets()
        self.pass_seconds(32)
        self.assertFalse(client.closed)
        self.pass_seconds(2)
        self.assertEqual(self.goodbye(client), "idle")
        self.assertEqual(len(self.route.take("closed")), 1)

    def test_ended_by_a_route(self):
        for code, said in (
            ("logged-out", "logged-out"),
            ("replaced", "replaced"),
            ("", "logged-out"),
            ("x", "logged-out"),
        ):
            client = self.log_in(ALICE)
            self.route.say(end=End(call=3, user=ALICE, code=code))
            self.assertEqual(self.goodbye(client), said)
            self.assertEqual(self.route.take("outcome")[-1].sessions, 1)
            client.drop()

    def test_goodbye_of_the_client(self):
        client = self.log_in(ALICE)
        client.connection.dataReceived(encode_frame(goodbye_packet("logged-out")))
        self.assertTrue(client.closed)
        self.assertEqual(client.packets(), [])
        self.assertEqual(len(self.server.sessions), 0)

    def test_draining_tells_clients_when_to_come_back(self):
        self.patch(service, "COME_BACK_RATE", 0.1)
        client = self.log_in(ALICE)
        newcomer = self.connect()
        self.server.gateway.drain()
        [packet] = client.packets()
        self.assertEqual(packet.goodbye.code, "draining")
        self.assertEqual(packet.goodbye.retry_after_seconds, int(0.5 * 1 / 0.1))
        self.assertTrue(client.closed and newcomer.closed)

    def test_nothing_is_written_after_goodbye(self):
        client = self.log_in(ALICE)
        client.send(BOB, "hi", "c1")
        [request] = self.route.take("request")
        self.route.say(end=End(user=ALICE))
        client.packets()
        self.route.reply(request, Packet(ping=Ping()))
        self.route.say(deliver=deliver("late", users=[ALICE]))
        self.assertEqual(client.packets(), [])

    def test_a_snapshot_names_sessions_with_their_devices_and_none_that_is_opening(self):
        self.log_in(ALICE)
        self.route.silent = {"open"}
        self.begin(BOB)
        other = self.link("127.0.0.1:8183:8184")
        self.turn()
        self.assertEqual([(o.user, o.device, o.call) for o in other.take("opened")], [(ALICE, "phone", 0)])
        self.assertEqual(len(other.take("snapshot_end")), 1)

    def test_typing_at_most_twice_a_second(self):
        client = self.log_in(ALICE)
        for _ in range(5):
            client.typing(BOB)
        [(request, packet)] = self.route.requests()
        self.assertEqual((request.call, request.conversation, packet.typing.user), (0, "p:7:9", BOB))
        self.assertEqual(self.refused("typing-too-often"), 4)
        self.pass_seconds(0.6)
        client.typing(BOB)
        self.assertEqual(len(self.route.requests()), 1)

    def test_watching_too_many(self):
        client = self.log_in(ALICE)
        client.watch(*range(1, 202))
        [packet] = client.packets()
        self.assertEqual(packet.failure.code, "invalid")
        self.assertEqual(self.route.take("request"), [])

    def test_a_new_home_is_told_whom_a_session_watches(self):
        client = self.log_in(ALICE)
        client.watch(BOB)
        [(request, _)] = self.route.requests()
        self.route.reply(request)
        others = [self.link(f"127.0.0.1:{port}:{port + 1}") for port in (8183, 8283, 8383)]
        said = [route.requests() for route in (self.route, *others)]
        told = [packet.watch.users[:] for requests in said for _, packet in requests]
        moved = [users for users in told if users == [BOB]]
        self.assertEqual(len(moved), len([users for users in told if users == []]), "each former home is told to stop")
        home = next(r for r in self.routes if r is self.server.submissions.home(ALICE))
        self.unlink(home)
        _, packet = self.server.submissions.home(ALICE).requests()[-1]
        self.assertEqual(packet.watch.users[:], [BOB])
