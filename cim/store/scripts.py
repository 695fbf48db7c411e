"""A Lua script of ours, called by its hash."""

from __future__ import annotations

import hashlib

from attrs import field, frozen


@frozen
class Script:
    """A script and what its calls are counted as.

    :param name: what `IStore.observe` calls it
    """

    name: str
    text: str
    sha: str = field(init=False)

    @sha.default
    def _hash(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
