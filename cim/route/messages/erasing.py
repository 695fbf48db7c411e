"""Erases what somebody said: recalls texts, so that clients blank them, and makes them blank where they are stored."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from cim.errors import CIMError, NotFound
from cim.interfaces import IConversations, IStoreClock
from cim.model import Append, Appended, Charge, Entry
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.together import together
from cim.wire import conversations, native
from cim.wire.cim_pb2 import RECALL, TEXT, Deliver, Send

#: How many messages are read at once.
PAGE = 500
#: How many are read before a call ends, so that nobody waits too long for its answer.
MOST = 5000
#: Stands between the parts of a cursor that goes on within a conversation.
_BETWEEN = "@"


class Erasing:
    """Erases what users said in all conversations, some at a time."""

    def __init__(self, store: IConversations, appender: Appender, delivery: Delivery, clock: IStoreClock) -> None:
        self._store = store
        self._appender = appender
        self._delivery = delivery
        self._clock = clock

    async def some(self, user: int, cursor: str = "") -> tuple[int, str]:
        """Erase some of what a user said; what was erased before is left alone.

        :returns: how many messages were erased, and the cursor with which to go on; "" at the end
        :raises InvalidField: the cursor is not one that this returned
        :raises CIMError: not all of it was erased
        """
        where, _, within = cursor.partition(_BETWEEN)
        begun, _, upto = within.partition(_BETWEEN)
        names, following = await self._store.spoken(user, where)
        erased = read = 0
        for name in names[names.index(begun) if begun in names else 0 :]:
            after, more = upto if name == begun else "", True
            while more:
                if read >= MOST:
                    return erased, _BETWEEN.join((where, name, after))
                page = await self._store.read(name, after=after, limit=PAGE)
                erased += await self._erase(name, user, page.entries)
                read += len(page.entries)
                after, more = page.upto, page.more
        return erased, following

    async def _erase(self, conversation: str, user: int, entries: Sequence[Entry]) -> int:
        said = [(entry, body) for entry in entries if (body := native.parse_body(entry.body)).sender == user]
        left = {entry.position: blank for entry, body in said if (blank := native.anonymous(body)) != entry.body}
        if conversation != conversations.EVERYONE:
            recalls = [self._recall(conversation, entry, body) for entry, body in said if _stands(body)]
            # All of them wait together, so that few calls of the store take them.
            await together(map(Deferred.fromCoroutine, recalls))
        if left:
            await self._store.rewrite(conversation, left)
        return len(left)

    async def _recall(self, conversation: str, entry: Entry, said: Deliver) -> None:
        """Have a text recalled by nobody: its author may be no member any more, and has no name."""
        # Another attempt is the same message.
        send = Send(kind=RECALL, ref=entry.position, client_id=f"erase-{entry.position}", group=said.group)
        now = self._clock.shown()
        item = Append(
            conversation,
            0,
            send.client_id,
            native.digest(send),
            native.body_of(send, said.sender, "", now),
            now,
            False,
            recalls=entry.position,
            past_blocks=True,
            charge=Charge.NONE,
        )
        fate: Deferred[Appended | CIMError] = Deferred()
        self._appender.put(item, fate.callback)
        result = await fate
        if isinstance(result, NotFound):
            return  # it is gone
        if isinstance(result, CIMError):
            raise result
        packet = native.deliver_packet(result.body, conversation, result.position, result.previous)
        push = Push(packet, repeated=result.repeated, reads=entry.position if said.group else "")
        name = conversations.parse(conversation)
        if isinstance(name, conversations.GroupConversation):
            self._delivery.to_group(push, name.id, result.version)
        else:
            self._delivery.to_users(push, (name.low, name.high))


def _stands(said: Deliver) -> bool:
    return said.kind == TEXT and bool(said.text or said.data)
