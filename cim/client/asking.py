"""What a client asks of the routes and of its local history."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from cim.client.guest_engine import GuestEngine
from cim.client.iclient import IHistory
from cim.client.journal import Journal
from cim.client.names import Names
from cim.client.native_engine import NativeEngine
from cim.client.v1 import V1Calls
from cim.client.values import Conversation, Group, Member, Message, User
from cim.ecim import NotSupported, Unavailable
from cim.model import check_id
from cim.wire import conversations, positions

T = TypeVar("T")


class Asking:
    """The part of a client that asks."""

    me: User | None
    _api: V1Calls
    _names: Names
    _history: IHistory
    _journal: Journal
    _opened: bool

    async def _any_engine(self) -> NativeEngine | GuestEngine:
        """Wait for first contact."""
        raise NotImplementedError

    async def _native(self) -> tuple[V1Calls, User]:
        if isinstance(await self._any_engine(), GuestEngine):
            raise NotSupported("servers of this kind do not have this")
        assert self.me is not None
        return self._api, self.me

    def conversations(self) -> Deferred[Sequence[Conversation]]:
        """See IClient."""
        return self._ask(self._conversations)

    async def _conversations(self, api: V1Calls, me: User) -> Sequence[Conversation]:
        lines = await api.conversations()
        titles = await self._names.titles((line.conversation for line in lines), me.id)
        return [
            Conversation(line.conversation, title, line.unread, line.latest, line.read)
            for line, title in zip(lines, titles, strict=True)
        ]

    def history(self, conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """See IClient; what the routes do not have any more, and all while they are away, comes from the history."""
        return Deferred.fromCoroutine(self._page(conversation, before, limit))

    async def _page(self, conversation: str, before: str, limit: int) -> Sequence[Message]:
        conversations.parse(conversation)
        positions.parse(before)
        found: Sequence[Message] = ()
        try:
            api, me = await self._native()
            found = await api.messages(conversation, before, limit, me.id)
        except Unavailable:
            if not self._opened:
                raise
        if len(found) < limit and self._opened:
            await self._journal.flush()
            first = found[0].position if found else before
            found = [*await self._history.page(conversation, first, limit - len(found)), *found]
        return found

    def search(self, text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """See IClient."""
        return Deferred.fromCoroutine(self._search(text, limit))

    async def _search(self, text: str, limit: int) -> Sequence[Message]:
        if not self._opened:
            raise Unavailable("the history is not open yet")
        await self._journal.flush()
        return await self._history.search(text, limit)

    def user(self, who: str | int) -> Deferred[User]:
        """See IClient."""

        async def look_up(api: V1Calls, me: User) -> User:
            found = await api.user(who)
            self._names.learn(found)
            return found

        return self._ask(look_up)

    def online(self, prefix: str = "", after: str = "", limit: int = 100) -> Deferred[tuple[Sequence[User], int]]:
        """See IClient."""
        return Deferred.fromCoroutine(self._online(prefix, after, limit))

    async def _online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        engine = await self._any_engine()
        if isinstance(engine, GuestEngine):
            return await engine.online(prefix, after, limit)
        return await self._api.online(prefix, after, limit)

    def groups(self) -> Deferred[Sequence[Group]]:
        """See IClient."""
        return self._ask(lambda api, me: api.groups())

    def create_group(self, name: str, *, open: bool = False, history: bool = False) -> Deferred[Group]:
        """See IClient."""
        return self._ask(lambda api, me: api.create_group(name, open, history))

    def join(self, group: int) -> Deferred[None]:
        """See IClient."""
        return self._ask(lambda api, me: api.put_member(check_id(group, "group"), me.id))

    def leave(self, group: int) -> Deferred[None]:
        """See IClient."""
        return self._ask(lambda api, me: api.remove_member(check_id(group, "group"), me.id))

    def invite(self, group: int, user: int, role: str = "member") -> Deferred[None]:
        """See IClient."""
        return self._ask(lambda api, me: api.put_member(check_id(group, "group"), check_id(user, "user"), role))

    def remove(self, group: int, user: int) -> Deferred[None]:
        """See IClient."""
        return self._ask(lambda api, me: api.remove_member(check_id(group, "group"), check_id(user, "user")))

    def members(self, group: int) -> Deferred[Sequence[Member]]:
        """See IClient."""

        async def members(api: V1Calls, me: User) -> Sequence[Member]:
            found = await api.members(check_id(group, "group"))
            users = await self._names.users(user for user, _ in found)
            return [Member(user, role) for user, (_, role) in zip(users, found, strict=True)]

        return self._ask(members)

    def _ask(self, call: Callable[[V1Calls, User], Coroutine[Any, Any, T]]) -> Deferred[T]:
        async def ask() -> T:
            return await call(*await self._native())

        return Deferred.fromCoroutine(ask())
