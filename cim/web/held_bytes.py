"""Unfinished requests, and answers that clients do not read, bounded in bytes (docs/limits.md, Connections)."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_M = TypeVar("_M", bound=Hashable)


class HeldBytes(Generic[_M]):
    """The bytes that are held for each of some connections, the one that waits longest first, and whose they are.

    :param most_of_one: at most so many of one party; 0 for no bound
    :param most: at most so many together; 0 for no bound
    """

    def __init__(self, most_of_one: int = 0, most: int = 0) -> None:
        self._most_of_one = most_of_one or sys.maxsize
        self._most = most or sys.maxsize
        self._party: dict[_M, str] = {}
        self._of: dict[str, OrderedDict[_M, int]] = {}
        self._sums: dict[str, int] = {}
        self._sum = 0

    def __len__(self) -> int:
        return self._sum

    def put(self, member: _M, party: str, size: int) -> None:
        """Note that so much is held for a connection, which goes on waiting behind all others.

        :param party: whose it is; empty if nobody knows, and then not bounded as one
        """
        self.remove(member)
        self._party[member] = party
        self._of.setdefault(party, OrderedDict())[member] = size
        self._add(party, size)

    def remove(self, member: _M) -> None:
        """Note that nothing is held for a connection."""
        party = self._party.pop(member, None)
        if party is not None:
            self._add(party, -self._of[party].pop(member))
            if not self._of[party]:
                del self._of[party], self._sums[party]

    def _add(self, party: str, size: int) -> None:
        self._sums[party] = self._sums.get(party, 0) + size
        self._sum += size

    def excess(self, party: str) -> _M | None:
        """Return one that has to go: of a party that has too much, or of the one that has the most; None if none has.

        It is the one that waits longest.
        """
        if party and self._sums.get(party, 0) > self._most_of_one:
            return next(iter(self._of[party]))
        if self._sum > self._most:
            return next(iter(self._of[max(self._sums, key=self._sums.__getitem__)]))
        return None
