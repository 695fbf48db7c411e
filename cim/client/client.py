"""The public client: one identity at one system, for bots, gateways and interfaces (docs/client.md).

It hides the network: it logs in, again whenever a connection ends, reads every message once and in order, and sends
what is to be sent until it is accepted or refused. What it speaks is found out at first contact: the native generation
with our routes, the guests' with upstream's. Below it lie an engine for each, and a journal that writes the history.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from random import random as _random
from typing import Any

from attrs import evolve

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from cim.client.api import RouteAPI
from cim.client.calls import Calls, call
from cim.client.engine import Engine
from cim.client.guest_engine import GuestEngine
from cim.client.history import MemoryHistory
from cim.client.iclient import IHistory, IListener
from cim.client.journal import Journal
from cim.client.names import Names
from cim.client.native_engine import NativeEngine
from cim.client.routes import Routes
from cim.client.v1 import NotNative, V1Calls
from cim.client.values import Credentials, Guest, Kind, Message, Sent, State, User, Waiting
from cim.ecim import CIMError, InvalidField, Unreachable
from cim.icim import IMessageListener
from cim.model import check_id, check_name
from cim.web.calling import JSONCalls
from cim.wire import conversations, positions

CONNECT_SECONDS = 5.0
#: What a client calls its device when nobody says: the same one each time, so that it replaces itself.
DEVICE = "default"
MAX_WATCHED = 200


class Client(Calls, Service):
    """One identity at one system.

    Deferreds fail with a CIMError whose message can be shown; NotSupported is for what upstream's servers do not have.

    :param reactor: connects, and is the clock
    :param routes: the URL of a route, or of several
    :param device: one of the user's devices; a new login of the same one ends the old
    :param history: what is remembered over restarts; nothing when it is left out
    :param random: jitter: returns a number from 0 up to 1
    :param listeners: IListeners and IMessageListeners
    :param agent: what the program calls itself, for operators
    :param endpoint: from a host and a port to what connects there
    :param http: makes the requests instead of an Agent of its own
    :param new_id: makes a unique client id
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        routes: str | Sequence[str],
        credentials: Credentials,
        *,
        device: str = "",
        history: IHistory | None = None,
        random: Callable[[], float] = _random,
        listeners: Iterable[object] = (),
        agent: str = "",
        endpoint: Callable[[str, int], IStreamClientEndpoint] | None = None,
        http: IAgent | None = None,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        check_name(credentials.name, "user name")
        self.state = State.CLOSED
        self.me: User | None = None
        self._reactor = reactor
        self._credentials = credentials
        self._device = device or DEVICE
        self._history: IHistory = history if history is not None else MemoryHistory()
        self._random = random
        self._listeners = list(listeners)
        self._agent = agent
        self._endpoint = endpoint or self._by_host_name
        self._new_id = new_id
        self._calls = JSONCalls(reactor, agent=http)
        self._routes = Routes(reactor, [routes] if isinstance(routes, str) else routes)
        self._api = V1Calls(self._calls, self._routes)
        self._names = Names(self._api, reactor)
        self._journal = Journal(self._history, self._kept)
        self._engine: Engine | None = None
        self._running: Deferred[None] | None = None
        self._closing: Deferred[None] | None = None
        self._stopping = False
        self._opened = False
        self._decided = False
        self._paused = False
        self._watched: tuple[int, ...] = ()
        self._was_ready = False
        self._refusal: CIMError | None = None
        self._over = False
        self._whens_ready: list[Deferred[None]] = []
        self._whens_decided: list[Deferred[None]] = []
        self._whens_closed: list[Deferred[None]] = []

    # Who is told

    def add_listener(self, listener: object) -> None:
        """Have an IListener, or an IMessageListener, told of what comes, after those that were added before."""
        self._listeners.append(listener)

    def remove_listener(self, listener: object) -> None:
        """Tell it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def tell(self, what: str, *values: Any) -> None:
        """Call a method of all listeners that have it; what one raises is logged."""
        for listener in tuple(self._listeners):
            alone = IMessageListener.providedBy(listener) and not IListener.providedBy(listener)
            method = getattr(listener, what, None)
            if method is not None and (what == "received" or not alone):
                with self._log.failuresHandled("A listener failed"):
                    method(self, *values)

    def hand(self, message: Message) -> bool:
        """Give a message to the listeners."""
        if self._over:
            return False
        self._names.learn(message.sender)
        self.tell("received", message)
        return True

    # Its life

    def when_ready(self) -> Deferred[None]:
        """Fire at the first READY, or fail with why there will be none."""
        return self._wait(self._whens_ready, self._was_ready)

    def when_closed(self) -> Deferred[None]:
        """Fire when the client is CLOSED after it was started, or fail with why it ended by itself."""
        if self._over:
            return fail(self._refusal) if self._refusal is not None else succeed(None)
        waiting: Deferred[None] = Deferred()
        self._whens_closed.append(waiting)
        return waiting

    def _wait(self, waiters: list[Deferred[None]], there: bool) -> Deferred[None]:
        if self._over:
            return fail(self._refusal or Unreachable("the client was closed"))
        if there:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        waiters.append(waiting)
        return waiting

    def pause_receiving(self) -> None:
        """Read nothing from the server until `resume_receiving`, over reconnections too."""
        self._paused = True
        if self._engine is not None:
            self._engine.pause(True)

    def resume_receiving(self) -> None:
        """Read from the server again."""
        self._paused = False
        if self._engine is not None:
            self._engine.pause(False)

    def startService(self) -> None:
        """Begin to be online."""
        if self._stopping:
            raise RuntimeError("a client that was closed cannot be started again")
        super().startService()
        self._running = Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """See `close`."""
        if self.running:
            super().stopService()
        self._stopping = True
        if self._closing is None:
            self._closing = Deferred.fromCoroutine(self._close())
        done: Deferred[None] = Deferred()
        self._closing.addCallback(lambda _: done.callback(None))
        return done

    def close(self) -> Deferred[None]:
        """End the session and the client; what waits unsent stays on disk when there is one."""
        return self.stopService()

    async def _run(self) -> None:
        self.to_state(State.CONNECTING, "")
        await self._history.open()
        self._opened = True
        facts = await self._history.facts()
        if isinstance(self._credentials, Guest):
            return await self._run_guest()
        self._api.token = facts.get("token", "")
        me = User(int(facts["id"]), facts.get("name", self._credentials.name)) if "id" in facts else None
        engine = NativeEngine(
            self,
            self._api,
            self._credentials,
            self._device,
            self._agent,
            self._reactor,
            self._random,
            self._journal,
            self._endpoint,
            me,
        )
        engine.load(await self._history.places(), await self._history.waiting())
        self._engine = engine
        engine.pause(self._paused)
        engine.watch(self._watched)
        if me is not None:
            self.identified(me)
        try:
            await engine.run()
        except NotNative:
            engine.close()
            await self._run_guest()

    async def _run_guest(self) -> None:
        name = self._credentials.name
        api = RouteAPI(self._calls, self._routes)
        engine = self._engine = GuestEngine(self, api, name, self._reactor, self._random, self._endpoint)
        engine.pause(self._paused)
        await engine.run()

    def _failed(self, failure: Failure) -> None:
        if self._stopping:
            return  # whatever it was doing was cancelled
        error = failure.value
        if not isinstance(error, CIMError):
            self._log.failure("The client failed", failure)
            error = CIMError(f"unexpected error: {failure.getErrorMessage()}")
        self._refusal = error
        self._running = None
        if self._engine is not None:
            self._engine.close()
        self._end(error.message)

    def _end(self, reason: str) -> None:
        """Nothing happens any more: say so to all who wait."""
        self._over = True
        self.to_state(State.CLOSED, reason)
        error = self._refusal or Unreachable("the client was closed")
        for waiters in (self._whens_ready, self._whens_decided):
            _fire(waiters, lambda waiting: waiting.errback(error))
        refusal = self._refusal
        _fire(self._whens_closed, lambda waiting: waiting.errback(refusal) if refusal else waiting.callback(None))

    async def _close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None
        if self._engine is not None and not self._over:
            await self._engine.leave()
        if not self._over:
            self._end("")
        if self._opened:
            await self._journal.flush()
            try:
                await self._history.close()
            except Exception:
                self._log.failure("The history could not be closed")
        await self._calls.close()

    # What its engine tells

    def to_state(self, state: State, reason: str) -> None:
        """See Owner."""
        if state is State.READY:
            self._was_ready = True
        self.state = state
        self.tell("state", state, reason)
        if state is State.READY:
            _fire(self._whens_ready, lambda waiting: waiting.callback(None))

    def identified(self, user: User) -> None:
        """See Owner."""
        if user != self.me and isinstance(self._engine, NativeEngine):
            self._journal.set_fact("id", str(user.id))
            self._journal.set_fact("name", user.name)
        self.me = user
        self._names.learn(user)
        self._decided = True
        _fire(self._whens_decided, lambda waiting: waiting.callback(None))

    def _kept(self, places: dict[str, str]) -> None:
        if isinstance(self._engine, NativeEngine):
            self._engine.kept(places)

    # Sending

    @call
    async def send(
        self, to: User | int | str, text: str, *, data: bytes = b"", content_type: str = "", client_id: str = ""
    ) -> Sent:
        """Say something; fires when it is stored, and fails when it was refused.

        :param to: a user, a user's id, or a conversation's name (`g:0` is everyone)
        :param client_id: makes a repetition the same message
        """
        return await self._send(to, Waiting(client_id or self._new_id(), 0, 0, text, data, content_type))

    @call
    async def recall(self, conversation: str, position: str) -> Sent:
        """Take back what one said."""
        return await self._send(conversation, Waiting(self._new_id(), 0, 0, "", kind=Kind.RECALL, ref=position))

    @call
    async def edit(self, conversation: str, position: str, text: str) -> Sent:
        """Replace what one said."""
        return await self._send(conversation, Waiting(self._new_id(), 0, 0, text, kind=Kind.EDIT, ref=position))

    @call
    async def react(self, conversation: str, position: str, text: str) -> Sent:
        """React to a message; an empty text takes the reaction back."""
        return await self._send(conversation, Waiting(self._new_id(), 0, 0, text, kind=Kind.REACTION, ref=position))

    async def _send(self, to: User | int | str, waiting: Waiting) -> Sent:
        engine = await self._any_engine()
        user, group = self._target(to)
        return await engine.send(evolve(waiting, user=user, group=group))

    def _target(self, to: User | int | str) -> tuple[int, int]:
        """Return the user, or 0, and the group that something is for."""
        me = self.me.id if self.me is not None else 0
        if isinstance(to, str):
            parsed = conversations.parse(to)
            if isinstance(parsed, conversations.Group):
                return 0, parsed.id
            if not parsed.involves(me):
                raise InvalidField("conversation", "is not one of yours")
            return parsed.other(me), 0
        user = to.id if isinstance(to, User) else to
        if user == me:
            raise InvalidField("user", "must be someone else")
        return check_id(user, "user"), 0

    def mark_read(self, conversation: str, position: str = "") -> None:
        """Say that the user has read a conversation, up to its end without a position."""
        conversations.parse(conversation)
        positions.parse(position)
        if self._engine is not None and conversation != conversations.EVERYONE:
            self._engine.mark_read(conversation, position)

    def typing(self, to: User | int | str) -> None:
        """Say that the user is typing; too often is left out."""
        if self._engine is not None and self.state is State.READY:
            self._engine.typing(*self._target(to))

    def watch(self, users: Sequence[int]) -> None:
        """Hear of the presence of these users, at most 200, and of no others."""
        if len(users) > MAX_WATCHED:
            raise InvalidField("users", f"must be at most {MAX_WATCHED}")
        self._watched = tuple(check_id(user, "user") for user in users)
        if self._engine is not None:
            self._engine.watch(self._watched)

    async def _any_engine(self) -> Engine:
        """Wait for first contact."""
        await self._wait(self._whens_decided, self._decided)
        assert self._engine is not None
        return self._engine

    def _by_host_name(self, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_SECONDS)


def _fire(waiting: list[Any], how: Callable[[Any], object]) -> None:
    """Fire all and forget them first, so that whoever is called may wait anew."""
    fired, waiting[:] = tuple(waiting), ()
    for one in fired:
        how(one)
