"""The native generation under a `Client`: logs in, reads, sends, and keeps the state that outlasts a session.

A session (cim.client.reconnection): POST /v1/sessions with the token or the password (creating the account if wanted)
-> connect -> Hello, Welcome -> live. A Goodbye `replaced` or `logged-out` and a refused login end the client: logging
in again would end the other client, which would do the same in turn.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred

from cim.client.backoff import Backoff
from cim.client.delivered import members_of, message_of, message_of_mine
from cim.client.engine import Told, World, passes
from cim.client.iclient import IHistory
from cim.client.inbox import Inbox, Item
from cim.client.journal import Journal
from cim.client.native_connection import Hearing, NativeConnection
from cim.client.native_login import log_in
from cim.client.outbox import Outbox
from cim.client.reconnection import Upkeep, new_reconnection
from cim.client.routes import Busy
from cim.client.v1 import NotNative, V1Calls, user_of
from cim.client.values import (
    Invitation,
    Members,
    Message,
    Mute,
    Password,
    Presence,
    Receipt,
    Removed,
    Sent,
    Token,
    Typing,
    User,
    Waiting,
)
from cim.errors import Banned, CIMError, Unauthorized, Unavailable, Untrusted
from cim.names import shown_name
from cim.wire import cim_pb2, conversations
from cim.wire.cim_pb2 import Deliver, Hello, Read, Watch

#: The shortest time between two typing notes, in seconds.
TYPING_SECONDS = 0.5
#: For how long a login that got no answer may still be done by a route, and end the session of a later one, in seconds.
DOUBT_SECONDS = 120.0
#: Reading stops while the first number of messages wait for the history, and resumes at the second.
STOP_READING = 2000
GO_ON_READING = 500


@frozen
class DeviceLogin:
    """The device of a user that logs in.

    :param agent: the name of the program on it
    """

    credentials: Password | Token
    name: str
    agent: str


@frozen
class Remembered:
    """The state that the history had at the start.

    :param me: the user of the last run
    :param places: the positions up to which everything was received, by conversation
    :param waiting: messages that were sent but not accepted, in order
    """

    me: User | None
    places: Mapping[str, str]
    waiting: Sequence[Waiting]


class Over(CIMError):
    """Raised when the session was ended on purpose, for good."""


class Holdup(enum.Enum):
    """Why nothing is read from the server."""

    APPLICATION = enum.auto()
    HISTORY = enum.auto()


class NativeEngine:
    """One identity on one device, at our servers.

    :param history: open, and not used by anybody else for messages and places
    """

    def __init__(
        self, told: Told, world: World, *, api: V1Calls, device: DeviceLogin, history: IHistory, known: Remembered
    ) -> None:
        self._told = told
        self._world = world
        self._api = api
        self._device = device
        self._me = known.me
        self._journal = Journal(history, self._kept)
        self._inbox = Inbox(self, world.reactor, world.random)
        self._inbox.load(known.places)
        self._outbox = Outbox(world.reactor, world.random, self._journal.drop_waiting)
        self._outbox.load(known.waiting)
        self._upkeep = Upkeep(engine=self, life=told.life, clock=world.reactor, backoff=Backoff(world.random))
        self._reconnection = new_reconnection(self._upkeep)
        #: The connection of the present session; `_server` is set while the session is live.
        self._connection: NativeConnection | None = None
        self._server: NativeConnection | None = None
        self._farewell: CIMError | None = None
        # Until when a login of our own that got no answer may end the session.
        self._doubt_ends = -DOUBT_SECONDS
        self._as_of = ""
        #: Where the next session starts: the ends of conversations before the first one, and what need not be listed
        #: again.
        self._baseline: Mapping[str, str] | None = None
        self._since = ""
        self._reads: dict[str, str] = {}
        self._watched: Sequence[int] = ()
        # When each group's invitation was made of which the listeners were told.
        self._invited: dict[int, int] = {}
        self._typed = -TYPING_SECONDS
        self._holdups: set[Holdup] = set()
        #: Handlers for packets before the Welcome, and after it.
        self._greeting: Hearing = {
            "welcome": self._hear_welcome,
            "failure": self._hear_refusal,
            "goodbye": self._hear_goodbye,
        }
        self._live: Hearing = {
            "deliver": self._hear_deliver,
            "accepted": self._hear_accepted,
            "synced": self._hear_synced,
            "news": self._hear_news,
            "failure": self._hear_failure,
            "goodbye": self._hear_goodbye,
            "read": self._hear_read,
            "typing": self._hear_typing,
            "presence": self._hear_presence,
            "invited": self._hear_invited,
            "removed": self._hear_removed,
            "muted": self._hear_muted,
        }

    # Called by the client

    async def run(self) -> None:
        """See Engine."""
        if self._me is not None:
            self._told.life.identified(self._me)
        self._reconnection.start()
        try:
            await self._upkeep.over.when()
        finally:
            self._inbox.close()
            self._outbox.close()

    def leave(self) -> None:
        """See Engine."""
        self._inbox.acknowledge_all()
        self._reconnection.leave()

    def pause(self, paused: bool) -> None:
        """See Engine."""
        self._hold_up(Holdup.APPLICATION, paused)

    def flush(self) -> Deferred[None]:
        """See Engine."""
        return self._journal.flush()

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """See Engine, and Outbox.add."""
        known = self._outbox.knows(waiting.client_id)
        sent = self._outbox.add(waiting)
        if not known:
            self._journal.put_waiting(waiting)
        return sent

    def mark_read(self, conversation: str, position: str) -> None:
        """See Engine; it is sent now or in the next session."""
        position = position or self._inbox.held(conversation)
        if position:
            self._reads[conversation] = position
            self._say_read()

    def typing(self, user: int, group: int) -> None:
        """See Engine."""
        now = self._world.reactor.seconds()
        if self._server is not None and now - self._typed >= TYPING_SECONDS:
            self._typed = now
            self._server.say(typing=cim_pb2.Typing(user=user) if user else cim_pb2.Typing(group=group))

    def watch(self, users: Sequence[int]) -> None:
        """See Engine."""
        self._watched = tuple(users)
        self.say(watch=Watch(users=self._watched))

    def v1(self) -> V1Calls:
        """See Engine."""
        return self._api

    async def online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        """See Engine."""
        return await self._api.ask(
            "GET",
            "online",
            lambda said: ([user_of(one) for one in said["users"]], said["total"]),
            query={"prefix": prefix, "after": after, "limit": limit},
        )

    # Called by the reconnection loop

    async def connect(self) -> None:
        """See Reconnectable."""
        first = self._upkeep.sessions == 0
        unknown = self._api.unknown_logins
        try:
            login = await log_in(self._api, self._device.credentials, self._device.name, create=first)
        finally:
            if self._api.unknown_logins != unknown:
                self._doubt_ends = self._world.reactor.seconds() + DOUBT_SECONDS
        if self._me is not None and login.user.id != self._me.id:
            self._api.token = ""
            raise Unauthorized(
                f"the token is of another user than what is kept here, which is {self._me.id}'s; "
                "if all accounts were deleted there, delete what is kept here, too"
            )
        self._identified(login.user)
        self._journal.set_fact("token", login.token)
        if self._baseline is None:
            # Before the session starts, so that every message from now on is behind it.
            self._baseline = {line.conversation: line.latest for line in await self._api.conversations()}
        hello = Hello(
            ticket=login.ticket, device=login.device, agent=self._device.agent, since=self._since, members=True
        )
        self._farewell = None
        self._connection = connection = NativeConnection(self, hello, self._greeting, self._world.reactor)
        connection.pause(bool(self._holdups))
        await self._world.dialler.connect(login.entrance, connection)

    def _identified(self, user: User) -> None:
        if user != self._me:
            self._journal.set_fact("id", str(user.id))
            self._journal.set_fact("name", user.name)
        self._me = user
        self._told.names.learn(user)
        self._told.life.identified(user)

    def is_final(self, error: CIMError) -> bool:
        """See Reconnectable: at a system that let us in before, most errors are temporary."""
        if isinstance(error, (Over, Banned, Unauthorized)):
            return True
        if isinstance(error, NotNative):
            return self._me is None
        return self._upkeep.sessions == 0 and not passes(error)

    # Called by the connection

    def connected(self) -> None:
        """See ConnectionUser."""
        assert self._connection is not None
        self._reconnection.connected(self._connection)

    def frames_done(self) -> None:
        """See ConnectionUser."""
        self._journal.write()
        self._keep_up()

    def beat(self) -> None:
        """See ConnectionUser."""
        if self._outbox.stuck() and self._connection is not None:
            self._connection.abort("the server stopped answering")

    def ended(self, error: Unavailable) -> None:
        """See ConnectionUser; the server's last words are the best reason."""
        connection, self._connection, self._server = self._connection, None, None
        self._inbox.ended()
        self._outbox.ended()
        why = self._farewell or error
        if connection is not None and not isinstance(why, (Banned, Over, Untrusted)):
            what = "lost the connection to" if self._upkeep.live else "could not log in at"
            why = Busy(f"{what} {connection.place}: {why.message}", why.retry_after)
        self._upkeep.end(self._reconnection, why)

    def _hear_welcome(self, welcome: Any) -> None:
        assert self._connection is not None and self._me is not None
        self._server = server = self._connection
        server.welcomed(welcome.heartbeat_seconds, self._live)
        self._as_of = welcome.as_of
        self._inbox.begin(welcome.heads, welcome.more, self._baseline or {})
        self._heads_done()
        if self._watched:
            server.say(watch=Watch(users=self._watched))
        self._say_read()
        self._outbox.begin(server.write, welcome.max_packet)
        self._reconnection.welcomed(f"logged in as {shown_name(self._me.name)} (id {self._me.id})")
        for invited in welcome.invited:
            self._hear_invited(invited)

    def _hear_refusal(self, failure: Any) -> None:
        self._farewell = Busy(failure.message or failure.code, failure.retry_after_seconds)

    def _heads_done(self) -> None:
        """Note that everything that changed before the last Welcome has been listed."""
        if self._inbox.complete:
            self._since = self._as_of
            self._baseline = {}

    def _hear_news(self, news: Any) -> None:
        self._inbox.news(news)
        self._heads_done()
        for invited in news.invited:
            self._hear_invited(invited)

    def _hear_deliver(self, deliver: Deliver) -> None:
        mine = self._me is not None and deliver.sender == self._me.id
        item = members_of(deliver) if deliver.kind == cim_pb2.MEMBERS else message_of(deliver, mine)
        self._inbox.deliver(item, deliver.previous)

    def _hear_accepted(self, accepted: Any) -> None:
        outgoing = self._outbox.accepted(accepted.client_id)
        if outgoing is None or self._me is None:
            return
        message = message_of_mine(accepted, outgoing.waiting, self._me)
        self._inbox.deliver(message, accepted.previous)
        sent = Sent(accepted.client_id, accepted.conversation, accepted.position, accepted.sent_at)
        outgoing.answered(lambda told: told.callback(sent))

    def _hear_synced(self, synced: Any) -> None:
        self._inbox.synced(synced.conversation, synced.after, synced.upto, synced.more, synced.reset)

    def _hear_failure(self, failure: Any) -> None:
        if failure.client_id:
            self._outbox.failed(failure)
        else:
            self._inbox.failed(failure.conversation, failure.retry_after_seconds or 1.0)

    def _hear_goodbye(self, goodbye: Any) -> None:
        if goodbye.code == "replaced" and self._world.reactor.seconds() < self._doubt_ends:
            # Once only, so that two devices of the same name do not replace each other for ever.
            self._doubt_ends = -DOUBT_SECONDS
            self._farewell = Busy("a login that got no answer was done late and ended this session")
        elif goodbye.code == "replaced":
            self._farewell = Over(
                "a newer login of this user ended this session:"
                " it has the same device name, or the login policy allows only one device"
            )
        elif goodbye.code == "logged-out":
            self._farewell = Over("this user was logged out")
        elif goodbye.code == "banned":
            self._farewell = Banned(goodbye.message or Banned.text)
        else:
            if goodbye.code == "unauthorized" and isinstance(self._device.credentials, Token):
                # What it led to ends with it.
                self._api.token = ""
            message = goodbye.message or f"the server ended the session ({goodbye.code})"
            self._farewell = Busy(message, goodbye.retry_after_seconds)
        assert self._connection is not None
        self._connection.leave(goodbye.code)

    def _hear_read(self, read: Any) -> None:
        self._told.listeners.receipt(Receipt(read.conversation, read.reader, read.position))

    def _hear_typing(self, typing: Any) -> None:
        if self._me is not None:
            name = conversations.group(typing.group)
            if typing.WhichOneof("in") == "user":
                name = conversations.private(self._me.id, typing.who)
            self._told.listeners.typing(Typing(name, typing.who))

    def _hear_presence(self, presence: Any) -> None:
        self._told.listeners.presence(Presence(presence.user_id, presence.online))

    def _hear_invited(self, invited: Any) -> None:
        if self._invited.get(invited.group, 0) < invited.at:  # it comes again with each Welcome
            self._invited[invited.group] = invited.at
            by = User(invited.by, invited.by_name)
            self._told.listeners.invited(Invitation(invited.group, invited.group_name, by, invited.at))

    def _hear_removed(self, removed: Any) -> None:
        self._told.listeners.removed(Removed(removed.group, removed.what, removed.by))

    def _hear_muted(self, muted: Any) -> None:
        self._told.listeners.muted(Mute(muted.conversation, muted.until))

    # Called by the inbox

    def say(self, **body: Any) -> None:
        """See InboxUser."""
        if self._server is not None:
            self._server.say(**body)

    def hand(self, message: Item) -> bool:
        """See InboxUser."""
        if isinstance(message, Members):
            return self._told.listeners.members(message)
        self._told.names.learn(message.sender)
        return self._told.listeners.received(message)

    def keep(self, message: Item | None, conversation: str, place: str) -> None:
        """See InboxUser."""
        self._journal.add(message if isinstance(message, Message) else None, conversation, place)

    def _kept(self, places: Mapping[str, str]) -> None:
        self._inbox.kept(places)
        self._keep_up()

    def _say_read(self) -> None:
        if self._server is not None:
            reads, self._reads = self._reads, {}
            for conversation, position in reads.items():
                self._server.say(read=Read(conversation=conversation, position=position))

    def _keep_up(self) -> None:
        """Pause or resume reading, so that it does not outrun the history."""
        bound = GO_ON_READING if Holdup.HISTORY in self._holdups else STOP_READING
        self._hold_up(Holdup.HISTORY, self._journal.backlog > bound)

    def _hold_up(self, why: Holdup, there: bool) -> None:
        if there != (why in self._holdups):
            self._holdups ^= {why}
            if self._connection is not None:
                self._connection.pause(bool(self._holdups))
