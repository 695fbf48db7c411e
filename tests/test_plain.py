"""Text from outside in messages for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.plain import quoted


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
