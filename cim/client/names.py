"""A cache of the names of users and groups, which looks up unknown ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
from cim.client.v1 import V1Calls, group_of, user_of
from cim.client.values import User
from cim.errors import Forbidden, NotFound
from cim.wire import conversations

K = TypeVar("K")
V = TypeVar("V")

#: How many names are cached, and how long the name of a group, which may change, is cached, in seconds.
MAX_NAMES = 10_000
GROUP_SECONDS = 60.0
#: How many look-ups run at a time.
LOOK_UPS = 8


class Names:
    """The names that a client knows."""

    def __init__(self, api: V1Calls, clock: IReactorTime) -> None:
        self._api = api
        self._users: OrderedDict[int, str] = OrderedDict()
        self._groups: Cache[int, str] = Cache(clock.seconds, GROUP_SECONDS, MAX_NAMES)

    def learn(self, user: User) -> None:
        """Cache a user's name."""
        if user.id and self._users.get(user.id) != user.name:
            self._users[user.id] = user.name
            if len(self._users) > MAX_NAMES:
                self._users.popitem(last=False)

    async def user(self, id: int) -> User:
        """Return a user by id; a deleted user has its id as the name."""
        name = self._users.get(id)
        if name is None:
            try:
                found = await self._api.ask("GET", f"users/{id}", user_of)
            except NotFound:
                found = User(id, str(id))
            self.learn(found)
            return found
        return User(id, name)

    async def users(self, ids: Iterable[int]) -> list[User]:
        """Return several users."""
        return await _few_at_a_time(ids, self.user)

    async def titles(self, names: Iterable[str], me: int) -> list[str]:
        """Return the titles of several conversations for their reader."""
        return await _few_at_a_time(names, lambda name: self.title(name, me))

    async def group(self, id: int) -> str:
        """Return the name of a group, or `group <id>` if it cannot be looked up."""
        known = self._groups.get(id)
        return known if known is not None else await self._groups.look_up(id, self._look_up_group)

    async def _look_up_group(self, id: int) -> str:
        try:
            return (await self._api.ask("GET", f"groups/{id}", group_of)).name
        except (NotFound, Forbidden):
            return f"group {id}"

    def learn_group(self, id: int, name: str) -> None:
        """Cache the name of a group for a while."""
        self._groups.keep(id, name)

    async def title(self, conversation: str, me: int) -> str:
        """Return the title of a conversation for its reader."""
        parsed = conversations.parse(conversation)
        if isinstance(parsed, conversations.PrivateConversation):
            return (await self.user(parsed.other(me))).name
        return "everyone" if parsed.name == conversations.EVERYONE else await self.group(parsed.id)


async def _few_at_a_time(keys: Iterable[K], look_up: Callable[[K], Coroutine[Any, Any, V]]) -> list[V]:
    """Look up several keys, a few at a time, and return the results in order; raise the first error."""
    few = DeferredSemaphore(LOOK_UPS)

    def begin(key: K) -> Deferred[V]:
        return few.run(lambda: Deferred.fromCoroutine(look_up(key)))

    try:
        return await gatherResults([begin(key) for key in keys], consumeErrors=True)
    except FirstError as error:
        raise error.subFailure.value from None  # type: ignore[misc]  # Failure.value is an exception
