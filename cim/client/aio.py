"""The client for asyncio programs: the same client, with coroutines and asynchronous iterators (docs/client.md).

Twisted's reactor runs on the program's own event loop: the first `connect` installs and starts an asyncioreactor on the
running loop, without signal handlers, and never stops it; nothing blocks and nothing is left to do when the loop ends.
A process has one reactor, so all its clients live in one loop: one `asyncio.run` for each process. A program that runs
an asyncioreactor already keeps that.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast

from attrs import frozen

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.main import installReactor
from zope.interface import implementer

from cim.client.client import Client
from cim.client.history import SqliteHistory
from cim.client.iclient import IClient, IHistory, IListener
from cim.client.values import (
    Conversation,
    Credentials,
    Group,
    Member,
    Message,
    Presence,
    Receipt,
    Sent,
    State,
    Typing,
    User,
)

T = TypeVar("T")

#: How many things may wait in one iterator before nothing more is read from the server, and until when.
PAUSE_AT = 1_000
RESUME_AT = 100


@frozen
class Stands:
    """The client stands elsewhere.

    :param reason: can be shown to a user; may be empty
    """

    state: State
    reason: str


Event = Message | Receipt | Typing | Presence | Stands


@asynccontextmanager
async def connect(
    routes: str | Sequence[str],
    credentials: Credentials,
    *,
    history: str | os.PathLike[str] | IHistory | None = None,
    device: str = "",
    agent: str = "",
    listeners: Sequence[object] = (),
) -> AsyncIterator[AsyncClient]:
    """Be online while the `async with` runs; see `cim.client.client.Client`.

    It does not wait to be online: messages that are sent before do, and `when_ready` tells.

    :param history: what is remembered over restarts, or the file for it; nothing when it is left out
    :raises RuntimeError: as `running_reactor`
    """
    reactor = running_reactor()
    if isinstance(history, (str, os.PathLike)):
        history = SqliteHistory(history, reactor)
    client = Client(reactor, routes, credentials, history=history, device=device, agent=agent, listeners=listeners)
    online = AsyncClient(client)
    client.startService()
    try:
        yield online
    finally:
        await online.close()


def running_reactor() -> Any:
    """Return the reactor that runs on the running event loop, installed and started now if there is none.

    :raises RuntimeError: when another reactor is installed, or one on another loop
    """
    loop = asyncio.get_running_loop()
    # The attribute of the module is the reactor itself; importing it would install one.
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        reactor = AsyncioSelectorReactor(loop)
        installReactor(reactor)
        # Idle threads of the resolver are not to hold up the end of the process.
        reactor.getThreadPool().threadFactory = _daemon_thread
        reactor.startRunning(installSignalHandlers=False)
    elif getattr(reactor, "_asyncioEventloop", None) is not loop:
        raise RuntimeError(
            "cim.client.aio needs the one reactor of the process on the running event loop, and another is installed: "
            "connect before anything imports twisted.internet.reactor, and call asyncio.run once"
        )
    return reactor


def _daemon_thread(*args: Any, **kwargs: Any) -> threading.Thread:
    return threading.Thread(*args, daemon=True, **kwargs)


@implementer(IListener)
class _Listener:
    """Calls a function with whatever comes."""

    def __init__(self, put: Callable[[Event], object]) -> None:
        self._put = put

    def received(self, client: IClient, message: Message) -> None:
        self._put(message)

    def receipt(self, client: IClient, receipt: Receipt) -> None:
        self._put(receipt)

    def typing(self, client: IClient, typing: Typing) -> None:
        self._put(typing)

    def presence(self, client: IClient, presence: Presence) -> None:
        self._put(presence)

    def state(self, client: IClient, state: State, reason: str) -> None:
        self._put(Stands(state, reason))


class _Flow:
    """Has the client read nothing while any stream is full."""

    def __init__(self, client: IClient) -> None:
        self._client = client
        self._full: set[int] = set()

    def full(self, stream: int) -> None:
        if not self._full:
            self._client.pause_receiving()
        self._full.add(stream)

    def drained(self, stream: int) -> None:
        if stream in self._full:
            self._full.remove(stream)
            if not self._full:
                self._client.resume_receiving()


class Stream(AsyncIterator[T], Generic[T]):
    """What comes, in order, until the client is closed or the last reference to it is gone.

    When the client ends by itself, iterating raises the CIMError that says why. When nobody takes what comes, the
    client soon reads nothing more from the server, and nothing is lost.
    """

    def __init__(self, client: IClient, flow: _Flow, kinds: tuple[type, ...], early: Iterable[Event] = ()) -> None:
        self._kinds = kinds
        self._flow = flow
        self._client: IClient | None = client
        self._waiting: deque[T] = deque()
        self._finished = False
        self._something = asyncio.Event()
        for event in early:
            self.put(event)
        # One that nobody iterates over any more is not kept by its listener.
        this = weakref.ref(self)
        listener = _Listener(lambda event: stream.put(event) if (stream := this()) is not None else None)
        client.add_listener(listener)
        self._ended = weakref.finalize(self, _end, client, flow, listener, id(self))

    def put(self, event: Any) -> None:
        """Have it come, if it is of the kinds that were asked for."""
        if isinstance(event, self._kinds):
            self._waiting.append(cast(T, event))
            self._something.set()
            if len(self._waiting) >= PAUSE_AT:
                self._flow.full(id(self))
        if isinstance(event, Stands) and event.state is State.CLOSED:
            self.finish()

    def finish(self) -> None:
        """End it, after what waits."""
        self._finished = True
        self._something.set()

    async def aclose(self) -> None:
        """End it now, without a word about why the client ends."""
        self._client = None
        self._waiting.clear()
        self.finish()
        self._ended()

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._finished:
                if self._client is not None:
                    await _result(self._client.when_closed())
                raise StopAsyncIteration
            self._something.clear()
            await self._something.wait()
        event = self._waiting.popleft()
        if len(self._waiting) <= RESUME_AT:
            self._flow.drained(id(self))
        return event


def _end(client: IClient, flow: _Flow, listener: _Listener, stream: int) -> None:
    client.remove_listener(listener)
    flow.drained(stream)


class AsyncClient:
    """A client of asyncio programs: the methods of IClient, as coroutines.

    :param client: what does the work, in the thread of the running event loop
    """

    def __init__(self, client: IClient) -> None:
        self._client = client
        self._flow = _Flow(client)
        # What comes before somebody asks for it; of too much, the last.
        self._early: deque[Event] | None = deque(maxlen=PAUSE_AT - 1)
        self._closed = False
        client.add_listener(_Listener(self._heard))

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._client.state

    @property
    def me(self) -> User | None:
        """Who it is, once that is known."""
        return self._client.me

    def messages(self) -> Stream[Message]:
        """Return the messages that come, one's own too: each once, in order.

        The first call of this or of `events` gives also what came before it, as far as it was the last 999 things.
        """
        return self._stream((Message,))

    def events(self) -> Stream[Event]:
        """Return all that comes: messages, receipts, typing, presence, and where the client stands; see `messages`."""
        return self._stream((Message, Receipt, Typing, Presence, Stands))

    def _stream(self, kinds: tuple[type, ...]) -> Stream[Any]:
        stream: Stream[Any] = Stream(self._client, self._flow, kinds, self._early or ())
        self._early = None
        if self._closed:
            stream.finish()
        return stream

    def _heard(self, event: Event) -> None:
        self._closed = self._closed or (isinstance(event, Stands) and event.state is State.CLOSED)
        if self._early is not None:
            self._early.append(event)

    def add_listener(self, listener: object) -> None:
        """See IClient."""
        self._client.add_listener(listener)

    def remove_listener(self, listener: object) -> None:
        """See IClient."""
        self._client.remove_listener(listener)

    async def when_ready(self) -> None:
        """See IClient."""
        await _result(self._client.when_ready())

    async def when_closed(self) -> None:
        """See IClient."""
        await _result(self._client.when_closed())

    async def close(self) -> None:
        """See IClient; streams end."""
        await _result(self._client.close())

    async def send(
        self, to: User | int | str, text: str, *, data: bytes = b"", content_type: str = "", client_id: str = ""
    ) -> Sent:
        """See IClient."""
        return await _result(self._client.send(to, text, data=data, content_type=content_type, client_id=client_id))

    async def recall(self, conversation: str, position: str) -> Sent:
        """See IClient."""
        return await _result(self._client.recall(conversation, position))

    async def edit(self, conversation: str, position: str, text: str) -> Sent:
        """See IClient."""
        return await _result(self._client.edit(conversation, position, text))

    async def react(self, conversation: str, position: str, text: str) -> Sent:
        """See IClient."""
        return await _result(self._client.react(conversation, position, text))

    def mark_read(self, conversation: str, position: str = "") -> None:
        """See IClient."""
        self._client.mark_read(conversation, position)

    def typing(self, to: User | int | str) -> None:
        """See IClient."""
        self._client.typing(to)

    def watch(self, users: Sequence[int]) -> None:
        """See IClient."""
        self._client.watch(users)

    async def conversations(self) -> Sequence[Conversation]:
        """See IClient."""
        return await _result(self._client.conversations())

    async def history(self, conversation: str, before: str = "", limit: int = 50) -> Sequence[Message]:
        """See IClient."""
        return await _result(self._client.history(conversation, before, limit))

    async def search(self, text: str, limit: int = 50) -> Sequence[Message]:
        """See IClient."""
        return await _result(self._client.search(text, limit))

    async def user(self, who: str | int) -> User:
        """See IClient."""
        return await _result(self._client.user(who))

    async def online(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[Sequence[User], int]:
        """See IClient."""
        return await _result(self._client.online(prefix, after, limit))

    async def groups(self) -> Sequence[Group]:
        """See IClient."""
        return await _result(self._client.groups())

    async def create_group(self, name: str, *, open: bool = False, history: bool = False) -> Group:
        """See IClient."""
        return await _result(self._client.create_group(name, open=open, history=history))

    async def join(self, group: int) -> None:
        """See IClient."""
        await _result(self._client.join(group))

    async def leave(self, group: int) -> None:
        """See IClient."""
        await _result(self._client.leave(group))

    async def invite(self, group: int, user: int, role: str = "member") -> None:
        """See IClient."""
        await _result(self._client.invite(group, user, role))

    async def remove(self, group: int, user: int) -> None:
        """See IClient."""
        await _result(self._client.remove(group, user))

    async def members(self, group: int) -> Sequence[Member]:
        """See IClient."""
        return await _result(self._client.members(group))


async def _result(deferred: Deferred[T]) -> T:
    return await deferred.asFuture(asyncio.get_running_loop())
