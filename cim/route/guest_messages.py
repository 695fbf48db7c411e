"""What upstream's API says: messages of guests, and to them (DESIGN.md sections 5 and 7).

A private message is stored before it is pushed, so one to somebody who is offline waits there; upstream's answer to it
is 7000 all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import CIMError, InvalidField, LinkLost, RateLimited, Unavailable, UserOffline
from cim.icim import ILink, ISessions
from cim.model import GUEST, Account, Appended
from cim.route.accounts import KnownAccounts
from cim.route.calls import LinkCalls
from cim.route.delivery import Delivery, Push
from cim.route.directory import Directory
from cim.route.presence import Presence
from cim.route.sending import Outgoing, Sending
from cim.route.together import together
from cim.route.upstream_servers import UpstreamServers
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from cim.wire.link_pb2 import Guest, Outcome

#: Calls to upstream's servers that one group message has under way at once.
UPSTREAM_CALLS = 8


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
        accounts: KnownAccounts,
        sessions: ISessions,
        presence: Presence,
        directory: Directory,
        calls: LinkCalls,
        sending: Sending,
        delivery: Delivery,
        upstream: UpstreamServers,
        new_id: Callable[[], str],
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._presence = presence
        self._directory = directory
        self._calls = calls
        self._sending = sending
        self._delivery = delivery
        self._upstream = upstream
        self._client_ids = _client_ids(new_id)

    async def private(self, sender: int, receiver: int, texts: Sequence[str], *, batch: bool) -> None:
        """Store texts for one user and push them; returns when a server has written them to a live connection.

        :raises AccountMismatch: an unknown sender or receiver; nothing is stored
        :raises UserOffline: they are stored, and nobody was there to write them to
        :raises CallTimeout: they are stored, and the server did not answer: unknown whether they were written
        """
        if sender == receiver:
            raise InvalidField("receiveUserId", "must be another user: nobody writes to oneself")
        author = self._accounts.at_hand(sender) or await self._accounts.get(sender)
        messages = self._chain(author, receiver, texts)
        ended: list[tuple[bool, Any]] = await DeferredList(
            [self._sending.send(message) for message in messages], consumeErrors=True
        )
        appended = [at for well, at in ended if well]
        if len(appended) < len(messages):
            # What was stored of it is pushed all the same.
            for message, (well, at) in zip(messages, ended, strict=True):
                if well:
                    self._sending.push(message, at)
            next(failure for well, failure in ended if not well).raiseException()
        if not await self._push(author, receiver, messages, appended, texts, batch):
            raise UserOffline()

    def _chain(self, author: Account, receiver: int, texts: Sequence[str]) -> list[Outgoing]:
        """Return texts as messages each of which is stored behind the one before it, or not at all."""
        conversation = conversations.private(author.id, receiver)
        messages: list[Outgoing] = []
        after = ""
        for text in texts:
            send = Send(user=receiver, client_id=next(self._client_ids), text=text)
            messages.append(Outgoing(author, send, conversation, after, push=False))
            after = send.client_id
        return messages

    async def _push(
        self,
        author: Account,
        receiver: int,
        messages: Sequence[Outgoing],
        appended: Sequence[Appended],
        texts: Sequence[str],
        batch: bool,
    ) -> bool:
        """Push what was stored; True when the receiver got it."""
        as_one = batch and all(after.previous == before.position for before, after in pairwise(appended))
        asked: list[Deferred[Outcome]] = []
        for message, at in zip(messages, appended, strict=True):
            packet = native.deliver_packet(at.body, message.conversation, at.position, at.previous)
            guest = None if as_one else Guest(sender=author.id, sender_name=author.name, texts=(message.send.text,))
            push = Push(message.conversation, at.position, at.previous, packet, guest)
            asked += self._delivery.ask_users(push, (receiver,))
            self._delivery.to_users(push, (author.id,))
        if as_one:
            # A live guest gets a batch as one frame, so for guests it is one delivery from the first to the last.
            guest = Guest(sender=author.id, sender_name=author.name, texts=texts, batch=True)
            conversation = messages[0].conversation
            whole = Push(conversation, appended[-1].position, appended[0].previous, b"", guest)
            asked += self._delivery.ask_users(whole, (receiver,))
            self._delivery.to_users(whole, (author.id,))
        written = sum(await together([self._written(answer) for answer in asked]))
        if not written and self._directory.upstream:
            written += await self._through_upstream(author, receiver, texts, batch)
        return written > 0

    @staticmethod
    def _written(answer: Deferred[Outcome]) -> Deferred[int]:
        """Make the answer the number of sessions that it was written to; none when the link is gone or full."""

        def failed(failure: Failure) -> int:
            failure.trap(LinkLost, RateLimited)
            return 0

        return answer.addCallbacks(lambda outcome: outcome.sessions, failed)

    async def _through_upstream(self, author: Account, receiver: int, texts: Sequence[str], batch: bool) -> bool:
        for record in await self._sessions.sessions(receiver):
            if record.place.server in self._directory.upstream:
                await self._upstream.send(record.place.server, receiver, author.id, author.name, texts, batch=batch)
                return True
        return False

    async def everyone(self, sender: int, text: str) -> None:
        """Push a text to everyone online but the sender; returns when every server has written it or is lost.

        :raises AccountMismatch: an unknown sender
        :raises RateLimited: the sender says too much
        """
        author = self._accounts.at_hand(sender) or await self._accounts.get(sender)
        send = Send(group=0, client_id=next(self._client_ids), text=text)
        message = Outgoing(author, send, conversations.EVERYONE, push=False)
        at = await self._sending.send(message)
        push = Push(
            conversations.EVERYONE,
            at.position,
            at.previous,
            native.deliver_packet(at.body, conversations.EVERYONE, at.position, at.previous),
            Guest(sender=author.id, sender_name=author.name, texts=(text,)),
        )
        # All are under way; each is waited for, so that whoever gets the answer can rely on the order of what follows.
        asked = self._delivery.ask_everyone(push, except_user=author.id)
        upstream = Deferred.fromCoroutine(self._everyone_upstream(author, text)) if self._directory.upstream else None
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
            for online in self._presence.of(user)
            if online.device == GUEST and online.host.link is not None
        }
        if not links and any(record.device == GUEST for record in await self._sessions.sessions(user)):
            raise Unavailable()
        await together([self._calls.fetch_offline(link, user) for link in links])

    async def online(self) -> list[Account]:
        """Return everyone who is online, by id."""
        found = {account.id: account for account in self._presence.online()}
        for server in self._directory.upstream:
            for user in await self._sessions.users_at(server):
                if user not in found:
                    try:
                        found[user] = await self._accounts.get(user)
                    except CIMError:
                        continue
        return [found[user] for user in sorted(found)]
