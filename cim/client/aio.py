"""The client for asyncio programs: the same client, with coroutines and asynchronous iterators (docs/client.md).

Twisted's reactor runs on the program's own event loop: the first `connect` installs and starts an asyncioreactor on the
running loop, without signal handlers, and never stops it. Nothing blocks, and nothing needs to be cleaned up when the
loop ends. A process has one reactor, so all its clients live in one loop: call `asyncio.run` once per process. A
program that already runs an asyncioreactor keeps it.
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
from typing import Any, Generic, ParamSpec, TypeVar, cast, get_args

from attrs import evolve, frozen

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.main import installReactor
from zope.interface import implementer

from cim.client.awaiting import awaited, noted, passed_on, result_of
from cim.client.calls import AwaitedCalls
from cim.client.client import TRUST, Client
from cim.client.history import SqliteHistory
from cim.client.iclient import IHistory, IListener
from cim.client.trust import Trust
from cim.client.values import (
    Credentials,
    Invitation,
    Members,
    Message,
    Mute,
    Password,
    Presence,
    Receipt,
    Removed,
    State,
    Token,
    Typing,
    User,
)
from cim.daemon.clock import count_monotonically

P = ParamSpec("P")
T = TypeVar("T")

#: Reading from the server stops while an iterator holds the first number of events, and resumes at the second.
PAUSE_AT = 1_000
RESUME_AT = 100


@frozen
class Stands:
    """The client has changed its state.

    :param reason: can be shown to a user; may be empty
    """

    state: State
    reason: str


Event = Message | Receipt | Typing | Presence | Members | Invitation | Removed | Mute | Stands


@asynccontextmanager
async def connect(
    routes: str | Sequence[str],
    credentials: Credentials,
    *,
    history: str | os.PathLike[str] | IHistory | None = None,
    device: str = "",
    agent: str = "",
    listeners: Sequence[object] = (),
    trust: Trust = TRUST,
    websocket: bool = False,
) -> AsyncIterator[AsyncClient]:
    """Keep a client online while the `async with` block runs; see `cim.client.Client`.

    It does not wait until the client is online: `when_ready` does, and so does every send.

    :param history: the history, or the path of its file; without it, nothing outlasts a restart
    :raises RuntimeError: see `running_reactor`
    """
    reactor = running_reactor()
    if isinstance(history, (str, os.PathLike)):
        history = SqliteHistory(history, reactor)
    if isinstance(credentials, Password) and callable(credentials.invitation):
        ask = credentials.invitation
        credentials = evolve(credentials, invitation=lambda text: Deferred.fromFuture(asyncio.ensure_future(ask(text))))
    if isinstance(credentials, Token) and callable(credentials.fresh):
        get = credentials.fresh
        credentials = evolve(credentials, fresh=lambda: Deferred.fromFuture(asyncio.ensure_future(get())))
    client = Client(
        reactor,
        routes,
        credentials,
        history=history,
        device=device,
        agent=agent,
        listeners=listeners,
        trust=trust,
        websocket=websocket,
    )
    online = AsyncClient(client)
    client.startService()
    try:
        yield online
    finally:
        await online.close()


def running_reactor() -> Any:
    """Return the reactor of the running event loop; install and start one if there is none.

    :raises RuntimeError: another reactor is installed, or one on another loop
    """
    loop = asyncio.get_running_loop()
    # Look for the module's attribute, which is the reactor: importing it would install one.
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        reactor = AsyncioSelectorReactor(loop)
        count_monotonically(reactor)
        installReactor(reactor)
        # Idle threads of the resolver must not hold up the end of the process.
        reactor.getThreadPool().threadFactory = _daemon_thread
        reactor.startRunning(installSignalHandlers=False)
    elif getattr(reactor, "_asyncioEventloop", None) is not loop:
        raise RuntimeError(
            "cim.client.aio needs the process's reactor on the running event loop, but another reactor is installed: "
            "connect before anything imports twisted.internet.reactor, and call asyncio.run once"
        )
    return reactor


def _daemon_thread(*args: Any, **kwargs: Any) -> threading.Thread:
    return threading.Thread(*args, daemon=True, **kwargs)


@implementer(IListener)
class _Listener:
    """Calls a function with every event."""

    def __init__(self, put: Callable[[Event], object]) -> None:
        self._put = put

    def received(self, client: Client, message: Message) -> None:
        self._put(message)

    def receipt(self, client: Client, receipt: Receipt) -> None:
        self._put(receipt)

    def typing(self, client: Client, typing: Typing) -> None:
        self._put(typing)

    def presence(self, client: Client, presence: Presence) -> None:
        self._put(presence)

    def members(self, client: Client, members: Members) -> None:
        self._put(members)

    def invited(self, client: Client, invitation: Invitation) -> None:
        self._put(invitation)

    def removed(self, client: Client, removed: Removed) -> None:
        self._put(removed)

    def muted(self, client: Client, mute: Mute) -> None:
        self._put(mute)

    def state(self, client: Client, state: State, reason: str) -> None:
        self._put(Stands(state, reason))


class _Flow:
    """Stops the client from reading while any stream is full."""

    def __init__(self, client: Client) -> None:
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
    """An asynchronous iterator over events, in order, until the client is closed.

    If the client fails, iterating raises the CIMError that says why. While nobody takes events from the stream, the
    client soon stops reading from the server, so that nothing is lost. A stream without references ends by itself.
    """

    def __init__(self, client: Client, flow: _Flow, kinds: tuple[type, ...], early: Iterable[Event] = ()) -> None:
        self._kinds = kinds
        self._flow = flow
        self._client: Client | None = client
        self._waiting: deque[T] = deque()
        self._finished = False
        self._something = asyncio.Event()
        for event in early:
            self.put(event)
        # The listener does not keep a stream alive that nobody iterates over any more.
        this = weakref.ref(self)
        listener = _Listener(lambda event: stream.put(event) if (stream := this()) is not None else None)
        client.add_listener(listener)
        self._ended = weakref.finalize(self, _end, client, flow, listener, id(self))

    def put(self, event: Any) -> None:
        """Add an event if it is of one of the wanted kinds."""
        if isinstance(event, self._kinds):
            self._waiting.append(cast(T, event))
            self._something.set()
            if len(self._waiting) >= PAUSE_AT:
                self._flow.full(id(self))
        if isinstance(event, Stands) and event.state is State.CLOSED:
            self.finish()

    def finish(self) -> None:
        """End the iteration after the events that are waiting."""
        self._finished = True
        self._something.set()

    async def aclose(self) -> None:
        """End the iteration now, without raising the reason why the client ended."""
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
                    await result_of(self._client.when_closed())
                raise StopAsyncIteration
            self._something.clear()
            await self._something.wait()
        event = self._waiting.popleft()
        if len(self._waiting) <= RESUME_AT:
            self._flow.drained(id(self))
        return event


def _end(client: Client, flow: _Flow, listener: _Listener, stream: int) -> None:
    client.remove_listener(listener)
    flow.drained(stream)


class AsyncClient(AwaitedCalls):
    """A client for asyncio programs: the calls of Client as coroutines, and streams, which end with it.

    :param client: the client that does the work, in the thread of the running event loop
    """

    _client: Client

    def __init__(self, client: Client) -> None:
        self._client = client
        self._flow = _Flow(client)
        # Events that arrive before somebody asks for them; the last ones if there are too many.
        self._early: deque[Event] | None = deque(maxlen=PAUSE_AT - 1)
        self._closed = False
        client.add_listener(_Listener(self._heard))

    @property
    def state(self) -> State:
        """The state of the client."""
        return self._client.state

    @property
    def me(self) -> User | None:
        """The user, once known."""
        return self._client.me

    def messages(self) -> Stream[Message]:
        """Return a stream of messages, including the user's own: each once, in order.

        The first call of this or of `events` also returns earlier events, up to the last 999.
        """
        return self._stream((Message,))

    def events(self) -> Stream[Event]:
        """Return a stream of all events: messages, receipts, typing, presence, states and what happens in groups.

        See `messages`.
        """
        return self._stream(get_args(Event))

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

    add_listener = passed_on(Client.add_listener)
    remove_listener = passed_on(Client.remove_listener)
    when_ready = awaited(Client.when_ready)
    when_closed = awaited(Client.when_closed)
    close = awaited(Client.close)
    send = awaited(Client.send)
    recall = awaited(Client.recall)
    edit = awaited(Client.edit)
    react = awaited(Client.react)
    mark_read = noted(Client.mark_read)
    typing = noted(Client.typing)
    watch = noted(Client.watch)
