"""Packets as JSON: the standard mapping, and nothing but it."""

from __future__ import annotations

import json

from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadFrame
from cim.wire import native
from cim.wire.cim_pb2 import (
    EDIT,
    Deliver,
    Goodbye,
    Head,
    Packet,
    Ping,
    Presence,
    Send,
    Sync,
    Synced,
    Typing,
    Watch,
    Welcome,
)
from cim.wire.json_frames import from_json, to_json

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
HEADS = st.builds(Head, conversation=TEXTS, latest=TEXTS, unread=st.integers(0, (1 << 32) - 1))
PACKETS = st.one_of(
    st.builds(
        Deliver,
        conversation=TEXTS,
        sender=INT64,
        sent_at=INT64,
        text=TEXTS,
        data=st.binary(max_size=20),
        kind=st.integers(0, 5),
        group=INT64,
    ).map(lambda deliver: Packet(deliver=deliver)),
    st.builds(Send, user=INT64, client_id=TEXTS, data=st.binary(max_size=20)).map(lambda send: Packet(send=send)),
    st.builds(Send, group=INT64, kind=st.integers(-5, 5)).map(lambda send: Packet(send=send)),
    st.builds(Welcome, user_id=INT64, heads=st.lists(HEADS, max_size=3)).map(lambda body: Packet(welcome=body)),
    st.builds(Synced, more=st.booleans(), reset=st.booleans(), upto=TEXTS).map(lambda body: Packet(synced=body)),
    st.builds(Watch, users=st.lists(INT64, max_size=5)).map(lambda body: Packet(watch=body)),
)


class MappingTests(SynchronousTestCase):
    @given(PACKETS)
    def test_the_standard_mapping(self, packet):
        text = to_json(packet)
        self.assertEqual(json.loads(text), json.loads(json_format.MessageToJson(packet)))
        self.assertEqual(json_format.Parse(text, Packet()), packet)

    @given(PACKETS)
    def test_round_trip(self, packet):
        self.assertEqual(from_json(to_json(packet)), packet)
        self.assertEqual(from_json(json_format.MessageToJson(packet, preserving_proto_field_name=True)), packet)

    def test_from_bytes(self):
        self.assertEqual(to_json(native.PONG), '{"pong":{}}')

    def test_bytes_that_are_not_a_packet(self):
        self.assertRaises(BadFrame, to_json, b"\x0a\xff")

    def test_characters_are_written_as_they_are(self):
        self.assertEqual(
            to_json(Packet(goodbye=Goodbye(message='你好 😀 "\n\0'))),
            '{"goodbye":{"message":"你好 😀 \\"\\n\\u0000"}}',
        )

    def test_ids_are_text_so_that_javascript_keeps_them(self):
        self.assertEqual(
            to_json(Packet(presence=Presence(user_id=(1 << 53) + 1))), '{"presence":{"userId":"9007199254740993"}}'
        )

    def test_guests_fields_have_no_json_form(self):
        self.assertEqual(to_json(Packet(text="a", user_id=5, ping=Ping())), '{"ping":{}}')

    def test_everyone_is_distinct_from_nobody(self):
        self.assertEqual(from_json('{"send":{"group":0}}').send.WhichOneof("to"), "group")
        self.assertIsNone(from_json('{"send":{}}').send.WhichOneof("to"))
        self.assertEqual(to_json(Packet(typing=Typing(group=0))), '{"typing":{"group":"0"}}')


class ReadingTests(SynchronousTestCase):
    def read(self, **fields):
        return from_json(json.dumps({"send": fields})).send

    def test_integers(self):
        for given_form in ("5", 5, 5.0):
            self.assertEqual(self.read(user=given_form).user, 5)
        for wrong in ("05", "5 ", " 5", "+5", "1_0", "٥", "5.0", "1e3", "", "x", 5.5, 1e300, True, False, [5], {},
                      1 << 63, str(1 << 63), -(1 << 63) - 1, "9" * 4000, float(1 << 53)):  # fmt: skip
            self.assertRaises(BadFrame, self.read, user=wrong)

    def test_small_integers(self):
        self.assertEqual(from_json('{"sync":{"limit":4294967295}}').sync.limit, (1 << 32) - 1)
        for wrong in (-1, 1 << 32, "4294967296"):
            self.assertRaises(BadFrame, from_json, json.dumps({"sync": {"limit": wrong}}))

    def test_bytes(self):
        for form in ("+/+/YQ==", "-_-_YQ==", "-_-_YQ"):
            self.assertEqual(self.read(data=form).data, b"\xfb\xff\xbfa")
        for wrong in ("!!!", "YQ=", "YQ===", "Y", "=", "Y Q=", "YQ==\n", "YQ==YQ==", "é", 5, [65], True):
            self.assertRaises(BadFrame, self.read, data=wrong)

    def test_enums(self):
        for form in ("EDIT", 2):
            self.assertEqual(self.read(kind=form).kind, EDIT)
        self.assertEqual(self.read(kind=77).kind, 77)
        for wrong in ("edit", "NO", True, 1.5, [], 1 << 40, "١"):
            self.assertRaises(BadFrame, self.read, kind=wrong)

    def test_booleans(self):
        self.assertTrue(from_json('{"synced":{"more":true}}').synced.more)
        for wrong in ("true", 1, 0, []):
            self.assertRaises(BadFrame, from_json, json.dumps({"synced": {"more": wrong}}))

    def test_texts(self):
        self.assertEqual(self.read(text="\0").text, "\0")
        for wrong in (5, True, ["a"], {}):
            self.assertRaises(BadFrame, self.read, text=wrong)

    def test_lone_surrogates(self):
        for field in ("text", "clientId", "contentType", "ref"):
            for lone in ("\\ud800", "\\udc00", "\\ud800x", "\\udc00\\ud800"):
                self.assertRaises(BadFrame, from_json, f'{{"send":{{"{field}":"{lone}"}}}}')
        self.assertEqual(from_json('{"send":{"text":"\\ud83d\\ude00"}}').send.text, "😀")

    def test_null_is_absent(self):
        self.assertEqual(from_json('{"send":{"text":null,"user":1},"ping":null}'), Packet(send=Send(user=1)))

    def test_either_spelling_but_not_both(self):
        self.assertEqual(self.read(clientId="a"), self.read(client_id="a"))
        self.assertRaises(BadFrame, self.read, clientId="a", client_id="a")

    def test_one_body_and_one_recipient(self):
        self.assertRaises(BadFrame, from_json, '{"ping":{},"pong":{}}')
        self.assertRaises(BadFrame, self.read, user=1, group=2)

    def test_repeated_names(self):
        self.assertRaises(BadFrame, from_json, '{"ping":{},"ping":{}}')
        self.assertRaises(BadFrame, from_json, '{"send":{"text":"a","text":"b"}}')

    def test_unknown_fields(self):
        for name in ("x", "text", "userId", "user_id", "properties", "batch", "command", "Ping", "[a.b]", "@type", ""):
            self.assertRaises(BadFrame, from_json, json.dumps({name: 1}))
        self.assertRaises(BadFrame, self.read, sender=1)

    def test_wrong_shapes(self):
        for text in ("", " ", "null", "3", '"a"', "[]", "[{}]", "true", "{", "}", "{}{}", "{},", "{'ping':{}}",
                     "\ufeff{}", '{"ping":[]}', '{"ping":5}', '{"ping":""}', '{"send":[["text","a"]]}',
                     '{"watch":{"users":5}}',
                     '{"watch":{"users":[null]}}', '{"watch":{"users":[[1]]}}', '{"welcome":{"heads":[5]}}',
                     '{"ping":{"x":1}}', "{ping:{}}", '{"ping":{}} x'):  # fmt: skip
            self.assertRaises(BadFrame, from_json, text)

    def test_values_that_are_not_numbers(self):
        for constant in ("NaN", "Infinity", "-Infinity"):
            self.assertRaises(BadFrame, from_json, f'{{"send":{{"user":{constant}}}}}')
        self.assertRaises(BadFrame, from_json, '{"send":{"user":1e999}}')

    def test_deep_nesting(self):
        for text in ("[" * 65000, '{"send":' * 8000, '{"send":' + "[" * 30000 + "]" * 30000 + "}"):
            self.assertRaises(BadFrame, from_json, text)

    def test_huge_texts(self):
        self.assertRaises(BadFrame, from_json, '{"send":{"user":' + "9" * 60000 + "}}")
        self.assertEqual(len(self.read(text="x" * 60000).text), 60000)

    def test_the_reason_is_short(self):
        error = self.assertRaises(BadFrame, from_json, json.dumps({"x" * 60000: 1}))
        self.assertLess(len(error.message), 200)

    @settings(max_examples=300)
    @given(st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
            st.sampled_from(("send", "sync", "watch", "users", "user", "text", "data", "kind", "welcome", "heads")),
            inner, max_size=3)),
        max_leaves=8,
    ))  # fmt: skip
    def test_any_json_is_read_or_refused(self, value):
        try:
            packet = from_json(json.dumps(value))
        except BadFrame:
            return
        self.assertEqual(from_json(to_json(packet)), packet)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text):
        try:
            from_json(text)
        except BadFrame:
            pass

    def test_a_page_request(self):
        packet = from_json('{"sync":{"conversation":"p:1:2","after":"1-1","limit":50}}')
        self.assertEqual(packet, Packet(sync=Sync(conversation="p:1:2", after="1-1", limit=50)))
