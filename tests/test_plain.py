"""Text from outside in messages for people."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.plain import printable, quoted


class QuotedTests(SynchronousTestCase):
    def test_it_is_not_pythons(self):
        self.assertEqual(quoted("it's a \\ here"), '"it\'s a \\ here"')
        self.assertEqual(quoted("你好 😀"), '"你好 😀"')

    def test_what_cannot_be_seen_is_told(self):
        self.assertEqual(quoted("a\x1b[2J\nb\u200bc\u202ed\0"), '"a<U+001B>[2J<U+000A>b<U+200B>c<U+202E>d<U+0000>"')

    def test_it_is_cut(self):
        self.assertEqual(quoted("x" * 80), f'"{"x" * 80}"')
        self.assertEqual(quoted("x" * 81), f'"{"x" * 80}..."')
        self.assertEqual(quoted("abcdef", 3), '"abc..."')
        self.assertLess(len(quoted("\0" * 1_000_000)), 700)


class PrintableTests(SynchronousTestCase):
    def test_ordinary_text_stays_as_it_is(self):
        for text in ("hello", "你好，世界", "👨‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "café", "שלום", "a b", "\u00a0", "葛\U000e0100"):
            self.assertEqual(printable(text), text)

    def test_control_characters_become_visible(self):
        self.assertEqual(printable("\x1b[2J\x07\t\x7f"), "␛[2J␇␉␡")
        self.assertEqual(printable("a\nmallory: b\rc"), "a␤mallory: b␍c")
        self.assertEqual(printable("\x9b31m"), "\\u009b31m")
        self.assertEqual(printable("\u202eabc\u2066"), "\\u202eabc\\u2066")
        self.assertEqual(printable("\u2028\u2029\x85"), "\\u2028\\u2029\\u0085")
        self.assertEqual(printable("\ud800x"), "\ufffdx")

    def test_marks_that_reorder_what_follows_become_visible(self):
        self.assertEqual(printable("\u200e1\u200f2\u061c(3)"), "\\u200e1\\u200f2\\u061c(3)")
        self.assertEqual(printable("\u206b\u206f\ufff9a\ufffb"), "\\u206b\\u206f\\ufff9a\\ufffb")

    def test_what_hides_in_a_text_becomes_visible(self):
        self.assertEqual(printable("a\U000e0041\U000e0001"), "a\\U000e0041\\U000e0001")
        self.assertEqual(printable("a\U000e0100葛\U000e0100\U000e0101"), "a\\U000e0100葛\U000e0100\\U000e0101")
        flag = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067"
        self.assertEqual(printable(f"{flag}\U000e007f\U000e0067"), f"{flag}\U000e007f\\U000e0067")
        self.assertNotIn("\U000e0067", printable(flag), "it does not end")
        self.assertNotIn("\U000e0061", printable("🏴" + "\U000e0061" * 7 + "\U000e007f"), "it is too long for a region")

    @given(st.text(st.characters()))
    def test_no_control_character_is_left(self, text):
        shown = printable(text)
        self.assertFalse([c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")])
        shown.encode()
