"""An index of online users by name, kept up by presence, so that a search does not visit all sessions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedList

from cim.model import MAX_NAME, Account
from cim.route.presence.presence import Online, Presence

#: Appended to a prefix, sorts behind every name that begins with the prefix.
_LAST = "\U0010ffff" * (MAX_NAME + 1)


class OnlineNames:
    """The users with sessions on our servers, sorted by the code points of their names."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._sorted: SortedList[tuple[str, int]] = SortedList()
        self._names: dict[int, str] = {}
        presence.observers.append(self)

    def __len__(self) -> int:
        return len(self._names)

    def appeared(self, online: Online) -> None:
        """Add a session."""
        if online.user not in self._names:
            self._names[online.user] = online.name
            self._sorted.add((online.name, online.user))

    def vanished(self, online: Online) -> None:
        """Remove a session."""
        if not self._presence.of(online.user):
            name = self._names.pop(online.user, None)
            if name is not None:
                self._sorted.remove((name, online.user))

    died = moved = vanished

    def behind(self, name: str) -> Iterator[Account]:
        """Iterate over all users who are online and whose names are behind this one."""
        for found, user in self._sorted.irange((name, 1 << 53)) if name else iter(self._sorted):
            yield Account(user, found)

    def page(
        self, prefix: str, after: str, limit: int, hidden: frozenset[int] = frozenset()
    ) -> tuple[list[Account], int, bool]:
        """Return users whose names begin with `prefix`, their total number, and whether more follow.

        :param after: return only names behind this one
        :param hidden: users who seem not to be there
        """
        first, last = self._sorted.bisect_left((prefix, 0)), self._sorted.bisect_left((prefix + _LAST, 0))
        begin = first
        if after:
            begin = min(max(first, self._sorted.bisect_left((after, 1 << 53))), last)
        seen = (Account(user, name) for name, user in self._sorted.islice(begin, last) if user not in hidden)
        page = list(islice(seen, limit + 1))
        there = hidden & self._names.keys() if hidden else hidden
        total = last - first - sum(self._names[user].startswith(prefix) for user in there)
        return page[:limit], total, len(page) > limit
