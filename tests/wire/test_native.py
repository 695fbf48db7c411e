"""Packets of the native generation: what is checked, stored, pushed and answered."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim import errors as ecim
from cim.model import ID_LIMIT
from cim.wire import native
from cim.wire.cim_pb2 import (
    EDIT,
    OFFLINE,
    REACTION,
    RECALL,
    Deliver,
    Hello,
    Packet,
    Ping,
    Pong,
    Read,
    Received,
    Send,
    Sync,
    Synced,
    Typing,
    Watch,
)

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def send(**fields):
    return Send(**{"user": 2, "client_id": "c-1", "text": "hello", **fields})


class ClientPacketTests(SynchronousTestCase):
    def test_any_body_is_read(self):
        for field in Packet.DESCRIPTOR.oneofs_by_name["body"].fields:
            packet = Packet()
            getattr(packet, field.name).SetInParent()
            self.assertEqual(native.parse_client_packet(packet.SerializeToString()), packet)

    def test_guests_fields_are_refused(self):
        for fields in (
            {"text": "a"},
            {"user_id": 1},
            {"command": OFFLINE},
            {"properties": {"a": "b"}},
            {"batch": ["a"]},
        ):
            before = Packet(ping=Ping(), **fields).SerializeToString()
            after = native.PING + Packet(**fields).SerializeToString()
            for body in (before, after):
                self.assertRaises(ecim.BadFrame, native.parse_client_packet, body)

    def test_five_thousand_properties(self):
        body = native.PING + Packet(properties={str(n): "" for n in range(5000)}).SerializeToString()
        self.assertRaises(ecim.BadFrame, native.parse_client_packet, body)

    def test_no_body_or_an_unknown_one(self):
        for body in (b"", b"\xc2\x02\x00", b"\xfa\xff\xff\xff\x0f\x00"):
            self.assertRaises(ecim.BadFrame, native.parse_client_packet, body)

    @given(st.binary(max_size=60))
    def test_garbage(self, body):
        for garbage in (body, b"\x92\x01" + body, native.PING + body):
            try:
                native.parse_client_packet(garbage)
            except ecim.BadFrame:
                pass

    def test_text_that_is_not_utf8(self):
        self.assertRaises(ecim.BadFrame, native.parse_client_packet, b"\x92\x01\x04\x22\x02\xff\xfe")

    def test_pings(self):
        self.assertEqual(Packet.FromString(native.PING), Packet(ping=Ping()))
        self.assertEqual(Packet.FromString(native.PONG), Packet(pong=Pong()))


class ConversationOfTests(SynchronousTestCase):
    def test_packets_that_concern_a_conversation(self):
        for packet, name in (
            (Packet(send=Send(user=7)), "p:5:7"),
            (Packet(send=Send(user=3)), "p:3:5"),
            (Packet(send=Send(group=9)), "g:9"),
            (Packet(send=Send(group=0)), "g:0"),
            (Packet(typing=Typing(user=7)), "p:5:7"),
            (Packet(typing=Typing(group=9)), "g:9"),
            (Packet(received=Received(conversation="p:5:7")), "p:5:7"),
            (Packet(read=Read(conversation="g:9")), "g:9"),
            (Packet(sync=Sync(conversation="g:9")), "g:9"),
            (Packet(sync=Sync(after="more")), ""),
            (Packet(watch=Watch(users=[1])), ""),
            (Packet(hello=Hello()), ""),
        ):
            self.assertEqual(native.conversation_of(packet, 5), name)

    def test_invalid_conversations(self):
        for packet in (
            Packet(send=Send()),
            Packet(send=Send(user=0)),
            Packet(send=Send(user=5)),
            Packet(send=Send(user=-1)),
            Packet(send=Send(user=ID_LIMIT)),
            Packet(send=Send(group=-1)),
            Packet(typing=Typing()),
            Packet(typing=Typing(user=5)),
            Packet(received=Received()),
            Packet(received=Received(conversation="p:7:5")),
            Packet(read=Read(conversation="x")),
            Packet(sync=Sync(conversation="g:01")),
        ):
            self.assertRaises(ecim.InvalidField, native.conversation_of, packet, 5)


class CheckSendTests(SynchronousTestCase):
    def refused(self, field, **fields):
        error = self.assertRaises(ecim.InvalidField, native.check_send, send(**fields))
        self.assertEqual(error.field, field)

    def test_allowed(self):
        for fields in (
            {},
            {"group": 0},
            {"user": ID_LIMIT - 1},
            {"client_id": "x" * 64},
            {"text": "\0 and \u202e and 😀"},
            {"text": "", "data": b"\0", "content_type": "image/png; q=1"},
            {"text": "x" * native.MAX_CONTENT},
            {"kind": EDIT, "ref": "1-1"},
            {"kind": RECALL, "ref": "1-1", "text": ""},
            {"kind": REACTION, "ref": "1-1", "text": "👍🏽"},
            {"kind": REACTION, "ref": "1-1", "text": "👨\u200d👩\u200d👧 ❤\ufe0f oh no"},
            {"kind": REACTION, "ref": "1-1", "text": ""},
        ):
            native.check_send(send(**fields))

    def test_receiver(self):
        error = self.assertRaises(ecim.InvalidField, native.check_send, Send(client_id="a", text="b"))
        self.assertEqual(error.field, "to")
        for user in (0, -1, ID_LIMIT):
            self.refused("user", user=user)
        for group in (-1, ID_LIMIT):
            self.refused("group", group=group)

    def test_client_id(self):
        for client_id in ("", "x" * 65, "é" * 33):
            self.refused("client_id", client_id=client_id)

    def test_size(self):
        half = native.MAX_CONTENT // 2
        native.check_send(send(text="x" * half, data=b"x" * half))
        for fields in (
            {"text": "x" * half, "data": b"x" * (half + 1)},
            {"text": "你" * (native.MAX_CONTENT // 3 + 1)},
            {"data": b"x" * (1 << 20)},
        ):
            self.assertRaises(ecim.TooLarge, native.check_send, send(**fields))
        self.assertRaises(ecim.TooLarge, native.check_send, send(text="12345"), 4)

    def test_content_type(self):
        for content_type in ("x" * 129, "é", "a\nb", "a\0"):
            self.refused("content_type", content_type=content_type)

    def test_kind(self):
        for kind in (4, -1, 1 << 30):
            self.refused("kind", kind=kind)

    def test_ref(self):
        self.refused("ref", ref="1-1")
        for kind in (RECALL, EDIT, REACTION):
            for ref in ("", "1", "01-1", "x"):
                self.refused("ref", kind=kind, ref=ref, text="" if kind == RECALL else "a")

    def test_content_is_required(self):
        self.refused("text", text="")
        self.refused("text", text="", kind=EDIT, ref="1-1")
        self.refused("text", text="a", kind=RECALL, ref="1-1")
        self.refused("text", text="", data=b"a", kind=RECALL, ref="1-1")
        self.refused("text", text="", content_type="a", kind=RECALL, ref="1-1")
        self.refused("text", text="x" * 65, kind=REACTION, ref="1-1")
        self.refused("text", data=b"a", kind=REACTION, ref="1-1")
        for ends in "\n\r\x1b\0\x85\u2028\u2029":
            self.refused("text", text=f"ok{ends}bob: yes", kind=REACTION, ref="1-1")


class DigestTests(SynchronousTestCase):
    def test_the_digest_depends_on_what_is_said(self):
        said = send(data=b"d", content_type="t", kind=EDIT, ref="1-1")
        self.assertEqual(len(native.digest(said)), 16)
        same = send(data=b"d", content_type="t", kind=EDIT, ref="1-1", client_id="other")
        self.assertEqual(native.digest(said), native.digest(same))
        digests = {native.digest(said)}
        for change in ({"text": "x"}, {"data": b"x"}, {"content_type": "x"}, {"kind": REACTION}, {"ref": "1-2"}):
            fields = {"data": b"d", "content_type": "t", "kind": EDIT, "ref": "1-1", **change}
            digests.add(native.digest(send(**fields)))
        self.assertEqual(len(digests), 6)

    def test_fields_do_not_run_together(self):
        self.assertNotEqual(native.digest(send(text="ab", data=b"c")), native.digest(send(text="a", data=b"bc")))
        self.assertNotEqual(native.digest(send(text="", data=b"a")), native.digest(send(text="a", data=b"")))


class BodyTests(SynchronousTestCase):
    @given(TEXTS, TEXTS, st.binary(max_size=200), st.integers(1, 1 << 40))
    def test_delivered_as_sent(self, text, name, data, sent_at):
        said = send(text=text, data=data, content_type="t", kind=EDIT, ref="1-1")
        body = native.body_of(said, 5, name, sent_at)
        for previous in ("", "1700000000000-1"):
            packet = Packet.FromString(native.deliver_packet(body, "p:2:5", "1700000000000-2", previous))
            self.assertEqual(
                packet,
                Packet(
                    deliver=Deliver(
                        conversation="p:2:5",
                        position="1700000000000-2",
                        previous=previous,
                        sender=5,
                        sender_name=name,
                        sent_at=sent_at,
                        client_id="c-1",
                        text=text,
                        data=data,
                        content_type="t",
                        kind=EDIT,
                        ref="1-1",
                    )
                ),
            )

    def test_the_body_names_the_group(self):
        self.assertEqual(native.parse_body(native.body_of(send(group=9), 5, "n", 1)).group, 9)

    def test_the_longest_names_and_positions(self):
        top = f"{(1 << 63) - 1}-{(1 << 63) - 1}"
        name = f"p:{ID_LIMIT - 2}:{ID_LIMIT - 1}"
        body = native.body_of(send(text="x" * native.MAX_CONTENT), 5, "n" * 64, 1 << 50)
        deliver = Packet.FromString(native.deliver_packet(body, name, top, top)).deliver
        self.assertEqual((deliver.conversation, deliver.position, deliver.previous), (name, top, top))
        self.assertEqual(len(deliver.text), native.MAX_CONTENT)

    def test_the_largest_message_fits_into_a_frame(self):
        said = send(
            text="x" * native.MAX_CONTENT, client_id="c" * 64, content_type="t" * 128, kind=EDIT, ref="9" * 39,
        )  # fmt: skip
        body = native.body_of(said, ID_LIMIT - 1, "😀" * 64, 1 << 50)
        self.assertLess(len(native.deliver_packet(body, "p" * 35, "9" * 39, "9" * 39)), 65536)

    def test_a_recalled_body_is_blank(self):
        body = native.body_of(send(data=b"secret", content_type="t"), 5, "lisi", 77)
        blanked = native.parse_body(native.blank(body))
        self.assertEqual(blanked, Deliver(sender=5, sender_name="lisi", sent_at=77, client_id="c-1"))

    def test_a_body_that_cannot_be_decoded(self):
        for garbage in (b"\xff", b"\x22\x05a", b"\x42\x02\xff\xfe"):
            self.assertRaises(ecim.BadFrame, native.blank, garbage)
            self.assertRaises(ecim.BadFrame, native.parse_body, garbage)
            self.assertRaises((DecodeError, ValueError), Deliver.FromString, garbage)

    def test_bodies_are_checked_together_as_each_is_alone(self):
        body = native.body_of(send(text="x" * 300), 5, "lisi", 77)
        recall = native.body_of(send(kind=RECALL, text="", ref="1-1"), 5, "lisi", 78)
        self.assertTrue(native.are_bodies([]))
        self.assertTrue(native.are_bodies([body, b"", recall, body]))
        # The second lacks its last bytes, which the ones behind it could stand for.
        for garbage in (b"\xff", b"\x42\x02\xff\xfe", body[:-2], b"\x22\x05a"):
            self.assertFalse(native.are_bodies([body, garbage, body, body]))

    def test_messages_that_follow_one_another(self):
        bodies = [native.body_of(send(text=text), 5, "lisi", 77) for text in "abc"]
        packets = native.deliver_packets("p:2:5", "", ["5-1", "5-2", "6-7"], bodies)
        delivers = [Packet.FromString(packet).deliver for packet in packets]
        self.assertEqual([one.previous for one in delivers], ["", "5-1", "5-2"])
        self.assertEqual([(one.position, one.text) for one in delivers], [("5-1", "a"), ("5-2", "b"), ("6-7", "c")])


class GuestTextTests(SynchronousTestCase):
    def shown(self, new=False, **fields):
        return native.guest_text(native.parse_body(native.body_of(send(**fields), 5, "lisi", 1)), new=new)

    def test_what_guests_see(self):
        self.assertEqual(self.shown(), "hello")
        self.assertEqual(self.shown(text="", data=b"x"), "[attachment]")
        self.assertEqual(self.shown(data=b"x"), "hello")
        self.assertEqual(self.shown(kind=EDIT, ref="1-1"), "(edited) hello")
        self.assertEqual(native.guest_text(Deliver(text="a", kind=EDIT), edited="* "), "* a")

    def test_what_guests_do_not_see(self):
        for new in (True, False):
            self.assertIsNone(self.shown(kind=RECALL, ref="1-1", text="", new=new))
            self.assertIsNone(self.shown(kind=REACTION, ref="1-1", new=new))
            self.assertIsNone(self.shown(kind=EDIT, ref="1-1", text="", new=new))
            self.assertIsNone(native.guest_text(Deliver(text="a", kind=77), new=new))
        self.assertIsNone(native.guest_text(native.parse_body(native.blank(native.body_of(send(), 5, "lisi", 1)))))

    def test_an_empty_text_was_recalled_unless_it_was_just_sent(self):
        self.assertEqual((self.shown(text=""), self.shown(text="", new=True)), (None, ""))


class AnswerTests(SynchronousTestCase):
    def test_synced(self):
        self.assertEqual(
            Packet.FromString(native.synced_packet("p:1:2", "", "5-2", True, True)),
            Packet(synced=Synced(conversation="p:1:2", upto="5-2", more=True, reset=True)),
        )

    def test_failure(self):
        failure = Packet.FromString(native.failure_packet(ecim.InvalidField("text", "is bad"), "c", "p:1:2", 3)).failure
        self.assertEqual(
            (failure.code, failure.client_id, failure.conversation, failure.retry_after_seconds),
            ("invalid", "c", "p:1:2", 3),
        )
        self.assertIn("text is bad", failure.message)

    def test_an_error_that_is_not_ours_is_not_quoted(self):
        failure = Packet.FromString(native.failure_packet(RuntimeError("password=1"))).failure
        self.assertEqual(failure.code, "unavailable")
        self.assertNotIn("password", failure.message)

    def test_goodbye(self):
        goodbye = Packet.FromString(native.goodbye_packet("draining", "so long", 7)).goodbye
        self.assertEqual((goodbye.code, goodbye.message, goodbye.retry_after_seconds), ("draining", "so long", 7))
