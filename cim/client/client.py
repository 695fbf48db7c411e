"""The public client: one identity at one system, for bots, gateways and user interfaces (docs/client.md).

It hides the network: it logs in, and again whenever the connection ends, delivers every message once and in order, and
resends messages until they are accepted or refused. The first contact decides which protocol it speaks: the native one
with our routes, the guests' with upstream's. It has an engine for each.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from random import random as _random
from typing import Any

from attrs import evolve

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from cim.client.api import RouteAPI
from cim.client.calling import call
from cim.client.calls import ClientCalls
from cim.client.dialling import Dialler
from cim.client.engine import Engine, Told, World
from cim.client.guest_engine import GuestEngine
from cim.client.history import MemoryHistory
from cim.client.iclient import IHistory
from cim.client.life import Standing, new_life
from cim.client.listeners import Listeners
from cim.client.moment import Moment
from cim.client.names import Names
from cim.client.native_engine import DeviceLogin, NativeEngine, Remembered
from cim.client.routes import Routes
from cim.client.trust import Trust, Verifier
from cim.client.v1 import NotNative, V1Calls
from cim.client.values import Credentials, Guest, Kind, Password, Sent, State, Token, User, Waiting
from cim.daemon.clock import time_of_day
from cim.errors import CIMError, InvalidField
from cim.model import check_id, check_name
from cim.named_host import NamedHost
from cim.web.calling import JSONCalls
from cim.wire import conversations, positions

CONNECT_SECONDS = 5.0
TRUST = Trust()
#: The default device name: the same each time, so that a client replaces its own old session.
DEVICE = "default"
MAX_WATCHED = 200


class Client(ClientCalls, Service):
    """One identity at one system.

    Deferreds fail with a CIMError whose message can be shown; NotSupported means that upstream's servers lack it.

    :param reactor: connects, and is the clock of everything that lasts
    :param routes: the URL of a route, or several
    :param device: the name of this device; a new login with the same name ends the old session
    :param history: keeps messages over restarts; without it, nothing is kept
    :param random: jitter: returns a number from 0 up to 1
    :param time_of_day: the time in seconds since 1970
    :param listeners: IListeners and IMessageListeners
    :param agent: the name of the program, for operators
    :param trust: which servers to believe; by default those that the machine believes
    :param websocket: connect to servers by WebSocket only; by default it is used if the TCP port cannot be reached
    :param endpoint: makes the client endpoint for a host and a port
    :param http: makes the HTTP requests instead of an Agent of its own
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
        time_of_day: Callable[[], float] = time_of_day,
        listeners: Iterable[object] = (),
        agent: str = "",
        trust: Trust = TRUST,
        websocket: bool = False,
        endpoint: Callable[[str, int], IStreamClientEndpoint] | None = None,
        http: IAgent | None = None,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        check_name(credentials.name, "user name")
        self._credentials = credentials
        self._device = device or DEVICE
        self._agent = agent
        self._new_id = new_id
        self._history: IHistory = history if history is not None else MemoryHistory()
        #: Fires when the history is open.
        self._opened = Moment()
        self._trust = trust
        verifier = Verifier(trust)
        dialler = Dialler(
            reactor, endpoint or self._by_host_name, verifier, websocket=websocket, insecure=trust.insecure
        )
        self._world = World(reactor=reactor, time_of_day=time_of_day, random=random, dialler=dialler)
        self._http = JSONCalls(reactor, agent=http, policy=verifier)
        self._routes = Routes(reactor, [routes] if isinstance(routes, str) else routes)
        self._api = V1Calls(self._http, self._routes)
        self._names = Names(self._api, reactor)
        self._listeners = Listeners(self, listeners)
        self._standing = Standing(
            listeners=self._listeners, begin=self._begin, leave=self._leave, release=self._release
        )
        self._life = new_life(self._standing)
        self._told = Told(life=self._life, listeners=self._listeners, names=self._names)
        #: The running client, from its start.
        self._running: Deferred[None] = succeed(None)
        #: Exists once the history is open.
        self._engine: Engine | None = None
        self._paused = False
        self._watched: tuple[int, ...] = ()

    @property
    def state(self) -> State:
        """The state of the client."""
        return self._standing.state

    @property
    def me(self) -> User | None:
        """The user, once known."""
        return self._standing.me

    @property
    def proven(self) -> bool:
        """Whether the password of the credentials has logged in, which a token or another password may do as well."""
        return isinstance(self._credentials, Password) and self._api.proven == self._credentials.password

    # Listeners

    def add_listener(self, listener: object) -> None:
        """Add an IListener or IMessageListener, which is called after the listeners added before it."""
        self._listeners.add(listener)

    def remove_listener(self, listener: object) -> None:
        """Remove a listener."""
        self._listeners.remove(listener)

    def when_ready(self) -> Deferred[None]:
        """Fire when the client is READY for the first time, or fail with the reason if it never will be."""
        return self._standing.ready.when()

    def when_closed(self) -> Deferred[None]:
        """Fire when the client is closed, or fail with the reason if it fails."""
        return self._standing.closed.when()

    # Lifecycle

    def startService(self) -> None:
        """Go online, and stay online until `close`."""
        super().startService()
        self._life.start()

    def stopService(self) -> Deferred[None]:
        """See `close`."""
        if self.running:
            super().stopService()
        self._life.close()
        return self._standing.released.when()

    def close(self) -> Deferred[None]:
        """End the session and the client; messages that are not accepted yet stay in the history."""
        return self.stopService()

    def _begin(self) -> None:
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addCallbacks(lambda _: self._life.left(), self._ended)

    async def _run(self) -> None:
        """Keep the client online until it has left."""
        if not isinstance(self._credentials, Guest) and not self._trust.insecure:
            self._routes.check_privacy()
        await self._history.open()
        self._opened.come()
        facts = await self._history.facts()
        if isinstance(self._credentials, Guest):
            return await self._guest().run()
        self._api.token = facts.get("token", "")
        if isinstance(self._credentials, Password):
            self._api.password = self._credentials.password
        me = User(int(facts["id"]), facts.get("name", self._credentials.name)) if "id" in facts else None
        known = Remembered(me, await self._history.places(), await self._history.waiting())
        try:
            await self._native(self._credentials, known).run()
        except NotNative:
            if isinstance(self._credentials, Token):
                raise
            await self._guest().run()

    def _native(self, credentials: Password | Token, known: Remembered) -> Engine:
        device = DeviceLogin(credentials, self._device, self._agent)
        return self._use(
            NativeEngine(self._told, self._world, api=self._api, device=device, history=self._history, known=known)
        )

    def _guest(self) -> Engine:
        api = RouteAPI(self._http, self._routes)
        return self._use(GuestEngine(self._told, self._world, api=api, name=self._credentials.name))

    def _use(self, engine: Engine) -> Engine:
        self._engine = engine
        engine.pause(self._paused)
        engine.watch(self._watched)
        return engine

    def _ended(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, CIMError):
            if not failure.check(CancelledError):
                self._log.failure("The client failed", failure)
            error = CIMError(f"unexpected error, please report it: {failure.getErrorMessage()}")
        self._life.failed(error)

    def _leave(self) -> None:
        if self._engine is not None:
            self._engine.leave()
        else:
            self._running.cancel()

    def _release(self) -> None:
        Deferred.fromCoroutine(self._let_go()).addBoth(lambda _: self._standing.released.come())

    async def _let_go(self) -> None:
        if self._opened.came:
            try:
                if self._engine is not None:
                    await self._engine.flush()
                await self._history.close()
            except Exception:
                self._log.failure("The history could not be closed")
        await self._http.close()

    def pause_receiving(self) -> None:
        """Stop reading from the server until `resume_receiving`, across reconnections too."""
        self._pause(True)

    def resume_receiving(self) -> None:
        """Start reading from the server again."""
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        if self._engine is not None:
            self._engine.pause(paused)

    # Sending

    @call
    async def send(
        self, to: User | int | str, text: str, *, data: bytes = b"", content_type: str = "", client_id: str = ""
    ) -> Sent:
        """Send a message; fires when it is stored, or fails when it is refused.

        :param to: a user, a user's id, or a conversation's name (`g:0` is everyone)
        :param client_id: sending again under the same id sends the same message
        """
        return await self._send(to, Waiting(client_id or self._new_id(), 0, 0, text, data, content_type))

    @call
    async def recall(self, conversation: str, position: str) -> Sent:
        """Take back one of the user's own messages."""
        return await self._send(conversation, Waiting(self._new_id(), 0, 0, "", kind=Kind.RECALL, ref=position))

    @call
    async def edit(self, conversation: str, position: str, text: str) -> Sent:
        """Replace the text of one of the user's own messages."""
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
        """Return the ids of the user and the group that something is for; one of them is 0."""
        me = self.me.id if self.me is not None else 0
        if isinstance(to, str):
            parsed = conversations.parse(to)
            if isinstance(parsed, conversations.GroupConversation):
                return 0, parsed.id
            if not parsed.involves(me):
                raise InvalidField("conversation", "is not one of yours")
            return parsed.other(me), 0
        user = to.id if isinstance(to, User) else to
        if user == me:
            raise InvalidField("user", "must be someone else")
        return check_id(user, "user"), 0

    def mark_read(self, conversation: str, position: str = "") -> None:
        """Mark a conversation as read up to a position, or up to the last message received."""
        conversations.parse(conversation)
        positions.parse(position)
        if self._engine is not None and conversation != conversations.EVERYONE:
            self._engine.mark_read(conversation, position)

    def typing(self, to: User | int | str) -> None:
        """Send a typing note; at most one goes out per half second."""
        if self._engine is not None and self.state is State.READY:
            self._engine.typing(*self._target(to))

    def watch(self, users: Sequence[int]) -> None:
        """Watch the presence of these users, at most 200, instead of those watched before."""
        if len(users) > MAX_WATCHED:
            raise InvalidField("users", f"must have at most {MAX_WATCHED} entries")
        self._watched = tuple(check_id(user, "user") for user in users)
        if self._engine is not None:
            self._engine.watch(self._watched)

    async def _any_engine(self) -> Engine:
        """See ClientCalls."""
        await self._standing.identified.when()
        assert self._engine is not None
        return self._engine

    def _by_host_name(self, host: str, port: int) -> IStreamClientEndpoint:
        return NamedHost(self._world.reactor, host, port, timeout=CONNECT_SECONDS)
