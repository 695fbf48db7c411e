"""Messages of guests to one user and to everyone, for those who are online (DESIGN.md sections 5 and 7)."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from cim.ecim import CIMError, InvalidField, LinkLost, RateLimited, UserOffline
from cim.icim import ILink, ISessions
from cim.metrics import Metrics
from cim.model import Account
from cim.route.accounts import KnownAccounts
from cim.route.calls import LinkCalls
from cim.route.directory import Directory
from cim.route.presence import Presence
from cim.route.upstream_servers import UpstreamServers
from cim.wire.link_pb2 import Deliver, Guest

#: Calls to upstream's servers that one group message has under way at once.
UPSTREAM_CALLS = 8


class Messages:
    """Takes guests' messages and has them pushed."""

    _log = Logger()

    def __init__(
        self,
        accounts: KnownAccounts,
        sessions: ISessions,
        presence: Presence,
        directory: Directory,
        calls: LinkCalls,
        upstream: UpstreamServers,
        metrics: Metrics,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._presence = presence
        self._directory = directory
        self._calls = calls
        self._upstream = upstream
        self._metrics = metrics

    async def private(self, sender: int, receiver: int, texts: Sequence[str], *, batch: bool) -> None:
        """Push texts to one user; returns when a server has written them to a live connection.

        :raises AccountMismatch: an unknown sender or receiver
        :raises UserOffline: nobody was there to write it to
        :raises CallTimeout: the server did not answer: unknown whether it was written
        """
        if sender == receiver:
            raise InvalidField("receiveUserId", "must be another user: nobody writes to oneself")
        author = self._accounts.at_hand(sender) or await self._accounts.get(sender)
        if self._accounts.at_hand(receiver) is None:
            await self._accounts.get(receiver)
        self._metrics.messages_in += len(texts)
        links = {online.host.link for online in self._presence.of(receiver) if online.host.link is not None}
        if not links:
            await self._through_upstream(author, receiver, texts, batch)
            return
        written = 0
        for link in links:
            guest = Guest(sender=author.id, sender_name=author.name, texts=texts, batch=batch)
            try:
                outcome = await self._calls.deliver(link, Deliver(users=(receiver,), guest=guest))
            except (LinkLost, RateLimited):
                continue
            if outcome.code == "invalid":
                raise InvalidField("msg", "does not fit into a frame")
            written += outcome.sessions
        if not written:
            raise UserOffline()

    async def _through_upstream(self, author: Account, receiver: int, texts: Sequence[str], batch: bool) -> None:
        if not self._directory.upstream:
            raise UserOffline()
        servers = [record.place.server for record in await self._sessions.sessions(receiver)]
        server = next((server for server in servers if server in self._directory.upstream), None)
        if server is None:
            raise UserOffline()
        await self._upstream.send(server, receiver, author.id, author.name, texts, batch=batch)

    async def everyone(self, sender: int, text: str) -> None:
        """Push a text to everyone online but the sender; returns when every server has written it or is lost.

        :raises AccountMismatch: an unknown sender
        """
        author = self._accounts.at_hand(sender) or await self._accounts.get(sender)
        self._metrics.messages_in += 1
        pushes = [Deferred.fromCoroutine(self._push_all(link, author, text)) for link in self._presence.links()]
        if self._directory.upstream:
            pushes.append(Deferred.fromCoroutine(self._everyone_upstream(author, text)))
        # All are under way; each is waited for, so that whoever gets the answer can rely on the order of what follows.
        if not all([await push for push in pushes]):
            raise InvalidField("msg", "does not fit into a frame")

    async def _push_all(self, link: ILink, author: Account, text: str) -> bool:
        guest = Guest(sender=author.id, sender_name=author.name, texts=(text,))
        try:
            outcome = await self._calls.deliver(link, Deliver(everyone=True, except_user=author.id, guest=guest))
        except CIMError as error:
            # The others get it all the same.
            self._log.warn("a group message did not reach {server}: {error}", server=link.peer.name, error=error)
            return True
        return outcome.code != "invalid"

    async def _everyone_upstream(self, author: Account, text: str) -> bool:
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
        return True

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
