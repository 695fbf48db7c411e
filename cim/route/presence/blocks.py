"""Whom users block, for what is not stored: presence, typing notes and receipts.

What is stored asks the store itself, in the same step. Here a block takes effect at once on the route through which it
was made, and within KEPT_SECONDS on the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from cim.errors import Unavailable
from cim.interfaces import IBlocks

#: How long it is cached whom a user blocks, in seconds, and of how many users.
KEPT_SECONDS = 10.0
MAX_KEPT = 100_000
#: By more than so many a user is blocked by many; they are cached as long, of so many users.
MANY = 1000
MAX_KEPT_MANY = 100


class Blocks:
    """Knows who blocks whom. While the store is away and nothing is known, everyone seems to block everyone."""

    def __init__(self, store: IBlocks, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[int, tuple[float, frozenset[int]]] = OrderedDict()
        self._blockers: OrderedDict[int, tuple[float, frozenset[int]]] = OrderedDict()
        # Counts changes: a look-up that began before the last one is not cached.
        self._changes = 0

    async def blocks(self, user: int, other: int) -> bool:
        """Return whether a user blocks another one."""
        kept = self._kept.get(user)
        if kept is not None and kept[0] > self._clock.seconds():
            return other in kept[1]
        changes = self._changes
        try:
            blocked = frozenset(await self._store.blocked(user))
        except Unavailable:
            return kept is None or other in kept[1]
        if changes == self._changes:
            self._kept[user] = self._clock.seconds() + KEPT_SECONDS, blocked
            self._kept.move_to_end(user)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return other in blocked

    async def between(self, one: int, other: int) -> bool:
        """Return whether either of two users blocks the other one."""
        return await self.blocks(one, other) or await self.blocks(other, one)

    async def hidden(self, viewer: int, users: Sequence[int]) -> frozenset[int]:
        """Return those of some users who block a viewer, as the store has it now."""
        if not users:
            return frozenset()
        try:
            return (await self.blockers(viewer)).intersection(users)
        except Unavailable:
            return frozenset(users)

    async def blockers(self, viewer: int) -> frozenset[int]:
        """Return all who block a viewer, as the store has it now, or a few seconds ago if they are many.

        :raises Unavailable: the store is away
        """
        kept = self._blockers.get(viewer)
        if kept is not None and kept[0] > self._clock.seconds():
            return kept[1]
        found: frozenset[int] = await self._store.blockers(viewer)
        if len(found) > MANY:
            self._blockers[viewer] = self._clock.seconds() + KEPT_SECONDS, found
            self._blockers.move_to_end(viewer)
            if len(self._blockers) > MAX_KEPT_MANY:
                self._blockers.popitem(last=False)
        return found

    async def block(self, user: int, other: int) -> None:
        """Have a user block another one. Raises the same errors as IBlocks.block."""
        await self._store.block(user, other)
        self._forget(user)

    async def unblock(self, user: int, other: int) -> bool:
        """Have a user no longer block another one; return False if the user did not."""
        done: bool = await self._store.unblock(user, other)
        self._forget(user)
        return done

    def _forget(self, user: int) -> None:
        self._changes += 1
        self._kept.pop(user, None)
