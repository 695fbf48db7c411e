"""A cache of what may change elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cim.errors import CIMError, Unavailable

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Cache(Generic[_K, _V]):
    """Keeps values, each for some seconds, and no more than so many: those that were kept last.

    :param now: returns the seconds of a clock that may be set back
    :param seconds: how long each is kept
    :param most: how many are
    """

    def __init__(self, now: Callable[[], float], seconds: float, most: int) -> None:
        self._now = now
        self._seconds = seconds
        self._most = most
        # When each was kept, and what.
        self._kept: OrderedDict[_K, tuple[float, _V]] = OrderedDict()
        self._changes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: _K) -> _V | None:
        """Return what is kept, or None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        since, value = kept
        return value if 0 <= self._now() - since < self._seconds else None

    def last(self, key: _K) -> _V | None:
        """Return what was kept last, however long ago, or None if it is forgotten."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None else None

    def keep(self, key: _K, value: _V) -> None:
        """Keep a value from now on."""
        self._kept[key] = self._now(), value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, key: _K) -> None:
        """Forget what is kept, and keep nothing of the look-ups under way: it has changed."""
        self._changes += 1
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget all that is kept, and keep nothing of the look-ups under way."""
        self._changes += 1
        self._kept.clear()

    async def look_up(self, key: _K, ask: Callable[[_K], Awaitable[_V]]) -> _V:
        """Return what `ask` returns for a key, and keep it; whatever was kept is not asked.

        What was kept stays if `ask` raises Unavailable, and is forgotten if it raises another CIMError.
        """
        changes = self._changes
        try:
            found = await ask(key)
        except Unavailable:
            raise
        except CIMError:
            self._kept.pop(key, None)
            raise
        if changes == self._changes:
            self.keep(key, found)
        return found
