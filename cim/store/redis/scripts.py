"""The Lua scripts of this folder, which are called by their hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files

from attrs import field, frozen

from cim.store import bounds, pages
from cim.store.redis.keys import Key
from cim.store.rules import clock

#: The numbers of both stores that scripts have under the same names.
NUMBERS = {
    **{
        name: getattr(bounds, name)
        for name in (
            *("DAY_MS", "STRETCH", "MOST_SHARES", "PEOPLE", "SLACK", "BYTES_SLACK", "STEP_BYTES", "STEP_ENTRY"),
            *("MESSAGE_BYTES", "BLOCK"),
        )
    },
    **{
        name: getattr(pages, name)
        for name in ("LATE_MS", "ONCE_SECONDS", "ONCE_MESSAGES", "MAX_UNREAD", "CHANGES_KEPT", "MAX_LOOKED")
    },
    **{name: getattr(clock, name) for name in ("STEP_MS", "BELIEF_MS")},
}
_NUMBERS = {name: str(number) for name, number in NUMBERS.items()}
_KEYS = {name: repr(str(key)) for name, key in Key.__members__.items()}


@frozen(slots=False)
class Script:
    """A script and the name that its calls are counted under.

    :param name: the name for `IStore.observe`
    :param source: its text with names of keys
    """

    name: str
    text: str
    source: str
    sha: str = field(init=False)

    @sha.default
    def _hash(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def in_bucket(self) -> Script:
        """The same script for a Redis Cluster: its last key is the tag of the bucket, with which all names begin.

        That is the name of a key, too, which is never there. So while a bucket moves to another node, and some of it is
        here and some there, Redis runs no script in it (TRYAGAIN), whatever keys that would name itself.
        """
        named = [name for name in Key.__members__ if re.search(rf"\b{name}\b", self.source)]
        lines = ["local B = table.remove(KEYS)"]
        if named:
            lines.append(f"local {', '.join(named)} = {', '.join(f'B .. {str(Key[name])!r}' for name in named)}")
        text = " ".join(lines) + "\n" + self.source
        return Script(self.name, text, text)


def script(name: str, *preludes: str) -> Script:
    """Return the script of `<name>.lua`, which can use the names of keys, NUMBERS and what the preludes define.

    These constants stand in the text where they are named. As local names each call would make them anew, and each
    function look for them.
    """
    source = _with("\n".join(_source(part) for part in (*preludes, name)), _NUMBERS)
    return Script(name, _with(source, _KEYS), source)


def _with(text: str, constants: Mapping[str, str]) -> str:
    names = re.compile(rf"(?<!')\b(?:{'|'.join(constants)})\b(?!')")
    return names.sub(lambda found: constants[found[0]], text)


def _source(name: str) -> str:
    return files("cim.store.redis").joinpath(f"{name}.lua").read_text(encoding="utf-8")
