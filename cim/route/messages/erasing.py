"""Erases what somebody said: recalls texts, so that clients blank them, and makes them blank where they are stored."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from cim.interfaces import IConversations
from cim.model import Entry
from cim.route.messages.recalling import Recalling
from cim.route.messages.together import together
from cim.wire import conversations, native
from cim.wire.cim_pb2 import TEXT, Deliver

#: How many messages are read at once.
PAGE = 500
#: How many are read before a call ends, so that nobody waits too long for its answer.
MOST = 5000
#: Stands between the parts of a cursor that goes on within a conversation.
_BETWEEN = "@"


class Erasing:
    """Erases what users said in all conversations, some at a time."""

    def __init__(self, store: IConversations, recalling: Recalling) -> None:
        self._store = store
        self._recalling = recalling

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
            recalls = [self._recalling.recall(conversation, one.position, body) for one, body in said if _stands(body)]
            # All of them wait together, so that few calls of the store take them.
            await together(map(Deferred.fromCoroutine, recalls))
        if left:
            await self._store.rewrite(conversation, left)
        return len(left)


def _stands(said: Deliver) -> bool:
    return said.kind == TEXT and bool(said.text or said.data)
