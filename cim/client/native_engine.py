"""The native generation under a `Client`: logs in, connects, reads, sends; again and again until it is over.

A life of it: POST /v1/sessions by the token or the password (the account is made when that was asked for) -> connect ->
Hello, Welcome -> READY -> the connection ends -> RECONNECTING, the time that was told and a growing random wait -> in
again. A Goodbye `replaced` or `logged-out`, and a login that is refused, are the end: to log in again by itself would
end the other client, which would do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cim.client.delivered import message_of, message_of_mine
from cim.client.inbox import Inbox
from cim.client.journal import Journal
from cim.client.native_connection import NativeConnection
from cim.client.native_login import log_in
from cim.client.outbox import Outbox
from cim.client.reconnection import STEADY_SECONDS, Backoff
from cim.client.v1 import NotNative, V1Calls, retry_after, user_of
from cim.client.values import Message, Password, Presence, Receipt, Sent, State, Typing, User, Waiting
from cim.ecim import CIMError, NoServerAvailable, RateLimited, Unauthorized, Unavailable
from cim.web.calling import reason
from cim.wire import cim_pb2, conversations
from cim.wire.cim_pb2 import Deliver, Hello, Read, Watch

#: How long a Welcome may take, and leaving, seconds.
WELCOME_SECONDS = 15.0
LEAVE_SECONDS = 2.0
#: One typing note in so many seconds.
TYPING_SECONDS = 0.5
#: So many messages that are not written down yet stop the reading, and so few let it go on.
STOP_READING = 2000
GO_ON_READING = 500


class Owner(Protocol):
    """Whose engine it is."""

    def to_state(self, state: State, reason: str) -> None:
        """It stands elsewhere."""

    def identified(self, user: User) -> None:
        """It is known who is logged in."""

    def hand(self, message: Message) -> bool:
        """Give a message to the listeners; False when nothing more is wanted."""

    def tell(self, what: str, value: Any) -> None:
        """Call a listeners' method."""


def passing(error: CIMError) -> bool:
    """Whether the same login may well succeed later."""
    return isinstance(error, (Unavailable, NoServerAvailable, RateLimited))


class Over(CIMError):
    """The session ended for good: somebody wants that."""


class NativeEngine:
    """One identity on one device.

    :param endpoint: from a host and a port to what connects there
    :param me: who it was the last time, when that was stored
    """

    _log = Logger()

    def __init__(
        self,
        owner: Owner,
        api: V1Calls,
        credentials: Password,
        device: str,
        agent: str,
        reactor: Any,
        random: Callable[[], float],
        journal: Journal,
        endpoint: Callable[[str, int], IStreamClientEndpoint],
        me: User | None,
    ) -> None:
        self._owner = owner
        self._api = api
        self._credentials = credentials
        self._device = device
        self._agent = agent
        self._reactor = reactor
        self._backoff = Backoff(random)
        self._journal = journal
        self._endpoint = endpoint
        self._me = me
        self.inbox = Inbox(self, reactor, random)
        self.outbox = Outbox(reactor, random, journal.drop_waiting)
        self._connection: NativeConnection | None = None
        self._ending: Deferred[str] | None = None
        self._live = False
        self._was_ready = False
        self._closed = False
        self._paused = False
        self._full = False
        self._ready_since: float | None = None
        self._baseline: Mapping[str, str] | None = None
        self._since = ""
        self._as_of = ""
        self._goodbye: cim_pb2.Goodbye | None = None
        self._retry_after = 0.0
        self._reads: dict[str, str] = {}
        self._watched: Sequence[int] = ()
        self._typed = -TYPING_SECONDS

    # What the client asks of it

    def load(self, places: Mapping[str, str], waiting: Sequence[Waiting]) -> None:
        """Take what was stored."""
        self.inbox.load(places)
        self.outbox.load(waiting)

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """Send a message; see Outbox.add."""
        known = self.outbox.knows(waiting.client_id)
        sent = self.outbox.add(waiting)
        if not known:
            self._journal.put_waiting(waiting)
        return sent

    def mark_read(self, conversation: str, position: str) -> None:
        """See Engine; it is said now or in the next session."""
        position = position or self.inbox.held(conversation)
        if position:
            self._reads[conversation] = position
            self._say_read()

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

    def typing(self, user: int, group: int) -> None:
        """Say that the user is typing; too often is left out."""
        now = self._reactor.seconds()
        if self._live and now - self._typed >= TYPING_SECONDS:
            self._typed = now
            self.say(typing=cim_pb2.Typing(user=user) if user else cim_pb2.Typing(group=group))

    def watch(self, users: Sequence[int]) -> None:
        """Watch these users, over all sessions."""
        self._watched = tuple(users)
        if self._live:
            self.say(watch=Watch(users=self._watched))

    def pause(self, paused: bool) -> None:
        """Read nothing while paused."""
        self._paused = paused
        self._throttle()

    def kept(self, places: Mapping[str, str]) -> None:
        """The journal has written them."""
        self.inbox.kept(places)
        self._throttle()

    async def run(self) -> None:
        """Be online until cancelled.

        :raises CIMError: it is over, or never began: the login is refused for good
        """
        while True:
            self._retry_after = 0.0
            try:
                trouble = await self._live_through_a_session()
                wait = self._retry_after
            except CIMError as error:
                if not self._goes_on(error):
                    raise
                trouble, wait = error.message, max(self._retry_after, retry_after(error))
            wait += self._backoff.next()
            state = State.RECONNECTING if self._was_ready else State.CONNECTING
            self._owner.to_state(state, f"{trouble}; trying again in {wait:.1f} s")
            await deferLater(self._reactor, wait)

    def _goes_on(self, error: CIMError) -> bool:
        """Whether the next login may succeed; of a system that let us in before, most of what is wrong passes."""
        if isinstance(error, (Over, Unauthorized)):
            return False
        if isinstance(error, NotNative):
            return self._me is not None
        return self._was_ready or passing(error)

    async def leave(self) -> None:
        """Leave in good order, within bounds; `run` was cancelled."""
        connection, self._closed = self._connection, True
        if connection is not None:
            ended = self._ending = Deferred()
            if self._live:
                self.inbox.acknowledge_all()
            connection.leave()
            late = self._reactor.callLater(LEAVE_SECONDS, connection.abort, "left")
            await ended
            if late.active():
                late.cancel()
        self.close()

    def close(self) -> None:
        """Do nothing more; who waits for an answer is told so."""
        self._closed = True
        self._live = False
        self.inbox.close()
        self.outbox.close()

    # How a session is kept

    async def _live_through_a_session(self) -> str:
        """Log in, and return why the session ended when it has."""
        login = await log_in(self._api, self._credentials, self._device, create=not self._was_ready)
        self._me = login.user
        self._owner.identified(login.user)
        self._journal.set_fact("token", login.token)
        if self._baseline is None:
            # Before the session begins, so that what is said from now on lies behind it.
            self._baseline = {line.conversation: line.latest for line in await self._api.conversations()}
        self._ready_since = self._goodbye = None
        hello = Hello(ticket=login.ticket, device=login.device, agent=self._agent, since=self._since)
        connection = NativeConnection(self, hello, self._reactor)
        server = f"{login.host}:{login.port}"
        ended = self._ending = Deferred()
        try:
            await connectProtocol(self._endpoint(login.host, login.port), connection)
        except (ConnectError, DNSLookupError) as error:
            raise Unavailable(f"the server {server} cannot be reached: {reason(error)}")
        if not ended.called:
            self._connection = connection
            self._throttle()
        late = self._reactor.callLater(WELCOME_SECONDS, self._unwelcome)
        try:
            why = await ended
        finally:
            if late.active():
                late.cancel()
        return self._trouble(server, why)

    def _trouble(self, server: str, why: str) -> str:
        """Return why the session ended; Goodbye knows best."""
        goodbye = self._goodbye
        if goodbye is not None:
            if goodbye.code == "replaced":
                raise Over("this user logged in on the same device elsewhere")
            if goodbye.code == "logged-out":
                raise Over("this user was logged out")
            why = goodbye.message or f"it said goodbye ({goodbye.code})"
        if self._ready_since is None:
            raise Unavailable(f"the server {server} did not welcome us: {why}")
        if self._reactor.seconds() - self._ready_since >= STEADY_SECONDS:
            self._backoff.reset()
        return f"lost the connection to {server}: {why}"

    def _unwelcome(self) -> None:
        if not self._live and self._connection is not None:
            self._connection.abort("it did not welcome us")

    # What the connection tells

    def packet(self, kind: str, body: Any) -> None:
        """See SessionUser."""
        hear = getattr(self, f"_hear_{kind}", None)
        if hear is not None:
            hear(body)

    def packets_done(self) -> None:
        """See SessionUser."""
        self._journal.write()
        self._throttle()

    def beat(self) -> None:
        """See SessionUser."""
        if self.outbox.stuck() and self._connection is not None:
            self._connection.abort("the server answers nothing")

    def ended(self, reason: str) -> None:
        """See SessionUser."""
        self._connection = None
        self._live = False
        self.inbox.ended()
        self.outbox.ended()
        ending, self._ending = self._ending, None
        if ending is not None and not ending.called:
            ending.callback(reason)

    def _hear_welcome(self, welcome: Any) -> None:
        if self._live or self._closed or self._connection is None or self._me is None:
            return
        self._live = self._was_ready = True
        self._ready_since = self._reactor.seconds()
        self._connection.welcomed(welcome.heartbeat_seconds)
        self._as_of = welcome.as_of
        self.inbox.begin(welcome.heads, welcome.more, self._baseline or {})
        self._heads_done()
        if self._watched:
            self.say(watch=Watch(users=self._watched))
        self._say_read()
        self.outbox.begin(self._connection.write)
        self._owner.to_state(State.READY, f"logged in as {self._me.name} (id {self._me.id})")

    def _heads_done(self) -> None:
        """What changed before the last Welcome need not be listed again, once all of it was."""
        if self.inbox.complete:
            self._since = self._as_of
            self._baseline = {}

    def _hear_news(self, news: Any) -> None:
        self.inbox.news(news.heads, news.more)
        self._heads_done()

    def _hear_deliver(self, deliver: Deliver) -> None:
        mine = self._me is not None and deliver.sender == self._me.id
        self.inbox.deliver(message_of(deliver, mine), deliver.previous)

    def _hear_accepted(self, accepted: Any) -> None:
        outgoing = self.outbox.accepted(accepted.client_id)
        if outgoing is None or self._me is None:
            return
        message = message_of_mine(accepted, outgoing.waiting, self._me)
        self.inbox.deliver(message, accepted.previous)
        sent = Sent(accepted.client_id, accepted.conversation, accepted.position, accepted.sent_at)
        outgoing.answered(lambda told: told.callback(sent))

    def _hear_synced(self, synced: Any) -> None:
        self.inbox.synced(synced.conversation, synced.after, synced.upto, synced.more, synced.reset)

    def _hear_failure(self, failure: Any) -> None:
        if not self._live:
            self._retry_after = float(failure.retry_after_seconds)
        elif failure.client_id:
            self.outbox.failed(failure)
        else:
            self.inbox.failed(failure.conversation, failure.retry_after_seconds or 1.0)

    def _hear_goodbye(self, goodbye: Any) -> None:
        self._goodbye = goodbye
        self._retry_after = float(goodbye.retry_after_seconds)
        assert self._connection is not None
        self._connection.leave(goodbye.code)

    def _hear_read(self, read: Any) -> None:
        self._owner.tell("receipt", Receipt(read.conversation, read.reader, read.position))

    def _hear_typing(self, typing: Any) -> None:
        if self._me is not None:
            name = conversations.group(typing.group)
            if typing.WhichOneof("in") == "user":
                name = conversations.private(self._me.id, typing.who)
            self._owner.tell("typing", Typing(name, typing.who))

    def _hear_presence(self, presence: Any) -> None:
        self._owner.tell("presence", Presence(presence.user_id, presence.online))

    # What the inbox asks

    def say(self, **body: Any) -> None:
        """See Reader."""
        if self._connection is not None:
            self._connection.say(**body)

    def hand(self, message: Message) -> bool:
        """See Reader."""
        return not self._closed and self._owner.hand(message)

    def keep(self, message: Message | None, conversation: str, place: str) -> None:
        """See Reader."""
        self._journal.add(message, conversation, place)

    def _say_read(self) -> None:
        if self._live:
            reads, self._reads = self._reads, {}
            for conversation, position in reads.items():
                self.say(read=Read(conversation=conversation, position=position))

    def _throttle(self) -> None:
        """Read as fast as the history is written and the application takes it."""
        backlog = self._journal.backlog
        self._full = backlog > (GO_ON_READING if self._full else STOP_READING)
        if self._connection is not None:
            self._connection.pause(self._paused or self._full)
