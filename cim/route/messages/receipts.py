"""Received and Read marks of sessions, written behind, and Read marks of HTTP calls, whose answer means stored.

Losing a Received costs a repeated delivery, which positions detect. A Read waits only for what comes in the same turn,
and for the write before it: the store sets no mark beyond the end, and what is said later must not count as read.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import CIMError, Unavailable
from cim.interfaces import IConversations, ILink
from cim.model import Mark
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.reading import Reading
from cim.route.messages.together import together
from cim.route.presence.blocks import Blocks
from cim.supervision import Loop
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import Read

#: How long a Received waits for others, in seconds, and how many receipts are written at once.
FLUSH_SECONDS = 0.2
FLUSH_ITEMS = 200
#: The most receipts that may wait; beyond that the oldest are dropped.
WAITING = 100_000

_Key = tuple[str | None, str]
_Noted = tuple[positions.Position, str, ILink | None, str]


@define(eq=False)
class _Write:
    """A write under way."""

    users: frozenset[int]
    waiters: list[Deferred[None]] = field(factory=list)


class Receipts(Service):
    """Keeps the newest receipt of each kind, writes them in batches, and notifies users of a Read."""

    _log = Logger()

    def __init__(
        self, store: IConversations, reading: Reading, delivery: Delivery, blocks: Blocks, clock: IReactorTime
    ) -> None:
        self._store = store
        self._blocks = blocks
        self._reading = reading
        self._delivery = delivery
        self._clock = clock
        # By user, the longest waiting first; then by device (None for a Read) and conversation.
        self._waiting: dict[int, dict[_Key, _Noted]] = {}
        self._count = 0
        self._loop = Loop("writing receipts", self._flush, clock)
        self._writes: list[_Write] = []
        self.forgotten = 0
        #: Called with the user, the conversation and the position of each Read mark that moved.
        self.on_read: list[Callable[[int, str, str], object]] = []

    def __len__(self) -> int:
        return self._count

    def note(
        self,
        user: int,
        device: str | None,
        conversation: str,
        position: str,
        origin: ILink | None = None,
        session: str = "",
    ) -> None:
        """Note a receipt; none are kept for messages to everyone.

        :param device: None for a Read
        :param origin: with `session`, the session that sent the receipt, which is not notified
        :raises InvalidField: an invalid position
        """
        noted = (positions.parse(position), position, origin, session)
        if conversation == conversations.EVERYONE:
            return
        self._keep(user, (device, conversation), noted)
        if self._count > WAITING:
            self.forgotten += len(self._take(next(iter(self._waiting))))
        if not self._writes:
            self._loop.wake(FLUSH_SECONDS if device is not None else 0)

    async def read(self, user: int, conversation: str, position: str) -> None:
        """Store a Read, and notify users of it.

        :raises InvalidField: an invalid position or conversation
        :raises Forbidden: the user is not part of the conversation
        :raises Unavailable: it may not be stored
        """
        noted = (positions.parse(position), position, None, "")
        floor = await self._reading.floor(user, conversation)
        await self._store_marks([Mark(user, None, conversation, position, floor)], [noted])

    def _keep(self, user: int, key: _Key, noted: _Noted) -> None:
        of_user = self._waiting.setdefault(user, {})
        kept = of_user.get(key)
        if kept is None:
            self._count += 1
        elif kept[0] >= noted[0]:
            return
        of_user[key] = noted

    def _take(self, user: int) -> dict[_Key, _Noted]:
        taken = self._waiting.pop(user, {})
        self._count -= len(taken)
        return taken

    async def written_of(self, user: int) -> None:
        """Return once the noted receipts of a user are written, or the store has refused them."""
        for write in self._writes:
            if user in write.users:
                over: Deferred[None] = Deferred()
                write.waiters.append(over)
                await over
                break
        if user in self._waiting:
            await self._write({user: self._take(user)})

    def _flush(self) -> None:
        batch: dict[int, dict[_Key, _Noted]] = {}
        size = 0
        while self._waiting and size < FLUSH_ITEMS:
            user = next(iter(self._waiting))
            batch[user] = self._take(user)
            size += len(batch[user])
        Deferred.fromCoroutine(self._write(batch))

    async def _write(self, batch: dict[int, dict[_Key, _Noted]]) -> bool:
        """Write receipts; return False if the store fails, and let them wait again. Never fails."""
        write = _Write(frozenset(batch))
        self._writes.append(write)
        well = True
        try:
            await self._mark(batch)
        except Unavailable:
            well = False
            for user, noted in batch.items():
                for key, one in noted.items():
                    self._keep(user, key, one)
        except Exception:
            self._log.failure("receipts were not written")
        self._writes.remove(write)
        for over in write.waiters:
            over.callback(None)
        if self._waiting and not self._writes:
            now = well and (self._count >= FLUSH_ITEMS or self._reads_wait())
            self._loop.wake(0 if now else FLUSH_SECONDS)
        return well

    def _reads_wait(self) -> bool:
        return any(device is None for noted in self._waiting.values() for device, _ in noted)

    async def _mark(self, batch: dict[int, dict[_Key, _Noted]]) -> None:
        marks: list[Mark] = []
        said: list[_Noted] = []
        in_groups = [(user, name) for user, noted in batch.items() for _, name in noted if name.startswith("g:")]
        if len(in_groups) > 1:
            # Looked up together, and cached: one after the other each would wait for the store by itself.
            looking = [Deferred.fromCoroutine(self._reading.floor(*one)) for one in in_groups]
            await DeferredList(looking, consumeErrors=True)
        for user, noted in batch.items():
            for (device, conversation), one in noted.items():
                try:
                    floor = await self._reading.floor(user, conversation)
                except Unavailable:
                    raise
                except CIMError:
                    continue
                marks.append(Mark(user, device, conversation, one[1], floor))
                said.append(one)
        if marks:
            await self._store_marks(marks, said)

    async def _store_marks(self, marks: list[Mark], said: list[_Noted]) -> None:
        standing = await self._store.mark(marks)
        telling = []
        for mark, (position, _, origin, session), at in zip(marks, said, standing, strict=True):
            # A mark never moves backwards.
            if mark.device is None and at and positions.parse(at) <= position:
                for listener in self.on_read:
                    listener(mark.user, mark.conversation, at)
                told = self._tell(mark.user, mark.conversation, at, origin, session)
                telling.append(Deferred.fromCoroutine(told))
        await together(telling)

    async def _tell(self, user: int, conversation: str, position: str, origin: ILink | None, session: str) -> None:
        packet = native.packet(read=Read(conversation=conversation, position=position, reader=user))
        name = conversations.parse(conversation)
        told: tuple[int, ...] = (user,)
        if isinstance(name, conversations.PrivateConversation):
            other = name.other(user)
            if not await self._blocks.between(user, other):
                told = (user, other)
        self._delivery.to_users(Push(packet=packet, origin=origin, session=session), told)

    def stopService(self) -> Deferred[None]:
        """Write the waiting receipts; the parent service sets the deadline."""
        super().stopService()
        self._loop.stop()
        return Deferred.fromCoroutine(self._write_all())

    async def _write_all(self) -> None:
        for write in list(self._writes):
            over: Deferred[None] = Deferred()
            write.waiters.append(over)
            await over
        while self._waiting:
            batch = {user: self._take(user) for user in list(self._waiting)[:FLUSH_ITEMS]}
            if not await self._write(batch):
                return
