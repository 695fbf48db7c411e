"""What upstream's API says: messages of guests, and to them (docs/architecture.md, Guests).

A private message is stored before it is pushed, so one to somebody who is offline waits there; upstream's answer to it
is 7000 all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, pairwise
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import CIMError, InvalidField, LinkLost, RateLimited, Unavailable, UserOffline
from cim.interfaces import ILink, ISessions
from cim.model import GUEST, Account, Appended, SessionRecord
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.limits import Guest
from cim.route.messages.outgoing import Outgoing, push_of
from cim.route.messages.sending import Sending
from cim.route.messages.together import together
from cim.route.presence.directory import Directory
from cim.route.presence.listings import Listings
from cim.route.presence.presence import Presence
from cim.route.presence.upstream_servers import UpstreamServers
from cim.route.presence.whereabouts import Whereabouts
from cim.traces import UNTRACED, Trace
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from cim.wire.link_pb2 import Outcome

#: Calls to upstream's servers that one group message has under way at once.
UPSTREAM_CALLS = 8
#: Has a guest's backlog written to it.
FETCH = Push(native.FETCH)


@frozen
class _Private:
    """What one user says to another in one call.

    :param batch: guests get it in one frame
    """

    author: Account
    sender: Guest
    receiver: int
    texts: Sequence[str]
    batch: bool
    trace: Trace


def _stored(texts: Sequence[str], appended: Sequence[Appended]) -> list[str]:
    """Return what was stored of texts: a policy may have changed some."""
    return [native.parse_body(at.body).text if at.changed else text for text, at in zip(texts, appended, strict=True)]


def _client_ids(new_id: Callable[[], str]) -> Iterator[str]:
    """Yield what never was: guests' messages have no client_id of their own, and none comes a second time."""
    own = new_id()
    for number in count(1):
        yield f"{own}-{number}"


class GuestMessages:
    """Takes guests' messages, stores them, and has them pushed.

    :param new_id: makes something unguessable
    """

    _log = Logger()

    def __init__(
        self,
        *,
        accounts: KnownAccounts,
        sessions: ISessions,
        presence: Presence,
        whereabouts: Whereabouts,
        listings: Listings,
        directory: Directory,
        sending: Sending,
        delivery: Delivery,
        upstream: UpstreamServers,
        new_id: Callable[[], str],
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._presence = presence
        self._whereabouts = whereabouts
        self._listings = listings
        self._directory = directory
        self._sending = sending
        self._delivery = delivery
        self._upstream = upstream
        self._client_ids = _client_ids(new_id)

    async def private(
        self, sender: Guest, receiver: int, texts: Sequence[str], *, batch: bool, trace: Trace = UNTRACED
    ) -> None:
        """Store texts for one user and push them; returns when a server has written them to a live connection.

        :param trace: that of the call, if it is traced
        :raises AccountMismatch: an unknown sender or receiver; nothing is stored
        :raises RateLimited: the sender says too much; nothing is stored
        :raises Refused: a policy refuses one of them; nothing is stored
        :raises UserOffline: they are stored, and nobody was there to write them to
        :raises CallTimeout: they are stored, and the server did not answer: unknown whether they were written
        """
        if sender.user == receiver:
            raise InvalidField("receiveUserId", "must be another user: nobody writes to oneself")
        author = self._accounts.at_hand(sender.user) or await self._accounts.get(sender.user)
        said = _Private(author, sender, receiver, texts, batch, trace)
        conversation = conversations.private(author.id, receiver)
        self._sending.allow(sender, conversation, len(texts), sum(len(text.encode()) for text in texts))
        messages = self._chain(said, conversation)
        await self._sending.judge(messages)
        fates = self._sending.send_all(messages)
        # Nearly all calls say one thing.
        appended = [await fates[0]] if len(fates) == 1 else await self._all_stored(messages, fates)
        if not await self._push(said, messages, appended):
            raise UserOffline()

    async def _all_stored(self, messages: Sequence[Outgoing], fates: Iterable[Deferred[Appended]]) -> list[Appended]:
        """Return where all messages are; if some are not stored, push those that are, and raise the first error."""
        ended: list[tuple[bool, Any]] = await DeferredList(fates, consumeErrors=True)
        if all(well for well, _ in ended):
            return [at for _, at in ended]
        for message, (well, at) in zip(messages, ended, strict=True):
            if well:
                self._sending.push(message, at)
        raise next(failure.value for well, failure in ended if not well)

    def _chain(self, said: _Private, conversation: str) -> list[Outgoing]:
        """Return texts as messages each of which is stored behind the one before it, or not at all."""
        messages: list[Outgoing] = []
        after = ""
        for text in said.texts:
            send = Send(user=said.receiver, client_id=next(self._client_ids), text=text)
            size = len(text.encode())
            messages.append(
                Outgoing(said.author, send, conversation, size, after, push=False, payer=said.sender, trace=said.trace)
            )
            after = send.client_id
        return messages

    async def _push(self, said: _Private, messages: Sequence[Outgoing], appended: Sequence[Appended]) -> bool:
        """Push what was stored; True when the receiver got it."""
        as_one = said.batch and all(after.previous == before.position for before, after in pairwise(appended))
        pushes = [
            push_of(message, at, len(messages) - number if as_one else 0)
            for number, (message, at) in enumerate(zip(messages, appended, strict=True))
        ]
        # One run for the receiver and then one for the author: a batch is whole only if nothing comes between. When the
        # last of it was written, all was.
        receivers = (said.receiver,)
        for push in pushes[:-1]:
            self._delivery.to_users(push, receivers)
        asked = self._delivery.ask_users(pushes[-1], receivers)
        for push in pushes:
            self._delivery.to_users(push, (said.author.id,))
        return await self._written(asked) or await self._push_by_records(said, appended, pushes)

    @staticmethod
    async def _written(asked: Sequence[Deferred[Outcome]]) -> bool:
        """Return whether it was written to any session; to none when the link is gone or full."""

        def failed(failure: Failure) -> Outcome:
            failure.trap(LinkLost, RateLimited)
            return Outcome()

        outcomes = await together([answer.addErrback(failed) for answer in asked])
        return any(outcome.sessions for outcome in outcomes)

    async def _push_by_records(self, said: _Private, appended: Sequence[Appended], pushes: Sequence[Push]) -> bool:
        """Push where the store says that the receiver is: the links may not have told of a new session yet."""
        try:
            records = await self._sessions.sessions(said.receiver)
        except Unavailable:
            return False
        for record in records:
            if record.place.server in self._directory.upstream:
                await self._upstream.send(
                    record.place.server,
                    said.receiver,
                    said.author.id,
                    said.author.name,
                    _stored(said.texts, appended),
                    batch=said.batch,
                )
                return True
        receivers = (said.receiver,)
        asked = []
        for link in self._links_to(records) - {online.host.link for online in self._whereabouts.of(said.receiver)}:
            for push in pushes[:-1]:
                self._delivery.to_server(link, push, receivers)
            asked.append(self._delivery.ask_server(link, pushes[-1], receivers))
        return await self._written(asked)

    def _links_to(self, records: Iterable[SessionRecord]) -> set[ILink]:
        """Return the links to the servers that records name."""
        links = set()
        for record in records:
            host = self._presence.hosts.get(record.place.server)
            if host is not None and host.link is not None and host.place == record.place:
                links.add(host.link)
        return links

    async def everyone(self, sender: Guest, text: str, trace: Trace = UNTRACED) -> None:
        """Push a text to everyone online but the sender; returns when every server has written it or is lost.

        :param trace: that of the call, if it is traced
        :raises AccountMismatch: an unknown sender
        :raises RateLimited: the sender says too much
        """
        author = self._accounts.at_hand(sender.user) or await self._accounts.get(sender.user)
        send = Send(group=0, client_id=next(self._client_ids), text=text)
        size = len(text.encode())
        message = Outgoing(author, send, conversations.EVERYONE, size, push=False, payer=sender, trace=trace)
        at = await self._sending.send(message)
        push = push_of(message, at)
        # All are under way; each is waited for, so that whoever gets the answer can rely on the order of what follows.
        asked = self._delivery.ask_everyone(push, except_user=author.id)
        upstream = (
            Deferred.fromCoroutine(self._everyone_upstream(author, *_stored((text,), (at,))))
            if self._directory.upstream
            else None
        )
        for link, answer in asked:
            await self._waited(link, answer)
        if upstream is not None:
            await upstream

    async def _waited(self, link: ILink, answer: Deferred[Outcome]) -> None:
        try:
            await answer
        except CIMError as error:
            # The others get it all the same.
            self._log.warn("a group message did not reach {server}: {error}", server=link.peer.name, error=error)

    async def _everyone_upstream(self, author: Account, text: str) -> None:
        few = DeferredSemaphore(UPSTREAM_CALLS)

        async def push(server: str, user: int) -> None:
            try:
                await self._upstream.send(server, user, author.id, author.name, (text,), batch=False)
            except CIMError as error:
                self._log.warn("a group message did not reach {server}: {error}", server=server, error=error)

        pushes = []
        for server in sorted(self._directory.upstream):
            for user in await self._sessions.users_at(server):
                if user != author.id:
                    pushes.append(few.run(push, server, user))
        for pushed in pushes:
            await pushed

    async def fetch_offline(self, user: int) -> None:
        """Have a guest's backlog written to its connection; returns when it was, or when there is none to write to.

        :raises Unavailable: it has logged in, and no server that is linked here has it (yet)
        """
        links = {
            online.host.link
            for online in await self._whereabouts.sessions(user)
            if online.device == GUEST and online.host.link is not None
        }
        heard_of = bool(links)
        if not heard_of:
            records = [record for record in await self._sessions.sessions(user) if record.device == GUEST]
            links = self._links_to(records)
            if records and not links:
                raise Unavailable()
        outcomes = await together([self._delivery.ask_server(link, FETCH, (user,)) for link in links])
        if links and not heard_of and not any(outcome.sessions for outcome in outcomes):
            raise Unavailable()

    async def online(self) -> list[Account]:
        """Return the guests who are online, by id: whoever asks proves nothing, so others are not shown."""
        found = {account.id: account for account in await self._listings.guests()}
        for server in self._directory.upstream:
            for user in await self._sessions.users_at(server):
                if user not in found:
                    try:
                        found[user] = await self._accounts.get(user)
                    except CIMError:
                        continue
        return [found[user] for user in sorted(found)]
