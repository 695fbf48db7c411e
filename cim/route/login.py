"""Logging in and out (DESIGN.md section 7).

A login reserves twice: in the store, where one owner token at a time holds a user, and at the server that was picked,
where one connection may claim it. Only when both stand is the server told to the client. Whoever seems to be in the
way is asked first: a second login is refused for a session that its server says is live, never for a record alone.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.ecim import AccountMismatch, CIMError, LinkLost, NoServerAvailable, RepeatedEnd, RepeatLogin, Unavailable
from cim.icim import IServerSelection, ISessions
from cim.model import Place, ServerAddress, SessionRecord
from cim.route.accounts import KnownAccounts
from cim.route.calls import LinkCalls
from cim.route.directory import Directory
from cim.route.presence import Host, Presence
from cim.route.recorder import SessionRecorder
from cim.route.upstream_servers import UpstreamServers

#: How long a client has to connect, seconds.
RESERVATION_SECONDS = 30
#: Servers that one login tries.
ATTEMPTS = 4


class Logins:
    """Picks servers, reserves sessions, ends them.

    :param new_owner: makes an unguessable token
    :param counted: called with the outcome of each login
    """

    _log = Logger()

    def __init__(
        self,
        accounts: KnownAccounts,
        sessions: ISessions,
        presence: Presence,
        directory: Directory,
        calls: LinkCalls,
        recorder: SessionRecorder,
        upstream: UpstreamServers,
        selection: IServerSelection,
        new_owner: Callable[[], str],
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._presence = presence
        self._directory = directory
        self._calls = calls
        self._recorder = recorder
        self._upstream = upstream
        self._selection = selection
        self._new_owner = new_owner

    async def login(self, user: int, name: str) -> ServerAddress:
        """Reserve a session for a user and return the server that waits for it.

        :raises AccountMismatch: no such account, or its name is another
        :raises RepeatLogin: the user has a live session
        :raises NoServerAvailable: no living server; nothing is left behind
        """
        account = await self._accounts.get(user)
        if account.name != name:
            raise AccountMismatch()
        await self._refuse_if_online(user)
        tried: set[str] = set()
        expected: set[str] = set()
        for _ in range(ATTEMPTS):
            server = await self._pick(user, tried)
            owner = self._new_owner()
            host = self._directory.linked(server)
            place = host.place if host is not None else Place(server)
            reserved = await self._sessions.reserve(
                user, place, owner, expected=expected, seconds=RESERVATION_SECONDS, live=host is None
            )
            if reserved.in_the_way:
                for record in reserved.in_the_way:
                    if await self._is_live(record):
                        raise RepeatLogin()
                    expected.add(record.owner)
                continue
            if host is None or await self._confirmed(host, user, name, owner):
                return ServerAddress.parse(server)
            tried.add(server)
        raise NoServerAvailable()

    async def _refuse_if_online(self, user: int) -> None:
        for online in self._presence.of(user):
            record = SessionRecord(user, online.host.place, online.owner, True, 0)
            if await self._is_live(record):
                raise RepeatLogin()

    async def _pick(self, user: int, tried: set[str]) -> str:
        while True:
            candidates = self._directory.candidates(tried)
            if not candidates:
                raise NoServerAvailable()
            server = self._selection.select(candidates, user).server
            if server in self._directory.ours or await self._upstream.answers(server):
                return server
            self._log.info("upstream's server {server} does not answer and is passed over", server=server)
            tried.add(server)

    async def _confirmed(self, host: Host, user: int, name: str, owner: str) -> bool:
        """Reserve at the server; False when another server should be tried."""
        try:
            if host.link is None:
                raise LinkLost()
            outcome = await self._calls.reserve(host.link, user, name, owner, RESERVATION_SECONDS)
        except CIMError:
            outcome = None
        if outcome is not None and not outcome.code:
            return True
        self._recorder.release(user, host.place, owner)
        if outcome is not None and outcome.code == "live":
            raise RepeatLogin()
        return False

    async def _is_live(self, record: SessionRecord) -> bool:
        """Ask whoever knows best whether the session of a live record still lives."""
        place = record.place
        if not place.incarnation:
            return place.server in self._directory.upstream
        host = self._presence.hosts.get(place.server)
        if host is not None and host.link is not None:
            if host.place != place:
                return False
            try:
                outcome = await self._calls.probe(host.link, record.user)
            except Unavailable:
                pass
            else:
                return outcome.sessions > 0
        return await self._sessions.leased(place)

    async def log_out(self, user: int) -> None:
        """End a user's session and reservation, wherever they are, and return when the server has confirmed.

        Repeats that follow on a new login are ignored (DESIGN.md section 7).

        :raises LinkLost: a server could not be told; the session may live on
        """
        try:
            records = await self._sessions.end(user)
        except RepeatedEnd:
            return
        ends = {(online.host.place, online.owner) for online in self._presence.of(user)}
        ends.update((record.place, record.owner) for record in records if record.place.incarnation)
        telling = [Deferred.fromCoroutine(self._end(place, user, owner)) for place, owner in ends]
        if not all([await told for told in telling]):
            raise LinkLost()

    async def _end(self, place: Place, user: int, owner: str) -> bool:
        """End one login at its server; True when it is certainly over."""
        host = self._presence.hosts.get(place.server)
        try:
            if host is None or host.place != place or host.link is None:
                return not await self._sessions.leased(place)
            await self._calls.end(host.link, user, owner, "logged-out")
        except CIMError:
            return False
        return True
