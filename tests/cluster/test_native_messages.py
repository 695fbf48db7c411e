"""Native clients talk to each other through servers, routes and the store."""

from __future__ import annotations

from cim.wire.cim_pb2 import Packet, Send
from cim.wire.websocket_frames import JSON, PROTOBUF
from tests.cluster.native_case import NativeCase


class SendTests(NativeCase):
    def test_send_accepted_deliver_received(self):
        for number, subprotocol in enumerate(("", PROTOBUF, JSON)):
            alice, bob = (self.log_in(who, subprotocol=subprotocol) for who in (self.alice, self.bob))
            text = f"hello 你好 {number}"
            alice.send(self.bob.id, text, f"id {number}", data=b"\x00\xff", content_type="image/png")
            accepted, deliver = self.answer(alice), self.answer(bob)
            self.assertEqual(
                (accepted.client_id, accepted.conversation, accepted.sent_at),
                (f"id {number}", self.conversation, int(self.cluster.clock.seconds() * 1000)),
            )
            self.assertEqual(
                (deliver.sender, deliver.sender_name, deliver.text, deliver.data, deliver.content_type, deliver.group),
                (self.alice.id, "alice", text, b"\x00\xff", "image/png", 0),
            )
            for field in ("client_id", "conversation", "position", "previous", "sent_at"):
                self.assertEqual(getattr(deliver, field), getattr(accepted, field), field)
            bob.received(self.conversation, deliver.position)
            self.cluster.pass_seconds(1)
            self.assertEqual(bob.packets() + alice.packets(), [])
            bob = self.log_in(self.bob)
            self.assertEqual([head.received for head in bob.welcome.heads], [deliver.position])

    def test_on_the_same_server_on_two_and_through_either_route(self):
        # Three sessions on two servers, and conversations on both routes.
        clients = [self.log_in(who) for who in (self.alice, self.bob, self.carol)]
        accounts = (self.alice, self.bob, self.carol)
        self.assertEqual({len(server.sessions) for server in self.cluster.servers}, {1, 2})
        for sender, one in zip(accounts, clients, strict=True):
            for receiver, other in zip(accounts, clients, strict=True):
                if one is not other:
                    one.send(receiver.id, f"to {receiver.name}", f"{receiver.id}")
                    self.accepted(one)
                    deliver = self.answer(other)
                    self.assertEqual((deliver.sender, deliver.text), (sender.id, f"to {receiver.name}"))

    def test_the_sender_s_other_sessions_get_it_and_the_one_that_sent_it_does_not(self):
        phone, tablet, watch = (self.log_in(self.alice, device) for device in ("phone", "tablet", "watch"))
        self.log_in(self.bob)
        phone.send(self.bob.id, "hello", "1")
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in phone.packets()], ["accepted"])
        for other in (tablet, watch):
            self.assertEqual(other.texts(), ["hello"])

    def test_sessions_of_the_same_number_on_another_server_are_others(self):
        """Session numbers are unique only within a server."""
        phone, tablet = self.log_in(self.alice), self.log_in(self.alice, "tablet")
        self.assertEqual(phone.welcome.session, tablet.welcome.session)
        phone.send(self.bob.id, "hello", "1")
        self.turn()
        self.assertEqual(tablet.texts(), ["hello"])

    def test_previous_links_the_messages(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        for number in range(20):
            alice.send(self.bob.id, str(number), str(number))
            if number % 3 == 0:
                bob.send(self.alice.id, f"b{number}", f"b{number}")
        self.turn()
        delivers = {packet.position: packet for client in (alice, bob) for packet in client.take("deliver")}
        self.assertEqual(len(delivers), 27)
        previous = ""
        for position in sorted(delivers, key=lambda text: [int(part) for part in text.split("-")]):
            self.assertEqual(delivers[position].previous, previous)
            previous = position

    def test_many_at_once_keep_their_order(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        sends = [Packet(send=Send(user=self.bob.id, text=str(n), client_id=str(n))) for n in range(300)]
        for at in range(0, 300, 60):
            alice.say(*sends[at : at + 60])
            self.turn()
        self.assertEqual([packet.accepted.client_id for packet in alice.packets()], [str(n) for n in range(300)])
        self.assertEqual(bob.texts(), [str(n) for n in range(300)])


class RepeatTests(NativeCase):
    def test_a_hundred_times_over_two_connections_and_two_routes_is_one_message(self):
        phone, tablet, bob = self.log_in(self.alice), self.log_in(self.alice, "tablet"), self.log_in(self.bob)
        for number in range(50):
            for client in (phone, tablet):
                client.send(self.bob.id, "once", "the same")
            if number == 25:
                # Whichever route had the conversation, now it is the other's.
                (chosen,) = {server.submissions.link_of(self.conversation).peer.name for server in self.cluster.servers}
                for server in self.cluster.servers:
                    route = next(route for route in self.cluster.routes if str(route.address) == chosen)
                    self.cluster.cut(server, route)
            if number % 10 == 0:
                self.turn()
        self.turn()
        accepted = [
            packet.accepted for client in (phone, tablet) for packet in client.packets() if packet.accepted.position
        ]
        self.assertEqual(len(accepted), 100)
        self.assertEqual(len({one.position for one in accepted}), 1)
        self.assertEqual({packet.position for packet in bob.take("deliver")}, {accepted[0].position})
        texts, _ = self.page(bob)
        self.assertEqual(texts, ["once"])

    def test_other_content_is_a_conflict(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        alice.send(self.bob.id, "one", "1")
        self.accepted(alice)
        alice.send(self.bob.id, "two", "1")
        (packet,) = (self.turn(), alice.packets())[1]
        self.assertEqual(
            (packet.failure.code, packet.failure.client_id, packet.failure.conversation),
            ("conflict", "1", self.conversation),
        )
        # It is final, so it does not hold back what follows.
        alice.send(self.bob.id, "three", "3")
        self.accepted(alice)
        self.assertEqual(bob.texts(), ["one", "three"])

    def test_the_same_client_id_of_others_and_elsewhere_is_another_message(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        alice.send(self.bob.id, "one", "1")
        alice.send(self.carol.id, "two", "1")
        bob.send(self.alice.id, "three", "1")
        self.turn()
        self.assertEqual(bob.texts(), ["one"])
        self.assertEqual([deliver.text for deliver in alice.take("deliver")], ["three"])
        self.assertEqual(len(alice.take("accepted")), 2)


class ToWhomTests(NativeCase):
    def test_nobody_writes_to_themselves_to_nobody_or_to_a_missing_group(self):
        alice = self.log_in(self.alice)
        for to, code in (
            ({"user": self.alice.id}, "invalid"),
            ({"user": 0}, "invalid"),
            ({"user": -1}, "invalid"),
            ({"user": 1 << 53}, "invalid"),
            ({"user": self.carol.id + 1000}, "not-found"),
            ({}, "invalid"),
            ({"group": 77}, "not-found"),
            ({"group": -1}, "invalid"),
            ({"group": 1 << 60}, "invalid"),
        ):
            alice.say(Packet(send=Send(text="x", client_id="1", **to)))
            self.turn()
            (packet,) = alice.packets()
            self.assertEqual((packet.failure.code, packet.failure.client_id), (code, "1"), to)
        self.assertFalse(alice.closed)

    def test_a_group_that_the_sender_is_not_in(self):
        alice = self.log_in(self.alice)
        group = self.cluster.result(
            self.cluster.routes[0].grouping.create(self.bob.id, "theirs", open=True, history=True)
        )
        alice.send_group(group, "let me in", "1")
        self.assertEqual(self.failure(alice), "forbidden")

    def test_invalid_fields(self):
        alice = self.log_in(self.alice)
        for fields, code in (
            ({"text": "x", "client_id": ""}, "invalid"),
            ({"text": "x", "client_id": "x" * 65}, "invalid"),
            ({"text": "", "client_id": "1"}, "invalid"),
            ({"text": "x", "client_id": "1", "kind": 9}, "invalid"),
            ({"text": "x", "client_id": "1", "ref": "1-1"}, "invalid"),
            ({"text": "x", "client_id": "1", "content_type": "x\n"}, "invalid"),
            ({"text": "x" * 49_000, "client_id": "1", "data": b"x" * 200}, "too-large"),
        ):
            alice.say(Packet(send=Send(user=self.bob.id, **fields)))
            self.assertEqual(self.failure(alice), code, fields)
        self.assertEqual(self.page(alice)[0], [])

    def test_the_server_sets_the_sender(self):
        """A Packet has no field for a sender; a guest's field in it ends the connection."""
        alice = self.log_in(self.alice)
        packet = Packet(send=Send(user=self.bob.id, text="x", client_id="1"), user_id=self.carol.id)
        alice.say(packet)
        self.assertEqual(self.goodbye(alice), "protocol-error")

    def test_to_everyone(self):
        alice, bob, carol = (self.log_in(who) for who in (self.alice, self.bob, self.carol))
        alice.send_group(0, "hello all", "1")
        self.assertEqual(self.accepted(alice).conversation, "g:0")
        for other in (bob, carol):
            self.assertEqual(self.answer(other).text, "hello all")
        self.assertEqual(self.page(carol, "g:0")[0], ["hello all"])
        # It is in nobody's Welcome.
        self.assertEqual(list(self.log_in(self.bob).welcome.heads), [])
