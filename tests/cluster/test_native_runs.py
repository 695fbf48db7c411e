"""Runs: what a client sends into one conversation at once goes up, is stored, answered and pushed together."""

from __future__ import annotations

from wsproto.frame_protocol import Opcode

from cim.limits import Limit
from cim.policies import Verdict
from cim.route.messages.delivery import BY_USER
from cim.server.native.session import RUN
from cim.wire.cim_pb2 import REACTION, Goodbye, Packet, Ping, Send
from cim.wire.framing import encode_frame
from cim.wire.websocket_frames import masked_frame
from tests.cluster.native_case import NativeCase
from tests.cluster.test_native_groups import GroupCase
from tests.route.policy_double import PolicyDouble


class RunCase(NativeCase):
    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)
        # How many Sends and packets each item has.
        self.requests, self.delivers = [], []
        self.watch(self.cluster.routes, self.cluster.servers)

    def watch(self, routes, servers):
        """Note what goes over the links."""

        def note(received, kind, noted):
            serve = received[kind]

            def noting(link, said):
                noted.append(1 + len(said.more))
                serve(link, said)

            received[kind] = noting

        for route in routes:
            note(route.downlink._received, "request", self.requests)
        for server in servers:
            note(server.uplink._received, "deliver", self.delivers)

    def sends(self, numbers, user=0, **fields):
        return [
            Packet(send=Send(user=user or self.bob.id, text=f"text {n}", client_id=str(n), **fields)) for n in numbers
        ]

    def outcomes(self, client=None):
        """Take what became of Sends, in the order of hearing."""
        return [
            packet.accepted.client_id
            if packet.HasField("accepted")
            else (packet.failure.client_id, packet.failure.code)
            for packet in (client or self.phone).packets()
            if packet.HasField("accepted") or packet.HasField("failure")
        ]

    def texts(self, client=None):
        return [text.removeprefix("text ") for text in (client or self.desk).texts()]

    def stored(self):
        return [text.removeprefix("text ") for text in self.page(self.log_in(self.alice, "reader"), limit=500)[0]]


class RunTests(RunCase):
    def test_what_is_sent_at_once_goes_together(self):
        self.phone.say(*self.sends("x"))  # what is cached of its receiver decides whether it waits for a look-up
        self.turn()
        self.outcomes(), self.texts(), self.requests.clear()
        numbers = [str(n) for n in range(10)]
        self.phone.say(*self.sends(numbers))
        self.turn()
        self.assertEqual(self.requests, [10])
        self.assertEqual({n for n in self.delivers if n > 1}, {10})
        self.assertEqual((self.outcomes(), self.texts()), (numbers, numbers))
        self.assertEqual(self.stored(), ["x", *numbers])

    def test_each_deliver_names_the_one_before(self):
        self.phone.say(*self.sends("0123"))
        self.turn()
        delivers = self.desk.take("deliver")
        self.assertEqual([one.previous for one in delivers], ["", *[one.position for one in delivers[:-1]]])
        accepted = self.phone.take("accepted")
        self.assertEqual([one.position for one in accepted], [one.position for one in delivers])
        self.assertEqual([one.previous for one in accepted], [one.previous for one in delivers])

    def test_what_is_sent_elsewhere_or_is_no_send_parts_runs(self):
        self.phone.say(*self.sends("01"), *self.sends("23", self.carol.id), *self.sends("4"), Packet(ping=Ping()))
        self.phone.say(*self.sends("56"))
        self.turn()
        self.assertEqual(self.requests, [2, 2, 1, 2])
        self.assertEqual(sorted(self.outcomes()), list("0123456"))
        self.assertEqual(self.texts(), list("01456"))

    def test_one_that_is_refused_is_refused_alone(self):
        """Those behind it name it, which is not stored: they go up again."""
        bad = self.sends("x", ref="1-1")
        self.phone.say(*self.sends("01"), *bad, *self.sends("23"))
        self.turn()
        self.assertEqual(sorted(self.outcomes(), key=str), [("x", "invalid"), *"0123"])
        self.assertEqual((self.texts(), self.stored()), (list("0123"), list("0123")))

    def test_one_that_says_something_else_by_the_same_id_is_refused_alone(self):
        self.phone.say(*self.sends("01"))
        self.turn()
        self.outcomes()
        self.phone.say(*self.sends("2"), *self.sends("1", kind=REACTION, ref="1-1"), *self.sends("3"))
        self.turn()
        self.assertEqual(sorted(self.outcomes(), key=str), [("1", "conflict"), "2", "3"])
        self.assertEqual(self.stored(), list("0123"))

    def test_repetitions_are_answered_and_stored_once(self):
        self.phone.say(*self.sends("012"))
        self.turn()
        first = self.phone.take("accepted")
        self.phone.say(*self.sends("012345"))
        self.turn()
        again = self.phone.take("accepted")
        self.assertEqual([one.client_id for one in again], list("012345"))
        self.assertEqual([one.position for one in again[:3]], [one.position for one in first])
        self.assertEqual(self.stored(), list("012345"))

    def test_the_same_id_twice_at_once(self):
        self.phone.say(*self.sends("00112"))
        self.turn()
        self.assertEqual(set(self.outcomes()), set("012"))
        self.assertEqual(self.stored(), list("012"))

    def test_large_ones_go_alone(self):
        self.phone.say(*self.sends("01"), Packet(send=Send(user=self.bob.id, text="x" * 5000, client_id="big")))
        self.phone.say(*self.sends("2"))
        self.turn()
        self.assertEqual(self.requests, [2, 1, 1])
        self.assertEqual(self.outcomes(), ["0", "1", "big", "2"])

    def test_what_came_before_a_goodbye_or_nonsense_is_stored(self):
        tablet = self.log_in(self.alice, "tablet")
        self.phone.say(*self.sends("01"), Packet(goodbye=Goodbye()))
        data = b"".join(encode_frame(packet.SerializeToString()) for packet in self.sends("23"))
        tablet.connection.dataReceived(data + encode_frame(b"\xff\xff\xff"))
        self.turn()
        self.assertTrue(self.phone.closed and tablet.closed)
        self.assertEqual(sorted(self.stored()), list("0123"))

    def test_what_came_before_a_close_of_a_websocket_is_stored(self):
        page = self.log_in(self.alice, "page", subprotocol="cim.v1.json")
        data = b"".join(map(page._encode, self.sends("01")))
        page.connection.dataReceived(data + masked_frame(Opcode.CLOSE, b"", b"mask"))
        self.turn()
        self.assertEqual(self.stored(), list("01"))

    def test_a_session_that_is_lost_while_it_sends(self):
        self.phone.say(*self.sends("01"))
        self.phone.drop()
        self.turn()
        self.assertEqual(self.stored(), list("01"))

    def test_other_devices_and_guests_and_websockets_get_all_in_order(self):
        tablet = self.log_in(self.alice, "tablet")
        page = self.log_in(self.bob, "page", subprotocol="cim.v1.json")
        guest = self.cluster.log_in(self.carol)
        numbers = [str(n) for n in range(6)]
        self.phone.say(*self.sends(numbers))
        self.phone.say(*self.sends("abc", self.carol.id))
        self.turn()
        for client in (tablet, page, self.desk):
            self.assertEqual([text for text in self.texts(client) if text in numbers], numbers)
        self.assertEqual([text[-1] for text in guest.texts()], list("abc"))
        self.assertEqual(self.phone.take("deliver"), [])

    def test_more_than_a_session_may_have_unanswered(self):
        numbers = [str(n) for n in range(200)]
        self.phone.say(*self.sends(numbers))
        self.turn()
        self.assertEqual((self.outcomes(), self.texts()), (numbers, numbers))
        self.assertTrue(self.phone.read_from)
        self.assertEqual(max(self.requests), RUN)

    def test_no_route_is_there(self):
        for route in list(self.cluster.routes):
            self.cluster.kill_route(route)
        self.turn()
        self.phone.say(*self.sends([str(n) for n in range(100)]))
        self.turn()
        outcomes = self.outcomes()
        self.assertEqual([client_id for client_id, _ in outcomes], [str(n) for n in range(100)])
        self.assertEqual({code for _, code in outcomes}, {"unavailable"})
        self.assertTrue(self.phone.read_from)
        self.assertEqual(self.phone.connection.session.unanswered, 0)


class OldLinkTests(RunCase):
    """Ends of earlier releases are sent one at a time what they always were."""

    def setUp(self):
        super().setUp()
        self.cluster.link_version = lambda: 2
        for server in self.cluster.servers:
            for route in self.cluster.routes:
                self.cluster.cut(server, route)
                self.cluster.link(server, route)
        self.turn()
        self.phone.packets(), self.desk.packets()

    def test_one_at_a_time(self):
        numbers = [str(n) for n in range(10)]
        self.phone.say(*self.sends(numbers))
        self.turn()
        self.assertEqual(self.requests, [1] * 10)
        self.assertEqual(set(self.delivers), {1})
        self.assertEqual((self.outcomes(), self.texts()), (numbers, numbers))

    def test_a_server_of_an_earlier_release_among_others(self):
        """What one route got together it pushes to that server one at a time."""
        self.cluster.link_version = lambda: 3
        server = next(s for s in self.cluster.servers if self.phone.connection in s.gateway.connections)
        for route in self.cluster.routes:
            self.cluster.cut(server, route)
            self.cluster.link(server, route)
        self.turn()
        self.phone.packets(), self.desk.packets()
        numbers = [str(n) for n in range(10)]
        self.phone.say(*self.sends(numbers))
        self.turn()
        self.assertEqual(self.requests, [10])
        self.assertEqual((self.outcomes(), self.texts()), (numbers, numbers))


class LimitedRunTests(RunCase):
    message_limits = {"user-messages": Limit(2, 5)}

    def test_what_the_limit_allows_is_stored(self):
        self.phone.say(*self.sends("0"))  # whose look-up the others do not wait for
        self.turn()
        self.phone.say(*self.sends([str(n) for n in range(1, 8)]))
        self.turn()
        self.assertEqual(
            sorted(self.outcomes(), key=str),
            [*[(str(n), "rate-limited") for n in range(5, 8)], *[str(n) for n in range(5)]],
        )
        self.assertEqual(self.stored(), list("01234"))


class JudgedRunTests(RunCase):
    def setUp(self):
        self.message_policy = PolicyDouble(at_once=True)
        super().setUp()

    def test_each_is_judged(self):
        self.message_policy.answers["text 2"] = Verdict("no")
        self.phone.say(*self.sends("0"))  # whose look-up the others do not wait for
        self.turn()
        self.phone.say(*self.sends("1234"))
        self.turn()
        self.assertEqual(sorted(self.outcomes(), key=str), [("2", "refused"), *"0134"])
        self.assertEqual(self.stored(), list("0134"))


class GroupRunTests(GroupCase, RunCase):
    """Bob may read from when he joined, Carol everything."""

    def setUp(self):
        super().setUp()
        self.group = self.create(history=False)
        self.fill()
        self.join(self.carol)
        self.join(self.bob, route=1)
        self.turn()
        for client in (self.phone, self.desk, self.pad):
            client.packets()
        self.delivers.clear()

    def fill(self):
        """Have more members, if need be."""

    def say_all(self, numbers):
        self.phone.say(*[Packet(send=Send(group=self.group, text=f"text {n}", client_id=n)) for n in numbers])
        self.turn()

    def test_members_get_all_in_order(self):
        self.say_all("0123")
        self.assertEqual(self.outcomes(), list("0123"))
        for client in (self.desk, self.pad):
            self.assertEqual(self.texts(client), list("0123"))
        self.assertEqual({n for n in self.delivers if n > 1}, {4})


class LargeGroupRunTests(GroupRunTests):
    """A group that servers, not routes, know the members of."""

    def fill(self):
        for number in range(BY_USER):
            self.join(self.cluster.account(f"member {number}"))
