"""Positions: one text for each, compared number by number."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.wire import positions
from tests.harness.vectors import vectors

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
        ordered = vectors("positions")["ordered"]
        self.assertEqual(sorted(Random(1).sample(ordered, len(ordered)), key=positions.parse), ordered)

    def test_refused(self):
        for text in [*vectors("positions")["refused"], "1-" + "9" * 5000]:
            error = self.assertRaises(InvalidField, positions.parse, text, "ref")
            self.assertEqual(error.field, "ref")

    @given(st.text())
    def test_nothing_else_is_parsed(self, text):
        try:
            position = positions.parse(text)
        except InvalidField:
            return
        self.assertEqual(positions.text(position), text)
