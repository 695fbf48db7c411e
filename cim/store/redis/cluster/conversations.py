"""Conversations in a Redis Cluster: what is in one bucket is as on a single Redis (cim/store/redis/conversations.py).

    cim:ab:{<user>}    in the user's bucket, sorted set: buckets of conversations -> time of the last activity, up to
                       INDEX_MS ago, or +inf for those of its groups

All that is about a user and a conversation lies in the conversation's bucket: the index of private conversations, the
marks of devices, what counts to the quota. So an append, or a mark, is one step in one bucket, and the buckets of a
call are asked side by side. Which buckets a user has is written before something is stored in one, so that it is
found; a route remembers that, so that it is mostly no call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from cim.errors import CIMError, Forbidden, NotFound, StoreUnavailable
from cim.model import Append, Appended, Charge, ConversationHead, Fate, HeadsPage, Mark, Retention
from cim.store.pages import BEFORE_MS, MAX_LOOKED, parse_cursor
from cim.store.redis.buckets import bucket_of
from cim.store.redis.cluster.connection import gathered
from cim.store.redis.cluster.quotas import NONE, PAY, TOO_MUCH, Quotas, buckets_of
from cim.store.redis.conversations import HEADS, MARK, RedisConversations, marks_key, quota_charge
from cim.store.redis.invitations import waiting
from cim.store.redis.keys import Key
from cim.wire import conversations

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.cluster.connection import ClusterConnection
    from cim.store.redis.cluster.copies import Copies

#: How late the index of a user's buckets may be, in ms.
INDEX_MS = 60_000
#: How many pairs of users and buckets, and how many conversations, one remembers.
KEPT = 200_000


class ClusterConversations(RedisConversations):
    """Conversations that all routes share."""

    _connection: ClusterConnection

    def __init__(
        self,
        connection: ClusterConnection,
        retention: Retention,
        clock: IReactorTime,
        copies: Copies,
        *,
        no_space: Callable[[], bool],
        random: Callable[[], float],
    ) -> None:
        super().__init__(connection, retention, no_space=no_space, random=random)
        connection.load(PAY)
        connection.on_epoch(self._forget)
        self._copies = copies
        self._quotas = Quotas(connection, retention, clock)
        #: (user, bucket) -> the activity in the index.
        self._indexed: dict[tuple[int, int], int] = {}
        #: The conversations in which something is.
        self._begun: dict[str, None] = {}
        #: Fires when the append before has sent what it appends: those of one conversation are made in order.
        self._before: Deferred[None] | None = None

    def _forget(self) -> None:
        self._indexed.clear()
        self._begun.clear()

    # Appending

    def append(self, items: Sequence[Append]) -> Deferred[list[Appended | CIMError]]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._append_all(items))

    async def _append_all(self, items: Sequence[Append]) -> list[Appended | CIMError]:
        await self._connection.ready()
        before, mine = self._before, Deferred[None]()
        self._before = mine
        try:
            if before is not None and not before.called:
                await before
            charges, prices = await self._prepared(items)
            by_bucket: dict[int, list[int]] = {}
            for at, item in enumerate(items):
                by_bucket.setdefault(bucket_of(item.conversation), []).append(at)
            sent = [
                (places, self._append_some([items[at] for at in places], [charges[at] for at in places]))
                for places in by_bucket.values()
            ]
        finally:
            mine.callback(None)
        results: list[Appended | CIMError] = [StoreUnavailable()] * len(items)
        for places, answers in sent:
            try:
                for at, answer in zip(places, await answers, strict=True):
                    results[at] = answer
            except StoreUnavailable:
                pass
        for at, result in enumerate(results):
            if isinstance(result, Forbidden | NotFound):
                results[at] = await self._append_again(items[at], charges[at], result)
        await self._settle(items, charges, prices, results)
        return results

    async def _append_again(self, item: Append, charge: str, refusal: CIMError) -> Appended | CIMError:
        """Append what was refused, if it is only that its bucket has lost who may append."""
        try:
            if await self._copies.renewed(item):
                return (await self._append_some([item], [charge]))[0]
        except StoreUnavailable as error:
            return error
        return refusal

    def _saw(self, conversation: str, number: int) -> None:
        self._connection.looks.saw_in(bucket_of(conversation), number)

    def _append_some(self, items: Sequence[Append], charges: Sequence[str]) -> Deferred[list[Appended | CIMError]]:
        return self._append(items, charges, NONE)

    async def _prepared(self, items: Sequence[Append]) -> tuple[list[str], list[int]]:
        charges = [str(item.charge) if item.charge != Charge.USER else "-" for item in items]
        prices = [0] * len(items)
        try:
            await self._prepare(items, charges, prices)
        except StoreUnavailable as error:
            await self._settle(items, charges, prices, [error] * len(items))
            raise
        return charges, prices

    async def _prepare(self, items: Sequence[Append], charges: list[str], prices: list[int]) -> None:
        """Write in which buckets people have conversations, and have quotas pay.

        :param charges: is made what is charged to each item
        :param prices: is made what was paid for each
        """
        now = self._clock.now()
        index: dict[tuple[int, int], None] = {}
        payers: dict[int, list[int]] = {}
        for at, item in enumerate(items):
            name = conversations.parse(item.conversation)
            if isinstance(name, conversations.PrivateConversation):
                bucket = bucket_of(item.conversation)
                for user in (name.low, name.high):
                    if abs(now - self._indexed.get((user, bucket), 0)) >= INDEX_MS:
                        index[user, bucket] = None
            elif not name.id:
                continue
            if item.charge == Charge.USER and self._retention.user_bytes:
                charges[at] = quota_charge(len(item.body), self._random())
                if item.fate is Fate.STORED and not item.recalls:
                    later, _, first = charges[at].partition(" ")
                    # Only Redis knows whether it is the first.
                    prices[at] = int(later if item.conversation in self._begun else first)
                    payers.setdefault(item.sender, []).append(at)
        work = []
        for user, places in payers.items():
            if not self._quotas.relies(user, [prices[at] for at in places]):
                work.append(self._pay(user, places, charges, prices))
        if index:
            work.append(self._index(index, now))
        if work:
            await gathered(work)

    async def _pay(self, user: int, places: Sequence[int], charges: list[str], prices: list[int]) -> None:
        sizes = [prices[at] for at in places]
        for at in places:
            prices[at] = 0
        paid = await self._quotas.pay(user, sizes)
        for at, size in zip(places, sizes, strict=True):
            prices[at] = size
        for at, well in zip(places, paid, strict=True):
            if not well:
                charges[at], prices[at] = TOO_MUCH, 0

    async def _index(self, pairs: Collection[tuple[int, int]], now: int) -> None:
        writes = [(bucket_of(user), ("ZADD", Key.BUCKETS.of(user), "GT", now, bucket)) for user, bucket in pairs]
        await self._connection.commands_in("append", writes)
        for pair in pairs:
            self._indexed.pop(pair, None)
            self._indexed[pair] = now
        while len(self._indexed) > KEPT:
            del self._indexed[next(iter(self._indexed))]

    async def _settle(
        self,
        items: Sequence[Append],
        charges: Sequence[str],
        prices: Sequence[int],
        results: Sequence[Appended | CIMError],
    ) -> None:
        """Give back what was paid for and not stored, as far as it is known."""
        back: Counter[int] = Counter()
        payers: Counter[int] = Counter()
        for item, charge, price, result in zip(items, charges, prices, results, strict=True):
            cost = 0
            if isinstance(result, Appended):
                self._begun[item.conversation] = None
                if not result.repeated and price:
                    later, _, first = charge.partition(" ")
                    cost = int(later if result.previous else first)
            elif isinstance(result, StoreUnavailable):
                cost = price
            payers[item.sender] += price
            back[item.sender] += max(0, price - cost)
        while len(self._begun) > KEPT:
            del self._begun[next(iter(self._begun))]
        for user, price in payers.items():
            if price:
                try:
                    await self._quotas.settle(user, price, back[user])
                except StoreUnavailable:  # it is found when all is added up
                    pass

    # Heads and marks

    async def _heads(self, user: int, device: str, after: str, since: int, limit: int) -> HeadsPage:
        active, name = parse_cursor(after) if after else ("", "")
        await self._connection.ready()
        now = self._clock.now()
        oldest = max(since - BEFORE_MS, self._oldest())
        most = max(1, min(limit, MAX_LOOKED))
        keys = (Key.ACTIVITY.of(user), Key.GROUPS_OF.of(user), marks_key(user, device), Key.INVITED.of(user))
        args = (user, device, most, oldest, active, name, self._retention.device_ms)
        # Without `since` all are asked, so that they remember the device for longer.
        buckets = await buckets_of(self._connection, user, since - BEFORE_MS - INDEX_MS if since else 0)
        asked = [self._connection.evaluate_in("heads", bucket, HEADS, keys, args) for bucket in buckets]
        invitations: list[Any] = []
        if not after:
            asked.append(self._connection.command("heads", "HGETALL", Key.INVITED.of(user)))  # type: ignore[arg-type]
        answers = await gathered(asked)
        if not after:
            invitations = answers.pop()
        lines: list[Any] = []
        # Behind the first of the places at which buckets stopped there may be something that nobody has looked at.
        stop: tuple[int, bytes] | None = None
        for more, strange, found, _ in answers:
            self.skipped += strange
            lines += found
            if more:
                at, _, last = more.partition(b" ")
                stop = max(stop or (0, b""), (int(at), last))
        lines.sort(key=lambda line: (int(line[5]), line[0]), reverse=True)
        page = [line for line in lines if stop is None or (int(line[5]), line[0]) >= stop]
        further = b""
        if len(page) > most:
            page = page[:most]
            further = b"%b %b" % (page[-1][5], page[-1][0])
        elif stop is not None:
            further = b"%d %b" % stop
        heads = [
            ConversationHead(name.decode(), latest.decode(), received.decode(), read.decode(), unread, int(active))
            for name, latest, received, read, unread, active in page
        ]
        return HeadsPage(tuple(heads), further.decode(), now, tuple(waiting(user, invitations, now, since)))

    async def _reached(self, conversation: str, devices: Mapping[int, Collection[str]]) -> Mapping[int, str]:
        return await self._farthest(
            conversation,
            devices,
            lambda asked: self._connection.commands_in("reached", [(bucket_of(conversation), one) for one in asked]),
        )

    async def _mark(self, marks: Sequence[Mark]) -> list[str]:
        by_bucket: dict[int, list[int]] = {}
        for at, mark in enumerate(marks):
            by_bucket.setdefault(bucket_of(mark.conversation), []).append(at)
        moved = [""] * len(marks)

        async def some(bucket: int, places: Sequence[int]) -> None:
            keys, args = self._marking([marks[at] for at in places])
            answers = await self._connection.run_in(bucket, MARK, keys, args)
            for at, position in zip(places, answers, strict=True):
                moved[at] = position.decode()

        await gathered(some(*one) for one in by_bucket.items())
        return moved
