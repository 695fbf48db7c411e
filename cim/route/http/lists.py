"""Makes the lists that users ask for by `/v1`, one of each at a time (docs/limits.md, Users)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from cim.errors import RateLimited
from cim.route.front.rates import Rates

#: What each thing in a list counts, in calls.
WEIGHT = 0.08
#: How many lists of a user may wait for the one that is being made.
WAITING = 16


class Lists:
    """The turns of users: one list of each is made at a time.

    :param rates: counts lists by what is in them
    :param refused: called with the kind of each refusal
    """

    def __init__(self, rates: Rates, refused: Callable[[str], None]) -> None:
        self._rates = rates
        self._refused = refused
        self._lines: dict[int, deque[Deferred[None]]] = {}

    def __len__(self) -> int:
        """How many users have a list made."""
        return len(self._lines)

    @asynccontextmanager
    async def turn(self, user: int) -> AsyncIterator[Callable[[int], None]]:
        """Wait for a user's turn, and give what to call with the number of things in its list.

        :raises RateLimited: too many lists of the user wait
        """
        line = self._lines.get(user)
        if line is None:
            self._lines[user] = deque()
        elif len(line) < WAITING:
            turn: Deferred[None] = Deferred()
            line.append(turn)
            await turn
        else:
            self._refused("limit-user-lists")
            raise RateLimited("too many of your lists are being made: wait for their answers", 1)
        try:
            yield lambda count: self._rates.spend("user-calls", user, count * WEIGHT)
        finally:
            line = self._lines[user]
            if line:
                line.popleft().callback(None)
            else:
                del self._lines[user]
