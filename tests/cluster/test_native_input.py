"""Input that no well-behaved client sends: each kind is refused, and nobody else notices."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.events import TextMessage

from cim.server import service
from cim.server.edge.connection import Limits
from cim.wire.cim_pb2 import Hello, Packet, Pong, Send
from cim.wire.framing import encode_frame
from cim.wire.websocket_frames import JSON, PROTOBUF
from tests.cluster.native_case import NativeCase


class InputCase(NativeCase):
    servers = 1
    routes = 1

    def setUp(self):
        super().setUp()
        self.desk = self.log_in(self.bob)

    def assert_well(self):
        """Assert that two users who did nothing wrong can still talk."""
        carol = self.log_in(self.carol)
        carol.send(self.bob.id, "well?", carol.welcome.session)
        self.assertEqual(self.answer(self.desk).text, "well?")
        carol.drop()
        self.turn()

    def say_json(self, client, text):
        """Send a text as a message of a WebSocket."""
        client.connection.dataReceived(client._websocket.send(TextMessage(data=text)))

    def assert_ended(self, data, code="protocol-error"):
        """Assert that these bytes end a session."""
        phone = self.log_in(self.alice)
        phone.connection.dataReceived(data)
        self.assertEqual(self.goodbye(phone), code)
        phone.drop()
        self.turn()


class BinaryTests(InputCase):
    def test_bytes_that_are_not_a_packet(self):
        for body in (
            b"",
            b"\x00",
            b"\xff" * 50,
            b"\x92\x01\x05\x08",  # a Send that is cut off
            b"\x92\x01\x02\x1a\xff",
            Packet(text="x", send=Send(user=7)).SerializeToString(),
            Packet(welcome={}).SerializeToString(),
            Packet(deliver={"text": "forged", "sender": 7}).SerializeToString(),
            b"\xfa\x7f\x00",  # an unknown field
        ):
            self.assert_ended(encode_frame(body))
        self.assert_well()

    def test_a_frame_that_is_too_long(self):
        self.assert_ended(b"\x81\x80\x04")
        self.assert_ended(b"\xff\xff\xff\xff\xff\xff")
        self.assert_well()

    def test_five_thousand_properties(self):
        packet = Packet(send=Send(user=self.bob.id, text="x", client_id="1"))
        for number in range(5000):
            packet.properties[f"{number}"] = "x"
        body = packet.SerializeToString()
        self.assertLess(len(body), 65536)
        self.assert_ended(encode_frame(body))
        # Behind the body, where the first byte does not reveal them.
        properties = Packet(properties=packet.properties).SerializeToString()
        send = Packet(send=Send(user=self.bob.id, text="x", client_id="1")).SerializeToString()
        self.assert_ended(encode_frame(send + properties))
        self.assert_well()

    def test_text_with_nul_arrives_as_it_is(self):
        phone = self.log_in(self.alice)
        for number, text in enumerate(("\x00", "a\x00b", "\ufeff\u202e\U0010ffff", "\r\n\t", "\ue000")):
            phone.send(self.bob.id, text, f"{number}\x00")
            self.accepted(phone)
            deliver = self.answer(self.desk)
            self.assertEqual((deliver.text, deliver.client_id), (text, f"{number}\x00"))

    def test_lone_surrogates(self):
        send = Packet(send=Send(user=self.bob.id, text="xyz", client_id="1")).SerializeToString()
        self.assertIn(b"xyz", send)
        self.assert_ended(encode_frame(send.replace(b"xyz", "\ud800".encode("utf-8", "surrogatepass"))))
        self.assert_ended(encode_frame(send.replace(b"xyz", b"\xff\xfe\xfd")))
        self.assert_well()

    def test_the_largest_message_arrives_everywhere_and_one_larger_does_not(self):
        phones = [self.log_in(self.alice, f"{n}", subprotocol=sub) for n, sub in enumerate(("", PROTOBUF, JSON))]
        desks = [self.log_in(self.bob, f"{n}", subprotocol=sub) for n, sub in enumerate(("", PROTOBUF, JSON))]
        for number, phone in enumerate(phones):
            text = "字" * (48 * 1024 // 3)
            phone.send(self.bob.id, text, f"{number}")
            self.accepted(phone)
            for client in (*desks, self.desk):
                self.assertEqual(client.texts(), [text])
            for other in phones:
                other.packets()
            phone.send(self.bob.id, text + "x", f"{number} x")
            self.assertEqual(self.failure(phone), "too-large")

    def test_a_message_that_is_long_in_json_alone(self):
        """Its Packet counts, not how a client writes it."""
        phone = self.log_in(self.alice, subprotocol=JSON)
        forms = ('"', '\\"'), ("\n", "\\n"), ("x", "\\u0078"), ("\x01", "\\u0001")
        for number, (character, written) in enumerate(forms):
            text = json.dumps({"send": {"user": str(self.bob.id), "clientId": f"{number}", "text": "@"}})
            self.say_json(phone, text.replace("@", written * 48 * 1024))
            self.accepted(phone)
            self.turn()
            self.assertEqual(self.desk.texts(), [character * 48 * 1024])

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_after_the_hello(self, data):
        admission, ticket = self.cluster.admit(self.alice)
        client = self.cluster.open_native(admission.place.server)
        hello = encode_frame(Packet(hello=Hello(ticket=ticket)).SerializeToString())
        client.connection.dataReceived(hello + data)
        self.turn()
        client.packets()
        client.drop()
        self.turn()
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from([field.name for field in Packet.DESCRIPTOR.oneofs_by_name["body"].fields]),
        st.binary(max_size=60),
    )
    def test_any_bytes_in_any_body(self, name, data):
        number = Packet.DESCRIPTOR.fields_by_name[name].number
        body = bytes(((number << 3 | 2) & 0x7F | 0x80, number >> 4, len(data))) + data
        client = self.log_in(self.alice)
        client.connection.dataReceived(encode_frame(body))
        self.turn()
        client.packets()
        client.drop()
        self.turn()
        self.assertEqual(self.flushLoggedErrors(), [])


class JSONTests(InputCase):
    def end(self, text):
        """Return the code of the Goodbye that answers a text."""
        client = self.log_in(self.alice, subprotocol=JSON)
        self.say_json(client, text)
        self.turn()
        came = client.packets()
        client.drop()
        self.turn()
        return came[-1].goodbye.code if came else ""

    def test_texts_that_are_not_packets(self):
        for text in (
            "",
            "x",
            "[]",
            "1",
            "null",
            "{}",
            "{" * 10_000,
            "[" * 60_000,
            '{"send":' * 6_000 + "{}" + "}" * 6_000,
            '{"send":{"user":NaN}}',
            '{"send":{"user":Infinity}}',
            '{"send":{"user":1e400}}',
            '{"send":{"user":1.5}}',
            '{"send":{"user":"0x7"}}',
            '{"send":{"user":99999999999999999999999}}',
            '{"send":{"user":' + "9" * 5000 + "}}",
            '{"send":{"text":"\\ud800"}}',
            '{"send":{"data":"***"}}',
            '{"send":{"unknown":1}}',
            '{"send":{},"ping":{}}',
            '{"ping":{},"ping":{}}',
            '{"text":"a guest\'s"}',
            '{"deliver":{"text":"forged"}}',
            '{"watch":{"users":{}}}',
        ):
            self.assertEqual(self.end(text), "protocol-error", text[:60])
        self.assert_well()

    def test_a_text_that_is_too_long(self):
        self.assertEqual(self.end('{"send":{"text":"' + "x" * 1_000_000 + '"}}'), "protocol-error")
        self.assert_well()

    def test_a_million_user_ids(self):
        self.assertEqual(self.end('{"watch":{"users":[' + "1," * 30_000 + "1]}}"), "")


class LimitTests(InputCase):
    """A frame limit that the operator has raised."""

    limits = Limits(max_frame=4 << 20)

    def test_a_hundred_thousand_properties(self):
        packet = Packet(send=Send(user=self.bob.id, text="x", client_id="1"))
        for number in range(100_000):
            packet.properties[f"{number}"] = "x"
        self.assert_ended(encode_frame(packet.SerializeToString()))
        self.assert_well()

    def test_a_message_is_still_bounded(self):
        phone = self.log_in(self.alice)
        phone.send(self.bob.id, "x" * 1_000_000, "1")
        self.assertEqual(self.failure(phone), "too-large")
        phone.sync("p:" * 500_000)
        self.assertEqual(self.failure(phone), "invalid")
        self.assert_well()


class LowLimitTests(InputCase):
    """A frame limit that the operator has lowered."""

    limits = Limits(max_frame=16384)

    def test_it_is_told_and_in_json_a_message_over_it_fails_alone(self):
        phone = self.log_in(self.alice, subprotocol=JSON)
        self.assertEqual(phone.welcome.max_packet, 16384)
        phone.send(self.bob.id, "x" * 16384, "1")
        self.assertEqual(self.failure(phone), "too-large")
        phone.send(self.bob.id, "x" * 16000, "2")
        self.accepted(phone)
        self.assertFalse(phone.closed)


class SilenceTests(NativeCase):
    def test_a_silent_client_is_asked_before_it_is_ended(self):
        client = self.log_in(self.alice)
        self.cluster.pass_seconds(21)
        self.assertEqual(client.packets(), [])
        self.cluster.pass_seconds(12)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["ping"])
        self.cluster.pass_seconds(1)
        self.assertEqual(self.goodbye(client), "idle")

    def test_who_answers_stays(self):
        client = self.log_in(self.alice)
        for _ in range(5):
            self.cluster.pass_seconds(22)
            self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["ping"])
            client.say(Packet(pong=Pong()))
        self.cluster.pass_seconds(20)
        self.assertFalse(client.closed)


class DrainTests(NativeCase):
    def test_everybody_is_told_when_to_come_back_and_not_all_at_once(self):
        numbers = iter([0.0, 0.25, 0.5, 0.75, 0.999] * 10)
        server = self.cluster.servers[0]
        server._random = lambda: next(numbers)
        self.patch(service, "COME_BACK_RATE", 2)
        clients = [
            self.log_in(who, f"{n}", subprotocol=("", PROTOBUF, JSON)[n % 3])
            for who in (self.alice, self.bob)
            for n in range(10)
        ]
        here = [client for client in clients if client.connection in server.gateway.connections]
        self.assertEqual(len(here), 10)
        drained = server.gateway.drain()
        told = []
        for client in here:
            (packet,) = client.packets()
            self.assertEqual(packet.goodbye.code, "draining")
            told.append(packet.goodbye.retry_after_seconds)
        self.assertEqual((min(told), max(told)), (0, 4))
        self.assertGreater(len(set(told)), 3)
        self.turn()
        for route in self.cluster.routes:
            self.assertEqual(sum(len(self.cluster.where(who.id, route)) for who in (self.alice, self.bob)), 10)
        for client in here:
            client.drop()
        self.successResultOf(drained)
        self.assertFalse(any(client.closed for client in clients if client not in here))

    def test_a_session_that_is_opening_is_told_too(self):
        admission, ticket = self.cluster.admit(self.alice)
        client = self.cluster.open_native(admission.place.server)
        client.hello(ticket)
        server = next(s for s in self.cluster.servers if s.own.place == admission.place)
        server.gateway.drain()
        self.assertEqual(self.goodbye(client), "draining")
        self.turn()
        self.assertEqual(self.successResultOf(self.cluster.store.sessions.sessions(self.alice.id)), [])

    def test_earlier_answers_arrive_first(self):
        alice, bob = self.log_in(self.alice), self.log_in(self.bob)
        alice.send(self.bob.id, "the last word", "1")
        self.turn()
        for server in self.cluster.servers:
            server.gateway.drain()
        self.assertEqual([packet.WhichOneof("body") for packet in alice.packets()], ["accepted", "goodbye"])
        self.assertEqual([packet.WhichOneof("body") for packet in bob.packets()], ["deliver", "goodbye"])
