"""Tests of the word filter: what it finds, and what it leaves alone."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.daemon.rereading import LOOK_SECONDS
from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, About, Question, changed
from cim.route.policy import folding
from cim.route.policy.folding import fold, origins
from cim.route.policy.words import MAX_BYTES, WordFilter, Words, masked


class FindingTests(SynchronousTestCase):
    def shown(self, text, *words):
        return masked(text, Words(words).find(text))

    def test_simple_tricks_make_no_difference(self):
        for written in (
            "damn",
            "DAMN",
            "dÁmn",
            "da\u0301mn",
            "d\u200ba\u200dm\ufeffn",
            "ｄａｍｎ",
            "\U0001d41d\U0001d41a\U0001d426\U0001d427",
            "ⓓⓐⓜⓝ",
            "da\u00admn",
            "d\u0336a\u0336m\u0336n\u0336",
            "d\u2800a\u3164mn",
        ):
            found = Words(["damn"]).find(f"oh {written}!")
            self.assertEqual(found[0][0], 3, written)
            text = self.shown(f"oh {written}!", "damn")
            self.assertEqual(set(text[3:-1]) - set("\u0336\u0301"), {"*"}, written)
            self.assertEqual((text[:3], text[-1]), ("oh ", "!"))

    def test_it_does_not_matter_how_words_are_written_in_the_file(self):
        for word in ("Damn", "DÁMN", "ｄａｍｎ", "  damn  "):
            self.assertEqual(self.shown("oh damn", word), "oh ****")

    def test_words_in_words(self):
        text = "class Bass assistant ass ass. (ass) ass1 _ass_"
        self.assertEqual(self.shown(text, "ass"), "class Bass assistant *** ***. (***) ass1 _***_")
        self.assertEqual(self.shown(text, "ass*"), "class Bass ***istant *** ***. (***) ***1 _***_")
        self.assertEqual(self.shown(text, "*ass"), "cl*** B*** assistant *** ***. (***) ass1 _***_")

    def test_scripts_without_spaces(self):
        self.assertEqual(self.shown("我们是傻瓜吗", "傻瓜"), "我们是**吗")
        self.assertEqual(self.shown("ばかやろう", "ばか"), "**やろう")
        self.assertEqual(self.shown("นี่คนบ้านะ", "บ้า"), "นี่คน***นะ")
        # Hangul puts spaces, and a syllable is no part of another.
        self.assertEqual(self.shown("바보 바보들 밥오", "바보"), "** 바보들 밥오")

    def test_several_words_and_spaces(self):
        self.assertEqual(self.shown("buy now, cheap  cheap", "buy now", "cheap"), "*** ***, *****  *****")
        self.assertEqual(self.shown("bad badly", "bad", "bad*"), "*** ***ly")
        self.assertEqual(self.shown("abcd", "*abc*", "*bcd*"), "****")

    def test_a_character_that_becomes_several(self):
        self.assertEqual(fold("ﬁßİ"), "fissi")
        self.assertEqual(origins("ﬁßİ"), [0, 0, 1, 1, 2])
        self.assertEqual(self.shown("ﬁsh Straße", "fish", "strasse"), "*** ******")

    def test_anything_is_folded(self):
        every = "".join(map(chr, range(0x11000)))
        self.assertEqual(len(fold(every)), len(origins(every)))

    def test_what_is_kept_of_characters_is_bounded(self):
        rare = "".join(map(chr, range(0x20000, 0x20100)))
        self.assertEqual(fold(rare), rare)
        self.assertEqual(fold("\U0002f81d"), "\u51f5")
        self.assertLess(max(folding._FOLDS), folding.KEPT_BEFORE)

    def test_what_is_no_list_of_words(self):
        for lines in ([], ["# damn", " "], ["*"], ["\u200b"], ["damn", "\u0301"]):
            self.assertRaises(ValueError, Words, lines)


class FilterTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.path = self.mktemp()
        self.write("damn\n# no\nspam")

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def made(self, how="mask"):
        return WordFilter(self.clock.seconds).configured(f"{how}:{self.path}")

    def ask(self, made, text, about=About.TEXT):
        return made.check(Question(about=about, text=text))

    def test_masking(self):
        made = self.made()
        verifyObject(IMessagePolicy, made)
        self.assertEqual(self.ask(made, "hello"), ALLOWED)
        self.assertEqual(self.ask(made, "Damn spam"), changed("**** ****"))
        self.assertEqual(self.ask(made, "Damn", About.EDIT), changed("****"))
        for about in (About.REACTION, About.ACCOUNT, About.GROUP):
            self.assertIsNotNone(self.ask(made, "Damn", about).reason)

    def test_refusing(self):
        made = self.made("refuse")
        self.assertEqual(self.ask(made, "hello"), ALLOWED)
        self.assertEqual(self.ask(made, "damn").reason, "it has a word that is not allowed here")

    def test_the_file_is_read_again_when_it_changes(self):
        made = self.made()
        self.write("other\n")
        os.utime(self.path, ns=(1, 1))
        self.assertEqual(self.ask(made, "damn"), changed("****"))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.ask(made, "damn"), self.ask(made, "other")), (ALLOWED, changed("*****")))
        # One that cannot be used changes nothing.
        self.write("#\n")
        os.utime(self.path, ns=(2, 2))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask(made, "other"), changed("*****"))
        os.remove(self.path)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask(made, "other"), changed("*****"))

    def test_what_cannot_be(self):
        for argument in ("", "mask", "mask:", f"hide:{self.path}", "mask:/does/not/exist"):
            self.assertRaises(ValueError, WordFilter().configured, argument)
        with open(self.path, "wb") as file:
            file.write(b"\xff")
        self.assertIn("UTF-8", str(self.assertRaises(ValueError, self.made)))
        self.write("x" * (MAX_BYTES + 1))
        self.assertIn("at most 4 MiB", str(self.assertRaises(ValueError, self.made)))
