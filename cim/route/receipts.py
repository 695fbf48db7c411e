"""Received and Read marks, written behind (DESIGN.md section 5): losing one costs a repeat that positions remove."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cim.ecim import CIMError, Unavailable
from cim.icim import IConversations, ILink
from cim.model import Mark
from cim.route.delivery import Delivery, Push
from cim.route.reading import Reading
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import Read

#: How long a receipt waits for others, seconds, and how many go at once.
FLUSH_SECONDS = 0.2
FLUSH_ITEMS = 500
#: Receipts that may wait; beyond it the oldest are forgotten.
WAITING = 100_000

_Key = tuple[int, str | None, str]


class Receipts(Service):
    """Keeps the newest receipt of each kind, writes them in batches, and tells who is to know of a Read."""

    _log = Logger()

    def __init__(self, store: IConversations, reading: Reading, delivery: Delivery, clock: IReactorTime) -> None:
        self._store = store
        self._reading = reading
        self._delivery = delivery
        self._clock = clock
        self._waiting: dict[_Key, tuple[str, ILink | None, str]] = {}
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def note(
        self,
        user: int,
        device: str | None,
        conversation: str,
        position: str,
        origin: ILink | None = None,
        session: str = "",
    ) -> None:
        """Note a receipt.

        :param device: None for a Read
        :param origin: with `session`: who said it, and need not be told
        :raises InvalidField: a position that is none
        """
        new = positions.parse(position)
        key = (user, device, conversation)
        kept = self._waiting.get(key)
        if kept is not None and positions.parse(kept[0]) >= new:
            return
        self._waiting[key] = (position, origin, session)
        if len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.forgotten += 1
        if self._timer is None and self._writing is None:
            self._timer = self._clock.callLater(FLUSH_SECONDS, self._flush)

    async def written_of(self, user: int) -> None:
        """Return when what was noted of a user is written, or the store does not take it."""
        while self._writing is not None:
            await self._turn()
        if any(key[0] == user for key in self._waiting):
            # In front of all the others, so that one write is enough.
            mine = {key: self._waiting.pop(key) for key in [key for key in self._waiting if key[0] == user]}
            self._waiting = {**mine, **self._waiting}
            if self._timer is not None:
                self._timer.cancel()
            self._flush()
            await self._turn()

    def _turn(self) -> Deferred[None]:
        """Fire when what is being written is."""
        turn: Deferred[None] = Deferred()
        if self._writing is None:
            turn.callback(None)
        else:
            self._writing.addCallback(lambda _: turn.callback(None))
        return turn

    def _flush(self) -> None:
        self._timer = None
        writing = self._writing = Deferred.fromCoroutine(self._write())
        writing.addErrback(lambda failure: self._log.failure("receipts were not written", failure))
        writing.addBoth(lambda _: self._written())

    def _written(self) -> None:
        self._writing = None
        if self._waiting and self._timer is None and self.running:
            self._timer = self._clock.callLater(FLUSH_SECONDS, self._flush)

    async def _write(self) -> None:
        keys = list(self._waiting)[:FLUSH_ITEMS]
        batch = {key: self._waiting.pop(key) for key in keys}
        marks: list[Mark] = []
        try:
            for key in list(batch):
                user, device, conversation = key
                try:
                    floor = await self._reading.floor(user, conversation)
                except Unavailable:
                    raise
                except CIMError:
                    del batch[key]
                    continue
                marks.append(Mark(user, device, conversation, batch[key][0], floor))
            standing = await self._store.mark(marks) if marks else []
        except Unavailable:
            for key, said in batch.items():
                self._waiting.setdefault(key, said)
            return
        for (key, (_, origin, session)), position in zip(batch.items(), standing, strict=True):
            if key[1] is None and position:
                self._tell(key[0], key[2], position, origin, session)

    def _tell(self, user: int, conversation: str, position: str, origin: ILink | None, session: str) -> None:
        packet = native.packet(read=Read(conversation=conversation, position=position, reader=user))
        name = conversations.parse(conversation)
        told = (user, name.other(user)) if isinstance(name, conversations.Private) else (user,)
        self._delivery.to_users(Push(packet=packet, origin=origin, session=session), told)

    def stopService(self) -> Deferred[None]:
        """Write what waits; the service above sets the deadline."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            return self._writing
        if not self._waiting:
            return succeed(None)
        return Deferred.fromCoroutine(self._write())
