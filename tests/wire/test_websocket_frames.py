"""Messages in WebSocket frames; wsproto is the client."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadFrame, BadLogin, FrameTooLarge
from cim.wire.websocket_frames import BadWebSocketFrame, MessageReader, close_code, close_frame, frame, masked_frame


def masked(opcode, payload=b"", fin=True, rsv=(0, 0, 0), mask=b"\x01\x02\x03\x04"):
    """Return a client's frame, valid or not."""
    first = (0x80 if fin else 0) | rsv[0] << 6 | rsv[1] << 5 | rsv[2] << 4 | opcode
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read(data, text=False, limit=1000):
    return list(MessageReader(text, limit).feed(data))


class WritingTests(SynchronousTestCase):
    def test_what_is_written_is_what_wsproto_reads(self):
        for size in (0, 1, 125, 126, 127, 65535, 65536, 70000):
            client = FrameProtocol(client=True, extensions=[])
            client.receive_bytes(frame(Opcode.BINARY, b"x" * size))
            (found,) = client.received_frames()
            self.assertEqual((found.opcode, found.payload, found.message_finished), (2, b"x" * size, True), size)

    def test_what_a_client_writes_is_what_wsproto_reads(self):
        for size in (0, 1, 3, 4, 5, 125, 126, 127, 65535, 65536, 70001):
            server = FrameProtocol(client=False, extensions=[])
            payload = bytes(at % 251 for at in range(size))
            written = masked_frame(Opcode.BINARY, payload, b"\x00\xa5\xff\x01")
            if size > 3:
                self.assertNotIn(payload, written)
            server.receive_bytes(written)
            (found,) = server.received_frames()
            self.assertEqual((found.opcode, found.payload, found.message_finished), (2, payload, True), size)

    def test_a_close_has_a_code_or_none(self):
        self.assertEqual(close_frame(None), b"\x88\x00")
        self.assertEqual(close_frame(1001), b"\x88\x02\x03\xe9")


class ReadingTests(SynchronousTestCase):
    def refused(self, code, data, *, last, text=False):
        error = self.assertRaises(BadWebSocketFrame, read, data, text)
        self.assertEqual((error.close_code, error.last), (code, last), str(error))

    def test_messages_of_both_kinds(self):
        self.assertEqual(read(masked(2, b"\x00\xff") + masked(2)), [(Opcode.BINARY, b"\x00\xff"), (Opcode.BINARY, b"")])
        self.assertEqual(read(masked(1, "grüße".encode()), text=True), [(Opcode.TEXT, "grüße")])
        self.assertEqual(read(masked(1), text=True), [(Opcode.TEXT, "")])

    def test_a_message_in_fragments_with_control_frames_between(self):
        data = masked(2, b"a", fin=False) + masked(9, b"p") + masked(0, b"", fin=False) + masked(10) + masked(0, b"b")
        expected = [(Opcode.PING, b"p"), (Opcode.PONG, b""), (Opcode.BINARY, b"ab")]
        self.assertEqual(read(data), expected)

    def test_a_client_takes_what_is_not_masked_and_nothing_else(self):
        self.assertEqual(
            list(MessageReader(False, 1000, client=True).feed(frame(2, b"ab") + frame(9, b"p") + close_frame(1001))),
            [(Opcode.BINARY, b"ab"), (Opcode.PING, b"p"), (Opcode.CLOSE, 1001)],
        )
        reader = MessageReader(False, 1000, client=True)
        error = self.assertRaises(BadWebSocketFrame, list, reader.feed(masked(2, b"ab")))
        self.assertEqual((error.close_code, error.last), (1002, True))

    def test_a_message_in_fragments_of_a_byte_takes_no_more_memory_than_its_bytes(self):
        for text, kind in ((False, 2), (True, 1)):
            reader = MessageReader(text, 200_000)
            list(reader.feed(masked(kind, b"x", fin=False)))
            fragment, empty = masked(0, b"x", fin=False), masked(0, b"", fin=False)
            tracemalloc.start()
            for _ in range(10):
                list(reader.feed((fragment + empty) * 1000))
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            self.assertLess(held, 100_000)
            (found,) = reader.feed(masked(0, b"y"))
            self.assertEqual(found[1], "x" * 10_001 + "y" if text else b"x" * 10_001 + b"y")

    def test_a_character_in_two_fragments(self):
        euro = "€".encode()
        data = masked(1, euro[:1], fin=False) + masked(0, euro[1:])
        self.assertEqual(read(data, text=True), [(Opcode.TEXT, "€")])

    def test_messages_before_a_bad_frame_are_delivered(self):
        found = []
        with self.assertRaises(BadWebSocketFrame):
            for event in MessageReader(False, 1000).feed(masked(2, b"good") + masked(3)):
                found.append(event)
        self.assertEqual(found, [(Opcode.BINARY, b"good")])

    def test_frames_that_the_rfc_forbids(self):
        reserved = [masked(2, b"x", rsv=bits) for bits in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
        reserved += [masked(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)]
        for data in (
            *reserved,
            masked(9, b"x" * 126),
            masked(9, b"x", fin=False),
            frame(Opcode.BINARY, b"not masked"),
            b"\x82\xfe\x00\x05" + b"\x00" * 9,  # a length in two bytes that has room in one
            b"\x82\xff" + b"\x00" * 6 + b"\x01\x00" + b"\x00" * 260,
            b"\x82\xff\x80" + b"\x00" * 7,
        ):
            self.refused(1002, data, last=True)
        for data in (masked(0, b"x"), masked(2, b"x", fin=False) + masked(2, b"y")):
            self.refused(1002, data, last=False)

    def test_the_other_kind_of_message(self):
        self.refused(1003, masked(1, b"text"), last=False)
        self.refused(1003, masked(2, b"bytes"), last=False, text=True)

    def test_text_that_is_not_utf8(self):
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\xe2\x82"):
            self.refused(1007, masked(1, bad), last=False, text=True)

    def test_text_that_is_not_utf8_is_refused_before_its_end(self):
        self.refused(1007, masked(1, b"\xff", fin=False), last=False, text=True)

    def test_the_code_of_a_close(self):
        self.assertEqual(read(masked(8)), [(Opcode.CLOSE, None)])
        for code in (1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999):
            self.assertEqual(read(masked(8, code.to_bytes(2, "big") + b"why")), [(Opcode.CLOSE, code)])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535):
            self.refused(1002, masked(8, code.to_bytes(2, "big")), last=True)
        self.refused(1002, masked(8, b"\x03"), last=True)
        self.refused(1007, masked(8, b"\x03\xe8\xff"), last=True)

    def test_the_limit_counts_the_whole_message(self):
        self.assertEqual(read(masked(2, b"x" * 1000)), [(Opcode.BINARY, b"x" * 1000)])
        self.assertEqual(len(read(masked(2, b"x" * 1000) * 2)), 2)
        for data in (
            masked(2, b"x" * 1001),
            masked(2, b"x" * 600, fin=False) + masked(0, b"x" * 401),
            masked(2, b"x" * 1000, fin=False) + masked(9, b"p") + masked(0, b"x", fin=False),
        ):
            self.assertRaises(FrameTooLarge, read, data)

    def test_the_limit_counts_bytes_of_text(self):
        self.assertRaises(FrameTooLarge, read, masked(1, "€".encode() * 334), True)

    def test_too_large_a_message_is_refused_by_its_header_alone(self):
        self.assertRaises(FrameTooLarge, read, masked(2, b"x" * 1001)[:8])
        data = masked(2, b"x" * 999, fin=False) + masked(0, b"xx")[:6]
        self.assertRaises(FrameTooLarge, read, data)

    def test_control_frames_do_not_count(self):
        self.assertEqual(len(read(masked(2, b"x" * 1000, fin=False) + masked(9, b"p" * 125) + masked(0))), 2)

    def test_what_is_incomplete(self):
        whole = masked(2, b"abc")
        for cut in range(1, len(whole)):
            reader = MessageReader(False, 1000)
            self.assertEqual(list(reader.feed(whole[:cut])), [])
            self.assertTrue(reader.partial, cut)
            list(reader.feed(whole[cut:]))
            self.assertFalse(reader.partial, cut)
        reader = MessageReader(False, 1000)
        list(reader.feed(masked(2, b"", fin=False)))
        self.assertTrue(reader.partial)
        list(reader.feed(masked(9)))
        self.assertTrue(reader.partial)

    def test_a_close_is_found_behind_discarded_bytes(self):
        reader = MessageReader(False, 10)
        self.assertRaises(FrameTooLarge, list, reader.feed(masked(2, b"x" * 5000)[:100]))
        self.assertFalse(reader.ends(masked(2, b"x" * 5000)[100:]))
        self.assertFalse(reader.ends(masked(9, b"p")))
        self.assertTrue(reader.ends(masked(8, b"\x03\xe8")))
        self.assertTrue(MessageReader(False, 10).ends(masked(3)))

    def test_the_close_code_of_a_violation(self):
        self.assertEqual(close_code(BadWebSocketFrame("", 1003)), 1003)
        self.assertEqual(close_code(FrameTooLarge()), 1009)
        self.assertEqual(close_code(BadLogin()), 1008)
        self.assertEqual(close_code(BadFrame()), 1007)


FRAGMENTS = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


class ChunkTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(FRAGMENTS, max_size=5), st.integers(1, 200), st.booleans())
    def test_any_fragments_in_any_pieces(self, messages, piece, pinged):
        """The same messages come out, however they were cut."""
        data = b""
        for fragments in messages:
            for at, part in enumerate(fragments):
                data += masked(2 if not at else 0, part, fin=at == len(fragments) - 1)
                data += masked(9, b"?") if pinged else b""
        reader = MessageReader(False, 2000)
        found = []
        for start in range(0, len(data), piece):
            found += reader.feed(data[start : start + piece])
        self.assertEqual(
            [payload for opcode, payload in found if opcode is Opcode.BINARY], [b"".join(parts) for parts in messages]
        )
        self.assertEqual(sum(opcode is Opcode.PING for opcode, _ in found), pinged * sum(map(len, messages)))
        self.assertFalse(reader.partial)

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=300), st.lists(st.integers(0, 900), max_size=4), st.integers(1, 50))
    def test_any_text_in_any_fragments_and_pieces(self, text, cuts, piece):
        raw = text.encode()
        edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
        parts = [raw[start:end] for start, end in pairwise(edges)]
        data = b"".join(masked(0 if at else 1, part, fin=at == len(parts) - 1) for at, part in enumerate(parts))
        reader = MessageReader(True, 2000)
        found = []
        for start in range(0, len(data), piece):
            found += reader.feed(data[start : start + piece])
        self.assertEqual(found, [(Opcode.TEXT, text)])

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=400), st.booleans())
    def test_any_bytes_are_messages_or_refused(self, data, text):
        try:
            for opcode, payload in MessageReader(text, 200).feed(data):
                if opcode in (Opcode.TEXT, Opcode.BINARY):
                    self.assertLessEqual(len(payload), 200)
        except (BadWebSocketFrame, FrameTooLarge):
            pass
