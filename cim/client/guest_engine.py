"""The guest generation (W2) under a `Client`: for upstream's servers, and for accounts of its API (docs/upstream.md).

A session (cim.client.reconnection): register the name -> log in through a route -> connect to the server that it names,
login frame, first pong -> live. Before another login, /offLine ends our old session, which may still count as live.
Before the first session only temporary errors (no route or no server yet) are retried; any other error ends the client.
Leaving closes the connection and logs out once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cim.client.api import RouteAPI
from cim.client.backoff import Backoff
from cim.client.dialling import Entrance
from cim.client.engine import Told, World, passes
from cim.client.guest_connection import GuestConnection, sender_of, texts_of
from cim.client.reconnection import LEAVE_SECONDS, Upkeep, new_reconnection
from cim.client.v1 import V1Calls
from cim.client.values import Message, Sent, User, Waiting
from cim.errors import AccountMismatch, CIMError, Misdirected, NotSupported, Unavailable, Unreachable, Untrusted
from cim.model import Account
from cim.names import shown_name
from cim.wire import conversations
from cim.wire.cim_pb2 import Packet

#: How long a message is held back while no route can be reached, in seconds.
SEND_SECONDS = 30.0


class GuestEngine:
    """One guest.

    Messages have no positions, and do not say whether they were for everyone or only for us: others' messages count as
    private, so that an answer reaches nobody who should not read it.

    :param name: the user's name, which is registered if it is new
    """

    _log = Logger()

    def __init__(self, told: Told, world: World, *, api: RouteAPI, name: str) -> None:
        self._told = told
        self._world = world
        self._api = api
        self._name = name
        self._upkeep = Upkeep(engine=self, life=told.life, clock=world.reactor, backoff=Backoff(world.random))
        self._reconnection = new_reconnection(self._upkeep)
        self._connection: GuestConnection | None = None
        self._account: Account | None = None
        self._paused = False
        #: Whether the last session, or a reservation, may still count as live.
        self._to_log_out = False
        self._fetching: Deferred[None] = succeed(None)

    # Called by the client

    async def run(self) -> None:
        """See Engine."""
        self._reconnection.start()
        try:
            await self._upkeep.over.when()
        finally:
            self._fetching.cancel()
            await self._log_out()

    async def _log_out(self) -> None:
        if self._to_log_out and self._account is not None:
            leaving = Deferred.fromCoroutine(self._api.log_out(self._account.id))
            leaving.addTimeout(LEAVE_SECONDS, self._world.reactor)
            try:
                await leaving
            except (CIMError, TimeoutError) as error:
                self._log.info(
                    "The logout failed, so the session ends when the server notices: {error}", error=str(error)
                )

    def leave(self) -> None:
        """See Engine."""
        self._reconnection.leave()

    def pause(self, paused: bool) -> None:
        """See Engine."""
        self._paused = paused
        if self._connection is not None:
            self._connection.pause(paused)

    def flush(self) -> Deferred[None]:
        """See Engine: there is no history to write."""
        return succeed(None)

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """Send a text to a user or to everyone; anything else fails with NotSupported."""
        return Deferred.fromCoroutine(self._send(waiting))

    async def _send(self, waiting: Waiting) -> Sent:
        if waiting.data or waiting.ref or waiting.group:
            raise NotSupported("this server only takes texts, to a user or to everyone")
        if waiting.user:
            name = conversations.private(self._me.id, waiting.user)
            await self._deliver(lambda me: self._api.send_private(me, waiting.user, waiting.text))
        else:
            name = conversations.EVERYONE
            await self._deliver(lambda me: self._api.send_group(me, waiting.text))
        at = self._now()
        own = Message(name, "", self._me, at, waiting.text, client_id=waiting.client_id, mine=True)
        self._told.listeners.received(own)
        return Sent(waiting.client_id, name, "", at)

    async def _deliver(self, call: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Make the call, and retry it for a while as long as certainly nothing was sent.

        :raises Unreachable: nothing was sent; also if it is cancelled, or the client closed, while it waits
        :raises Unavailable: the message may or may not have been sent
        """
        clock = self._world.reactor
        backoff = Backoff(self._world.random)
        until = clock.seconds() + SEND_SECONDS
        told = False
        while True:
            try:
                if self._upkeep.over.came:
                    raise Unreachable("the client was closed before this was sent")
                if self._account is None:
                    raise Unreachable("not logged in at the moment")
                return await call(self._account.id)
            except Unreachable as error:
                wait = backoff.next()
                if self._upkeep.over.came or clock.seconds() + wait >= until:
                    raise
                if not told:
                    told = True
                    self._told.life.note(f"{error.message}; the message is waiting")
            try:
                await deferLater(clock, wait)
            except CancelledError:
                raise Unreachable("cancelled before it was sent")

    def mark_read(self, conversation: str, position: str) -> None:
        """See Engine."""

    def typing(self, user: int, group: int) -> None:
        """See Engine."""

    def watch(self, users: Sequence[int]) -> None:
        """See Engine."""

    def v1(self) -> V1Calls:
        """See Engine."""
        raise NotSupported("this server does not support this call")

    async def online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        """See Engine."""
        everyone = await self._api.online_users()
        found = sorted(
            (User(one.id, one.name) for one in everyone if one.name.startswith(prefix)), key=lambda user: user.name
        )
        return [user for user in found if user.name > after][:limit], len(found)

    @property
    def _me(self) -> User:
        account = self._account
        return User(account.id, account.name) if account is not None else User(0, self._name)

    # Called by the reconnection loop

    async def connect(self) -> None:
        """See Reconnectable."""
        entrance = await self._log_in()
        assert self._account is not None
        self._connection = connection = GuestConnection(self, self._account, self._world.reactor)
        connection.pause(self._paused)
        await self._world.dialler.connect(entrance, connection)

    async def _log_in(self) -> Entrance:
        if self._account is None:
            self._account = await self._api.register(self._name)
        if self._to_log_out:
            # Our last session may still count as live: the server has not noticed its end yet, or has died.
            await self._api.log_out(self._account.id)
            self._to_log_out = False
        try:
            entrance = await self._api.login(self._account)
        except CIMError as error:
            # At the first login, the session in the way may be someone else's: never end that.
            self._to_log_out = self._upkeep.sessions > 0 or isinstance(error, Misdirected)
            if isinstance(error, AccountMismatch):
                self._account = None  # the routes no longer know it: register again
            raise
        self._to_log_out = True
        return entrance

    def is_final(self, error: CIMError) -> bool:
        """See Reconnectable."""
        return self._upkeep.sessions == 0 and not passes(error)

    # Called by the connection

    def connected(self) -> None:
        """See ConnectionUser."""
        assert self._connection is not None
        self._reconnection.connected(self._connection)

    def welcomed(self) -> None:
        """See GuestUser."""
        me = self._me
        self._told.life.identified(me)
        self._reconnection.welcomed(f"logged in as {shown_name(me.name)} (id {me.id})")
        self._fetching = Deferred.fromCoroutine(self._fetch_missed(me.id))

    async def _fetch_missed(self, user: int) -> None:
        try:
            await self._api.fetch_offline(user)
        except (CIMError, CancelledError) as error:
            self._log.info("Missed messages could not be fetched: {error}", error=str(error) or "the client has left")

    def pushed(self, packet: Packet) -> None:
        """See GuestUser."""
        id, name = sender_of(packet)
        sender, me = User(id, name), self._me.id
        conversation = conversations.private(me, id) if id and id != me else conversations.EVERYONE
        for text in texts_of(packet):
            self._told.listeners.received(Message(conversation, "", sender, self._now(), text))

    def frames_done(self) -> None:
        """See ConnectionUser."""

    beat = frames_done

    def ended(self, error: Unavailable) -> None:
        """See ConnectionUser."""
        connection, self._connection = self._connection, None
        if connection is not None and not isinstance(error, Untrusted):
            what = "lost the connection to" if self._upkeep.live else "the login was refused by"
            error = Unavailable(f"{what} {connection.place}: {error.message}")
        self._upkeep.end(self._reconnection, error)

    def _now(self) -> int:
        return int(self._world.time_of_day() * 1000)
