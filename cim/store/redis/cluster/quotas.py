"""What users' quotas pay for in a cluster.

    cim:paid:{<user>}    in the user's bucket: how many bytes the quota pays for, about

What is stored of a user is counted where it is stored, in each of the buckets of its conversations, as it is on a
single Redis; and paid for in the user's own bucket before. When there is not enough, all is added up anew, so that
what was given back by trimming, or was paid for and not stored, counts again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cim.model import Retention
from cim.store.bounds import BLOCK, DAY_MS
from cim.store.redis.buckets import bucket_of
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.cluster.connection import ClusterConnection

PAY = script("pay")
#: The quota for the scripts that store: none. It was paid before.
NONE = 1 << 52
#: What is charged to a message that is not paid for: the script refuses it, unless it is a repetition.
TOO_MUCH = f"{1 << 53} {1 << 53}"
#: How long one relies on what a user's quota paid for, in seconds, if so many blocks are left.
RELIED_SECONDS = 60.0
LEFT_BLOCKS = 4
#: How long it is not added up again for a user for whom that was of no use, in seconds.
USELESS_SECONDS = 1.0
KEPT_USERS = 100_000


class Quotas:
    """Pays for messages."""

    def __init__(self, connection: ClusterConnection, retention: Retention, clock: IReactorTime) -> None:
        self._connection = connection
        self._retention = retention
        self._clock = clock
        #: By user: how much it pays for, and when that was known; `useless` when adding up was of no use.
        self._known: dict[int, tuple[int, float]] = {}
        self._useless: dict[int, float] = {}
        #: What was paid for and is being stored: it is not found yet when all is added up.
        self._under_way: Counter[int] = Counter()

    def relies(self, user: int, sizes: Sequence[int]) -> bool:
        """Return whether messages of a user need not be paid for."""
        if any(sizes):
            return False
        known = self._known.get(user)
        if known is None or self._clock.seconds() - known[1] > RELIED_SECONDS:
            return False
        return known[0] + LEFT_BLOCKS * BLOCK < self._retention.user_bytes

    async def pay(self, user: int, sizes: Sequence[int]) -> list[bool]:
        """Pay for messages, in order; return for each whether it is paid for.

        :param sizes: bytes; 0 if the message costs nothing as long as something is left
        :raises StoreUnavailable: nobody knows what was paid for
        """
        paid = await self._pay(user, sizes)
        self._under_way[user] += sum(size for size, well in zip(sizes, paid, strict=True) if well)
        now = self._clock.seconds()
        if all(paid) or now - self._useless.get(user, -USELESS_SECONDS) < USELESS_SECONDS:
            return paid
        rest = [size for size, well in zip(sizes, paid, strict=True) if not well]
        again = await self._pay(user, rest, await self._sum(user) + self._under_way[user])
        self._under_way[user] += sum(size for size, well in zip(rest, again, strict=True) if well)
        late = iter(again)
        paid = [well or next(late) for well in paid]
        if not all(paid):
            self._keep(self._useless, user, now)
        return paid

    async def settle(self, user: int, paid: int, back: int) -> None:
        """Take note that what was paid for is stored, or will not be.

        :param back: how much of it was not needed, as far as is known
        """
        self._under_way[user] -= paid
        if not self._under_way[user]:
            del self._under_way[user]
        if back:
            await self._pay(user, [-back])

    async def _pay(self, user: int, sizes: Sequence[int], total: int | None = None) -> list[bool]:
        lasts = self._retention.ms + 2 * DAY_MS
        args = (self._retention.user_bytes, lasts, int(total is not None), total or 0, *sizes)
        every, paid = await self._connection.evaluate_in("pay", bucket_of(user), PAY, (Key.PAID.of(user),), args)
        self._keep(self._known, user, (every, self._clock.seconds()))
        return [bool(one) for one in paid]

    async def _sum(self, user: int) -> int:
        """Return what is stored of a user, by all its buckets."""
        buckets = await buckets_of(self._connection, user)
        key = Key.STORED.of(user)
        held = await self._connection.commands_in("pay", [(bucket, ("HGETALL", key)) for bucket in buckets])
        oldest = (self._connection.clock.now() - self._retention.ms) // DAY_MS
        return sum(
            int(size)
            for days in held
            for day, size in zip(days[::2], days[1::2], strict=True)
            if day != b"all" and int(day) >= oldest
        )

    @staticmethod
    def _keep(kept: dict[int, Any], user: int, value: Any) -> None:
        kept.pop(user, None)
        kept[user] = value
        if len(kept) > KEPT_USERS:
            del kept[next(iter(kept))]


async def buckets_of(connection: ClusterConnection, user: int, since: int = 0) -> list[int]:
    """Return the buckets in which a user has conversations.

    :param since: only those with activity since then, ms since 1970
    """
    (found,) = await connection.commands("buckets", ("ZRANGEBYSCORE", Key.BUCKETS.of(user), since, "+inf"))
    return [int(one) for one in found]
