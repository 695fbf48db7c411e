"""Whom users block, for what is not stored: presence, typing notes and receipts.

What is stored asks the store itself, in the same step. Here a block takes effect at once on the route through which it
was made, and within KEPT_SECONDS on the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
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
        self._blocked: Cache[int, frozenset[int]] = Cache(clock.seconds, KEPT_SECONDS, MAX_KEPT)
        self._blockers: Cache[int, frozenset[int]] = Cache(clock.seconds, KEPT_SECONDS, MAX_KEPT_MANY)

    async def blocks(self, user: int, other: int) -> bool:
        """Return whether a user blocks another one."""
        blocked = self._blocked.get(user)
        if blocked is None:
            try:
                blocked = await self._blocked.look_up(user, self._look_up)
            except Unavailable:
                blocked = self._blocked.last(user)
        return blocked is None or other in blocked

    async def _look_up(self, user: int) -> frozenset[int]:
        return frozenset(await self._store.blocked(user))

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
        if kept is not None:
            return kept
        found: frozenset[int] = await self._store.blockers(viewer)
        if len(found) > MANY:
            self._blockers.keep(viewer, found)
        return found

    async def apart(self, viewer: int) -> frozenset[int]:
        """Return all who block a viewer, and whom it blocks.

        :raises Unavailable: the store is away
        """
        return (await self.blockers(viewer)).union(await self._store.blocked(viewer))

    def forget_all(self) -> None:
        """Drop all that is cached: the store may have gone back."""
        self._blocked.clear()
        self._blockers.clear()

    async def block(self, user: int, other: int) -> None:
        """Have a user block another one. Raises the same errors as IBlocks.block."""
        await self._store.block(user, other)
        self._blocked.forget(user)

    async def unblock(self, user: int, other: int) -> bool:
        """Have a user no longer block another one; return False if the user did not."""
        done: bool = await self._store.unblock(user, other)
        self._blocked.forget(user)
        return done
