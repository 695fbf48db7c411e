"""The Lua scripts of this folder, which are called by their hashes."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from attrs import field, frozen

from cim.store import bounds
from cim.store.redis.keys import LUA


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
    """Return the script of `<name>.lua`, which can use the names of keys and the definitions of the preludes."""
    return Script(name, "\n".join([LUA, bounds.LUA, *(_source(part) for part in (*preludes, name))]))


def _source(name: str) -> str:
    return files("cim.store.redis").joinpath(f"{name}.lua").read_text(encoding="utf-8")
