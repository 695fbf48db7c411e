"""The Lua scripts of this folder, which are called by their hashes."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from attrs import field, frozen

from cim.store import bounds, pages
from cim.store.redis.keys import LUA
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
_NUMBERS = f"local {', '.join(NUMBERS)} = {', '.join(map(str, NUMBERS.values()))}"


@frozen
class Script:
    """A script and the name that its calls are counted under.

    :param name: the name for `IStore.observe`
    """

    name: str
    text: str
    sha: str = field(init=False)

    @sha.default
    def _hash(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def script(name: str, *preludes: str) -> Script:
    """Return the script of `<name>.lua`, which can use the names of keys, NUMBERS and what the preludes define."""
    return Script(name, "\n".join([LUA, _NUMBERS, *(_source(part) for part in (*preludes, name))]))


def _source(name: str) -> str:
    return files("cim.store.redis").joinpath(f"{name}.lua").read_text(encoding="utf-8")
