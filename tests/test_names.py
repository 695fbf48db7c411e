"""Which names may be given, and which look the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.names import _PICTURE, check_new_name, comparison_form, look_the_same, meant_name, seen_characters, shown_name
from tests.harness.vectors import vectors

#: Names that people have, and their comparison forms.
TAKEN = {
    "alice": "alice",
    "Alice": "alice",
    "张三 👋": "张三 👋",
    "a  b": "a b",
    "a\u00a0b": "a b",
    "a\u3000b": "a b",
    "e\u0301": "é",
    "é": "é",
    "Ａlice": "alice",
    "ﬁ": "fi",
    "Straße": "straße",
    "Ольга": "ольга",
    "Νίκος": "νίκος",
    "O'Brien-Smith, Jr.": "o'brien-smith, jr.",
    "\u0d9a\u0dca\u200d\u0dc2": "\u0d9a\u0dca\u0dc2",
    # Emoji: styles, modifiers, flags, keycaps, sequences, and those of a later Unicode than Python's.
    "❤\ufe0f": "❤",
    "❤": "❤",
    "👍🏽": "👍🏽",
    "🇩🇪": "🇩🇪",
    "1\ufe0f\u20e3": "1\u20e3",
    "*\ufe0f\u20e3 (♥ <3) O\u2019Hara → x*": "*\u20e3 (♥ <3) o'hara → x*",
    "Jean\u2010Luc O\u02bcNeil": "jean-luc o'neil",
    "東京Tower タワー 々ー": "東京tower タワー 々ー",
    "서울City": "서울city",
    "สมชาย Smith": "สมชาย smith",
    "दिल्ली Team": "दिल्ली team",
    "שלום \u05d1\u05b8 x": "שלום \u05d1\u05b8 x",
    "ភ្នំពេញ": "ភ្នំពេញ",
    "“Bob” U+200B": "“bob” u+200b",
    "👨\u200d👩\u200d👧": "👨👩👧",
    "🏳\ufe0f\u200d🌈 Kim": "🏳🌈 kim",
    "👩🏽\u200d🚀": "👩🏽🚀",
    "X\U0001fa77\U0001f000\U0001fae8": "x\U0001fa77\U0001f000\U0001fae8",
}
#: How many characters people see in a name.
SEEN = {
    "al": 2,
    " a  l ": 3,
    "李明": 2,
    "한국": 2,
    "e\u0301": 1,
    "ö": 1,
    "दिल्ली": 3,
    "👩\u200d👩\u200d👧": 1,
    "👍🏽a": 2,
    "🇩🇪": 1,
    "🇩🇪🇫🇷": 2,
    "1\ufe0f\u20e3": 1,
    "": 0,
    "\u202e": 0,
}
#: Names as they are shown to people, here and in web/shared/visible.js.
SHOWN: dict[str, str] = vectors("names")["names"]
#: Names that nobody may be given any more, and a word of the reason.
REFUSED = {
    "": "blank",
    "   ": "blank",
    "\u00a0\u3000": "blank",
    "\u2800": "U+2800",
    "al\u2800ice": "U+2800",
    "\U0001d159": "U+1D159",
    " alice": "space",
    "alice ": "space",
    "alice\u3000": "space",
    "al\u200bice": "U+200B ZERO WIDTH SPACE",
    "alice\u2060": "U+2060",
    "\ufeffalice": "U+FEFF",
    "al\u00adice": "U+00AD SOFT HYPHEN",
    "al\u200dice": "U+200D ZERO WIDTH JOINER",
    "al\u200cice": "U+200C",
    "👨\u200d": "U+200D",
    "\u200d👨": "U+200D",
    "1\ufe0f": "U+FE0F",
    "alice\ufe0f": "U+FE0F",
    "alice\ufe00": "U+FE00",
    "alice\U000e0041": "U+E0041",
    "al\u034fice": "U+034F",
    "al\u202eice": "U+202E RIGHT-TO-LEFT OVERRIDE",
    "\u2066alice\u2069": "U+2066",
    "al\u200fice": "U+200F",
    "al\u061cice": "U+061C",
    "\u3164": "HANGUL",
    "alice\uffa0": "HANGUL",
    "\u115f": "HANGUL",
    "\u1100": "not for names",
    "al\u2028ice": "U+2028 LINE SEPARATOR",
    "al\u2029ice": "U+2029",
    "al\nice": "control",
    "al\x1b[2Jice": "control",
    "\ud800": "surrogate",
    "\ue000": "U+E000",
    "\u0378": "U+0378",
    "bob: yes": "U+003A COLON",
    "bob\uff1a yes": "U+003A",
    "bob\u2236 yes": "U+2236 RATIO",
    "bob\ua789": "U+A789",
    "bob\ua4fd": "Lisu",
    "[friends] bob": "U+005B",
    "friends］": "U+005D",
    'Dwayne "Rock" J': "U+0022",
    "al<U+200B>ice": '"<U+"',
    "al<u+200b>ice": '"<U+"',
    "b\u0585b": "Armenian",
    "bob \u0585": "Armenian",
    "\ua4d0ob": "Lisu",
    "b\u2c9fb": "Coptic",
    "b\u13cbb": "Cherokee",
    "b\u05e1b": "Hebrew",
    "b\u0627b": "Arabic",
    "\u0430\u03b1": "Cyrillic letters with Greek ones",
    "\u0431\u05e1": "Cyrillic letters with Hebrew ones",
    "bob\u17d2x": "Khmer",
    "bob\u17d2": "U+17D2",
    "\u1797\u17d2": "U+17D2",
    "bob\U00016fe4": "U+16FE4",
    "bob\ufffc": "U+FFFC",
    "bob\U0001da7f": "U+1DA7F",
    "bob\U0001107f": "U+1107F",
    "bob\U0001bc9d": "U+1BC9D",
    "p\u0430ypal": "Cyrillic",
    "\u0430lice": "Cyrillic",
    "\u0391lice": "Greek",
    "\u00b5ser": "Greek",
    "x" * 65: "64",
}


class NewNameTests(SynchronousTestCase):
    def test_how_many_characters_people_see(self):
        self.assertEqual({name: seen_characters(name) for name in SEEN}, SEEN)

    def test_names_that_people_have(self):
        for name, form in TAKEN.items():
            self.assertEqual(check_new_name(name, "name"), name)
            self.assertEqual(comparison_form(name), form, ascii(name))

    def test_names_that_others_could_not_tell_apart(self):
        for name, reason in REFUSED.items():
            error = self.assertRaises(InvalidField, check_new_name, name, "userName")
            self.assertEqual(error.field, "userName")
            self.assertIn(reason, error.reason, ascii(name))
            self.assertTrue(error.message.isprintable(), ascii(error.message))

    def test_the_message_says_what_to_do(self):
        for name, message in (
            ("al\u200bice", "userName must not contain U+200B ZERO WIDTH SPACE, which nobody sees: leave it out"),
            (" alice", "userName must not begin or end with a space: leave it out"),
            (
                "p\u0430ypal",
                "userName must not mix Latin letters with Cyrillic ones, which look alike: use one alphabet",
            ),
        ):
            error = self.assertRaises(InvalidField, check_new_name, name, "userName")
            self.assertEqual(error.message, f"invalid argument: {message}")

    def test_an_old_name_that_nobody_may_be_given_now_has_no_form(self):
        for name in ("al\u200bice", "\u2028", "\u3164", "\ud800", "", "\x00", "x" * 65):
            self.assertEqual(comparison_form(name), "")

    def test_which_look_the_same(self):
        self.assertTrue(look_the_same("Alice", "aLICE"))
        self.assertTrue(look_the_same("\u200b", "\u200b"))
        for twin in ("o\u2019neil\u2010x", "O\u02bcNeil\u2212X", "o`neil\u2014x"):
            self.assertTrue(look_the_same(twin, "O'Neil-x"), ascii(twin))
        self.assertFalse(look_the_same("alice", "bob"))
        self.assertFalse(look_the_same("\u200b", "\u2060"))

    def test_how_they_are_shown(self):
        for name, shown in SHOWN.items():
            self.assertEqual(shown_name(name), shown, ascii(name))
        for name in TAKEN:
            self.assertEqual(shown_name(name), name)

    def test_a_sign_that_ends_names_does_not_change_what_old_ones_are_compared_by(self):
        self.assertEqual(comparison_form("Bob: x"), "bob: x")

    @given(st.text(st.characters() | st.sampled_from('<>Uu+20B:[]"'), max_size=70))
    def test_what_is_shown_is_one_line_and_says_which_name_is_meant(self, name):
        shown = shown_name(name)
        # Emoji of a later Unicode than Python's are shown.
        self.assertTrue(_PICTURE.sub("", shown).isprintable() or comparison_form(name), ascii(shown))
        self.assertTrue(set(shown).isdisjoint('\n\r\x1b:[]"'), ascii(shown))
        self.assertEqual(meant_name(shown), name)

    @given(st.text(max_size=70))
    def test_any_text_is_refused_in_words_or_has_a_stable_form(self, name):
        try:
            check_new_name(name, "name")
        except InvalidField as error:
            self.assertTrue(error.message.isprintable())
            comparison_form(name)
        else:
            form = comparison_form(name)
            self.assertTrue(form)
            self.assertEqual(comparison_form(form), form)
