"""Tests of splitting bytes into lines, and of making received text safe to show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.terminal.lines import LineReader


class LineReaderTests(SynchronousTestCase):
    @given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))), st.data())
    def test_lines_come_whole_however_they_are_chunked(self, lines, data):
        stream = "".join(line + "\n" for line in lines).encode()
        reader = LineReader()
        read = []
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            read += reader.feed(stream[:size])
            stream = stream[size:]
        self.assertEqual(read, lines)
        self.assertEqual(reader.finish(), [])

    def test_invalid_utf8_is_replaced_and_leaves_other_lines_intact(self):
        self.assertEqual(LineReader().feed(b"a\xff\xe5\nb\n"), ["a\ufffd\ufffd", "b"])

    def test_windows_line_ends(self):
        self.assertEqual(LineReader().feed(b"a\r\n\r\nb\rc\r\r\n"), ["a", "", "b\rc\r"])

    def test_the_last_line_needs_no_line_break(self):
        reader = LineReader()
        self.assertEqual(reader.feed(b"a\nlast"), ["a"])
        self.assertEqual(reader.finish(), ["last"])
        self.assertEqual(reader.finish(), [])

    def test_a_line_at_the_limit_is_accepted_and_one_over_it_is_not(self):
        for chunks in ([b"12345678\r\n123456789\nok\n"], [b"1234", b"5678\r", b"\n1234", b"56789", b"\no", b"k\n"]):
            reader = LineReader(8)
            self.assertEqual([line for chunk in chunks for line in reader.feed(chunk)], ["12345678", None, "ok"])

    def test_an_endless_line_is_not_buffered(self):
        reader = LineReader(100)
        for _ in range(1000):
            self.assertEqual(reader.feed(b"x" * 100), [])
            self.assertLessEqual(len(reader._partial), 101)
        self.assertEqual(reader.feed(b"\nnext\n"), [None, "next"])

    def test_an_endless_line_at_the_end(self):
        reader = LineReader(4)
        reader.feed(b"123456789")
        self.assertEqual(reader.finish(), [None])
