"""Positions: one text for each, compared number by number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.wire import positions

NUMBERS = st.integers(0, positions.LIMIT - 1)


class PositionTests(SynchronousTestCase):
    @given(st.tuples(NUMBERS, NUMBERS))
    def test_round_trip(self, position):
        self.assertEqual(positions.parse(positions.text(position)), position)

    def test_zero_is_empty(self):
        self.assertEqual(positions.text(positions.ZERO), "")
        self.assertEqual(positions.parse(""), positions.ZERO)

    def test_largest(self):
        top = (1 << 63) - 1
        self.assertEqual(positions.parse(f"{top}-{top}"), (top, top))

    def test_order_is_numeric(self):
        texts = ["100-0", "10-2", "10-1", "9-10", "9-9"]
        self.assertEqual(sorted(texts, key=positions.parse), ["9-9", "9-10", "10-1", "10-2", "100-0"])

    def test_refused(self):
        for text in (
            "1", "-", "1-", "-1", "01-1", "1-01", "-1-1", "1--1", "1-1 ", " 1-1", "1-1\n", "+1-1", "1_0-1", "1-1-1",
            "0x1-1", "1.0-1", "1e3-1", "١-1", "0-0", "00-1", "$", "*", "1-*", f"{1 << 63}-1", f"1-{1 << 63}",
            "9" * 20 + "-1", "1-" + "9" * 5000, "None", "1:1", "\0",
        ):  # fmt: skip
            error = self.assertRaises(InvalidField, positions.parse, text, "ref")
            self.assertEqual(error.field, "ref")

    @given(st.text())
    def test_nothing_else_is_parsed(self, text):
        try:
            position = positions.parse(text)
        except InvalidField:
            return
        self.assertEqual(positions.text(position), text)
