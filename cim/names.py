"""Names: which a new account or group may have, and which look the same to people (docs/security.md, Names).

They follow the profile Nickname of RFC 8266, with three differences. Emoji may be joined by U+200D and followed by
U+FE0F, as keyboards do, although PRECIS takes neither; letters of alphabets that look alike are not mixed; and what
clients put between a name and what is said is not part of a name, so that no name looks like a line of somebody else.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from precis_i18n import get_profile

from cim.errors import InvalidField
from cim.model import MAX_NAME, check_name

#: What the system user is called, unless the operator says otherwise.
SYSTEM_NAME = "System"
TAKEN = "this name is taken"
LOOKS_TAKEN = "this name looks like that of another account: choose another"

_NICKNAME = get_profile("NicknameCaseMapped")
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
# The blocks that are all for emoji, assigned or not, and blocks of symbols with some others. U+2236 is none: a colon.
_PICTURES = "\U0001f000-\U0001faff\U0001fc00-\U0001fffd"
_SYMBOLS = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u2235\u2237-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299"
)
_ONE_EMOJI = f"[{_PICTURES}{_SYMBOLS}]{_EMOJI_STYLE}?[\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(f"[#*0-9]{_EMOJI_STYLE}\u20e3|{_ONE_EMOJI}(?:{_JOINER}{_ONE_EMOJI})*")
_INVISIBLE_IN_EMOJI = re.compile(f"[{_JOINER}{_EMOJI_STYLE}]")
_PICTURE = re.compile(f"[{_PICTURES}]")
#: Stands for emoji that Python's Unicode does not know yet, while the profile is applied.
_STAND_IN = "\U0001f000"
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
#: What PRECIS takes for a symbol or a mark, and nobody sees.
_BLANK = "\u2800\ufffc\U0001107f\U00016fe4\U0001bc9d\U0001d159\U0001da7f\U0001da80"
#: The same, and what is only seen by what it does to the letter behind it, where there is none.
_UNSEEN_THERE = re.compile(
    f"[{_BLANK}]|[\u1039\u17d2\u1a60\U00010a3f\U00011133\U0001193e\U00011a47\U00011a99\U00011f42](?!\\w)"
)
#: By their names, what is neither a control nor a space and yet nobody sees.
_UNSEEN = re.compile("VARIATION SELECTOR|MONGOLIAN FREE|COMBINING GRAPHEME JOINER|KHMER VOWEL INHERENT|.* FILLER$")
#: Alphabets of which no two are in one name, because many of their letters look alike.
_LOOKALIKES = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU"}
#: What is written within words of other alphabets; of all others no two are in one word.
_WITHIN = {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "VERTICAL", "HANGUL", "BOPOMOFO"}
_WITHIN |= {"COMBINING", "MODIFIER", "VARIATION", "VEDIC", ""}
#: Dashes and apostrophes, which are drawn nearly alike.
_TWINS = dict.fromkeys(map(ord, "\u2010\u2012\u2013\u2014\u2015\u2043\u2212"), "-")
_TWINS |= dict.fromkeys(map(ord, "`\u02b9\u02bb\u02bc\u2018\u2019\u201b\u2032"), "'")
#: What stands around names where they are shown and typed, and other signs that look like a colon.
_MARKS = ':[]"\u02d0\u02f8\u0589\u05c3\u0703\u0704\u1361\u16ec\u1803\u1809\u205a\u2236\ua789'
#: Begins the number of a character, in names as they are shown.
_NUMBER = "<U+"
_NUMBERED = re.compile(r"<U\+([0-9A-F]{4,5}|10[0-9A-F]{4})>")


def comparison_form(name: str) -> str:
    """Return what two names that look the same have in common; "" if the name has none, as some old ones.

    It is compared, and never shown.
    """
    if len(name) > MAX_NAME:  # upstream's may be of any length
        return ""
    try:
        return _form(name).translate(_TWINS)
    except UnicodeEncodeError:
        return ""


def seen_characters(name: str) -> int:
    """Return how many characters people see in a name or a part of one: one for an emoji, or a letter with its marks.

    0 if it has no comparison form.
    """
    form = comparison_form(_EMOJI.sub(_STAND_IN, _FLAG.sub(_STAND_IN, name)))
    return sum(not unicodedata.category(character).startswith("M") for character in form)


def look_the_same(one: str, other: str) -> bool:
    """Return whether two names are the same to people."""
    return one == other or comparison_form(one) == comparison_form(other) != ""


def _form(name: str) -> str:
    """Apply the profile.

    :raises UnicodeEncodeError: it refuses the name; the error says which character
    """
    text = _EMOJI.sub(lambda found: _INVISIBLE_IN_EMOJI.sub("", found[0]), name)
    later: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        if found[0] != _STAND_IN and unicodedata.category(found[0]) != "Cn":
            return found[0]
        later.append(found[0])
        return _STAND_IN

    enforced: str = _NICKNAME.enforce(_PICTURE.sub(stand_in, text))
    back = iter(later)
    # Between some Indic letters PRECIS takes joiners, which may change nothing that one sees.
    return re.sub(_STAND_IN, lambda _: next(back), enforced).replace(_JOINER, "").replace("\u200c", "")


def check_new_name(name: str, field: str) -> str:
    """Return `name` if a new account or group may have it.

    :raises InvalidField: names `field`, and says what is wrong and what to do
    """
    check_name(name, field)
    if name != name.strip():
        raise InvalidField(field, "must not begin or end with a space: leave it out")
    try:
        form = _form(name)
    except UnicodeEncodeError as error:
        raise InvalidField(field, _refusal(error)) from None
    if unseen := _UNSEEN_THERE.search(form):
        raise InvalidField(field, f"must not contain {_called(unseen[0])}, which nobody sees: leave it out")
    for character in form:
        if character in _MARKS:
            raise InvalidField(
                field, f"must not contain {_called(character)}, which marks the end of a name or looks so: leave it out"
            )
    if _NUMBER in form.upper():
        raise InvalidField(field, f'must not contain "{_NUMBER}", which shows characters by number: leave it out')
    mixed = _alphabets(form) & _LOOKALIKES
    if len(mixed) > 1:
        raise InvalidField(field, f"must not mix {_and(mixed)}, which look alike: use one alphabet")
    for word in form.split():
        mixed = _alphabets(word) - _WITHIN
        if len(mixed) > 1:
            raise InvalidField(field, f"must not mix {_and(mixed)} in one word: use one alphabet")
    return name


def _alphabets(text: str) -> set[str]:
    """Return the alphabets of letters and marks, by the first word of their names in Unicode."""
    return {unicodedata.name(one, "").partition(" ")[0] for one in text if unicodedata.category(one)[0] in "LM"}


def _and(alphabets: set[str]) -> str:
    one, other, *_ = (alphabet.capitalize() for alphabet in sorted(alphabets, key=lambda one: (one != "LATIN", one)))
    return f"{one} letters with {other} ones"


@lru_cache(1000)
def shown_name(name: str) -> str:
    """Return a name as people see it: in one line and, if it may not be given any more, what misleads by its number.

    So an old `al<U+200B>ice` is not taken for `alice`, nor `alice<U+003A> yes` for alice and what she says. No two
    names are shown alike; `meant_name` is the way back.
    """
    try:
        return check_new_name(name, "name")
    except InvalidField:
        pass
    shown: list[str] = []
    end = 0
    for emoji in _EMOJI.finditer(name):
        shown += *_shown(name[end : emoji.start()]), emoji[0]
        end = emoji.end()
    shown += _shown(name[end:])
    for at in {0, len(shown) - 1} if shown else ():
        shown[at] = "<U+0020>" if shown[at] == " " else shown[at]
    return "".join(shown)


def meant_name(shown: str) -> str:
    """Return the name that is shown so."""
    return _NUMBERED.sub(lambda found: chr(int(found[1], 16)), shown)


def _shown(text: str) -> list[str]:
    """Return the characters of a text that is no emoji, each that misleads by its number."""
    return [
        f"<U+{ord(one):04X}>" if _misleads(one) or text[at : at + 3].upper() == _NUMBER else one
        for at, one in enumerate(text)
    ]


def _misleads(character: str) -> bool:
    return (
        not character.isprintable()
        or character in _BLANK
        or not set(_MARKS).isdisjoint(unicodedata.normalize("NFKC", character))
        or bool(_UNSEEN.match(unicodedata.name(character, "")))
    )


def _called(character: str) -> str:
    return " ".join((f"U+{ord(character):04X}", unicodedata.name(character, ""))).strip()


def _refusal(error: UnicodeEncodeError) -> str:
    character = error.object[error.start : error.end]
    if len(character) != 1:
        return "cannot be compared with other names: choose another"
    category = unicodedata.category(character)
    if category in ("Cn", "Co"):
        return f"must not contain {_called(character)}, which stands for no character: leave it out"
    if category in ("Zl", "Zp"):
        return f"must not contain {_called(character)}: write it in one line"
    if category == "Lo" and "FILLER" not in _called(character):
        return f"must not contain {_called(character)}, which is not for names: leave it out"
    return f"must not contain {_called(character)}, which nobody sees: leave it out"
