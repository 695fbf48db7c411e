"""Logging in and out (docs/architecture.md, Logins).

A login makes two reservations: in the store, where one owner token at a time holds a user, and at the chosen server,
where one connection may claim it. The client learns the server only when both stand. A second login is refused only
when the server of the session in the way confirms that it is live; a record alone never refuses one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import AccountMismatch, CIMError, LinkLost, NoServerAvailable, RepeatedEnd, RepeatLogin, Unavailable
from cim.interfaces import IPushes, IServerSelection, ISessions, IStoreClock
from cim.model import GUEST, RESERVATION_SECONDS, Account, LinkPeer, LoginPolicy, Memberships, Place, SessionRecord
from cim.nodes import ServerAddress
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.grouping import Grouping
from cim.route.presence.calls import LinkCalls
from cim.route.presence.directory import Directory
from cim.route.presence.presence import Host, Online, Presence
from cim.route.presence.recorder import SessionRecorder
from cim.route.presence.upstream_servers import UpstreamServers
from cim.route.presence.whereabouts import Whereabouts
from cim.user_tokens import Bounds, words_of
from cim.wire.link_pb2 import End, Item, Reserve

#: How many sessions and reservations at servers out of reach are remembered, to be ended when those are back.
MAX_OWED = 10_000
#: How many servers one login tries.
ATTEMPTS = 4
#: A server hears so late, in ms, how long a bounded session lasts that it still ends in time.
MARGIN_MS = 1000


@frozen
class Admission:
    """A reserved session.

    :param websocket: the URL of the server's WebSockets; empty if it has none
    :param tls_name: the name that the client verifies on the TCP port; empty if it does not use TLS there
    """

    place: Place
    owner: str
    websocket: str = ""
    tls_name: str = ""

    @property
    def address(self) -> ServerAddress:
        """The address that the client connects to."""
        return ServerAddress.parse(self.place.server)


class Logins:
    """Chooses servers, reserves sessions and ends them.

    :param new_owner: makes an unguessable token
    :param policy: what a login does with the user's sessions on other devices; by default accounts with a password have
        many devices, and a guest's login is refused
    """

    _log = Logger()

    def __init__(
        self,
        *,
        accounts: KnownAccounts,
        sessions: ISessions,
        presence: Presence,
        whereabouts: Whereabouts,
        directory: Directory,
        calls: LinkCalls,
        recorder: SessionRecorder,
        upstream: UpstreamServers,
        selection: IServerSelection,
        new_owner: Callable[[], str],
        grouping: Grouping,
        pushes: IPushes,
        time: IStoreClock,
        policy: LoginPolicy | None = None,
    ) -> None:
        self._grouping = grouping
        self._pushes = pushes
        self._time = time
        self._policy = policy
        self._accounts = accounts
        self._sessions = sessions
        self._presence = presence
        self._whereabouts = whereabouts
        self._directory = directory
        self._calls = calls
        self._recorder = recorder
        self._upstream = upstream
        self._selection = selection
        self._new_owner = new_owner
        # (place, owner) -> user, code and message.
        self._owed: OrderedDict[tuple[Place, str], tuple[int, str, str]] = OrderedDict()

    async def login(self, user: int, name: str, proof: Awaitable[None] | None = None) -> Admission:
        """Reserve a guest's session.

        :param proof: raises an error unless the account is a guest's; None if that is known
        :raises AccountMismatch: no such account, or it has another name
        :raises RepeatLogin: the user has a live session, and the policy refuses a second one
        :raises NoServerAvailable: no server is alive; nothing is left behind
        """
        # Asked before the proof is waited for, so that the store answers both at once.
        groups = self._grouping.memberships(user)
        if proof is not None:
            await proof
        account = await self._accounts.get(user)
        if account.name != name:
            raise AccountMismatch()
        return await self._admit(account, GUEST, groups=groups)

    async def login_native(self, account: Account, device: str, bounds: Bounds | None = None) -> Admission:
        """Reserve a native session for a device at one of our servers; raises the same errors as `login`.

        :param bounds: of the token that it is opened with
        """
        return await self._admit(account, device, bounds, native=True)

    async def _admit(
        self,
        account: Account,
        device: str,
        bounds: Bounds | None = None,
        *,
        native: bool = False,
        groups: Deferred[Memberships | None] | None = None,
    ) -> Admission:
        user, policy = account.id, self._policy_of(device)
        if policy == LoginPolicy.REJECT:
            await self._refuse_if_online(user, device)
        tried: set[str] = set()
        expected: set[str] = set()
        known: Memberships | None = None
        for _ in range(ATTEMPTS):
            server = await self._pick(user, tried, native)
            # So that the sessions of a token that a back end made are known by it.
            owner = self._new_owner() + (f".{bounds.token}" if bounds is not None and bounds.token else "")
            host = self._directory.linked(server)
            place = host.place if host is not None else Place(server)
            # Read now: the link may be lost while the rest is asked for.
            entrance = host.link.peer if host is not None and host.link is not None else LinkPeer(server, "")
            reserved = await self._sessions.reserve(
                user,
                place,
                owner,
                device=device,
                policy=policy,
                expected=expected,
                seconds=RESERVATION_SECONDS,
                live=host is None,
            )
            if reserved.in_the_way:
                for record in reserved.in_the_way:
                    if await self._is_live(record):
                        raise RepeatLogin()
                    expected.add(record.owner)
                continue
            # Of the others its home knows best; it ends what is left of the same device when it claims the record.
            online = self._presence.of(user)
            if policy == LoginPolicy.REPLACE:
                online = await self._whereabouts.sessions(user)
            if reserved.replaced or online:
                await self._end_replaced(user, device, reserved.replaced, online)
            if host is None:
                return Admission(place, owner)
            if groups is not None:
                # So a guest's groups are known in the turn in which the guest goes live.
                known, groups = await groups, None
            if await self._confirmed(host, account, owner, device, known, bounds):
                return Admission(place, owner, entrance.websocket, entrance.tls_name)
            tried.add(server)
        raise NoServerAvailable()

    def _policy_of(self, device: str) -> LoginPolicy:
        return self._policy or (LoginPolicy.REJECT if device == GUEST else LoginPolicy.MANY)

    async def _refuse_if_online(self, user: int, device: str) -> None:
        for online in await self._whereabouts.sessions(user):
            if online.device == device != GUEST:
                continue
            record = SessionRecord(user, online.host.place, online.owner, True, 0)
            if await self._is_live(record):
                raise RepeatLogin()

    async def _end_replaced(
        self, user: int, device: str, replaced: Iterable[SessionRecord], there: Iterable[Online]
    ) -> None:
        """End the sessions that a login replaced; one that is out of reach ends when its server is linked again."""
        ends = {(record.place, record.owner) for record in replaced}
        for online in there:
            if self._policy_of(device) == LoginPolicy.REPLACE or online.device == device != GUEST:
                ends.add((online.host.place, online.owner))
        telling = [
            Deferred.fromCoroutine(self._end(place, user, owner, "replaced"))
            for place, owner in ends
            if place.incarnation
        ]
        for told in telling:
            await told

    async def _pick(self, user: int, tried: set[str], native: bool) -> str:
        while True:
            found = self._directory.candidates(tried, native=native)
            if not found:
                raise NoServerAvailable()
            server = self._selection.select(found, user).server
            if server in self._directory.ours or await self._upstream.answers(server):
                return server
            self._log.info("upstream's server {server} does not answer and is passed over", server=server)
            tried.add(server)

    async def _confirmed(
        self,
        host: Host,
        account: Account,
        owner: str,
        device: str,
        groups: Memberships | None,
        bounds: Bounds | None,
    ) -> bool:
        """Reserve at the server; return False if another server should be tried."""
        reserve = Reserve(
            user=account.id,
            name=account.name,
            owner=owner,
            seconds=RESERVATION_SECONDS,
            device=device,
            beside=self._policy_of(device) == LoginPolicy.MANY,
            native=device != GUEST,
        )
        if bounds is not None:
            reserve.bounded = True
            reserve.scopes.extend(words_of(bounds.scopes))
            reserve.lasts_ms = max(0, bounds.ends - self._time.now() - MARGIN_MS)
        if groups is not None:
            reserve.grouped = True
            reserve.version, reserve.epoch = groups.version, groups.epoch
            reserve.groups.extend(member.group for member in groups.members)
            reserve.floors.extend(member.floor for member in groups.members)
        began = self._time.now()
        try:
            if host.link is None:
                raise LinkLost()
            outcome = await self._calls.reserve(host.link, reserve)
        except CIMError:
            outcome = None
        if bounds is not None and self._time.now() - began > MARGIN_MS:
            # Nobody can claim it, since nobody learns its owner.
            outcome = None
        if outcome is not None and not outcome.code:
            if host.load is not None:
                host.load += 1  # until the server says how many it has
            return True
        self._recorder.release(account.id, host.place, owner)
        if outcome is not None and outcome.code == "live":
            raise RepeatLogin()
        return False

    async def _is_live(self, record: SessionRecord) -> bool:
        """Ask the server, or failing that the store, whether the session of a live record is still alive."""
        place = record.place
        if not place.incarnation:
            return place.server in self._directory.upstream
        host = self._presence.hosts.get(place.server)
        if host is not None and host.link is not None:
            if host.place != place:
                return False
            try:
                outcome = await self._calls.probe(host.link, record.user, record.owner)
            except Unavailable:
                pass
            else:
                return outcome.sessions > 0
        return await self._sessions.leased(place)

    async def log_out(self, user: int) -> None:
        """End a user's session and reservation, wherever they are, and return once the server has confirmed.

        A repeated logout that arrives after a new login is ignored (docs/architecture.md, Logins).

        :raises LinkLost: a server could not be reached; the session may still be alive
        """
        try:
            records = await self._sessions.end(user)
        except RepeatedEnd:
            return
        ends = {(online.host.place, online.owner) for online in await self._whereabouts.sessions(user)}
        ends.update((record.place, record.owner) for record in records)
        await self._end_all(user, ends)

    async def end_sessions(
        self, user: int, device: str | None = None, *, kept: str = "", code: str = "logged-out", message: str = ""
    ) -> int:
        """End the sessions and reservations of a user, or of one device, for good; return how many there were.

        Nor is it notified of messages any more.

        :param kept: the owner token of a login whose session goes on
        :param code: what native clients are told
        :param message: what their users are told
        :raises LinkLost: a server could not be reached; its session may be alive until it is linked again, but no
            ticket opens one
        """
        sessions = await self._whereabouts.sessions(user)
        ends = {
            (online.host.place, online.owner)
            for online in sessions
            if device in (None, online.device) and online.owner != kept
        }
        known = [owner for _, owner in ends]
        for record in await self._sessions.expel(user, device=device, kept=kept, known=known):
            ends.add((record.place, record.owner))
        if device != GUEST:
            stays = next((one.device for one in sessions if kept and one.owner == kept), "")
            await self._pushes.unregister_device(user, device, stays)
        await self._end_all(user, ends, code, message)
        return len(ends)

    async def end_issued(self, user: int, token: str) -> int:
        """End the sessions that were opened with a token that a back end made, or with what was issued from it.

        Nor is anybody notified any more who registered with it.

        :raises LinkLost: as `end_sessions`
        """
        await self._pushes.unregister_token(user, token)
        owners = {online.owner: online.device for online in await self._whereabouts.sessions(user)}
        owners.update((record.owner, record.device) for record in await self._sessions.sessions(user))
        devices = {device for owner, device in owners.items() if owner.endswith(f".{token}")}
        return sum([await self.end_sessions(user, device) for device in sorted(devices)])

    async def _end_all(
        self, user: int, ends: set[tuple[Place, str]], code: str = "logged-out", message: str = ""
    ) -> None:
        telling = [
            Deferred.fromCoroutine(self._end(place, user, owner, code, message))
            for place, owner in ends
            if place.incarnation
        ]
        if not all([await told for told in telling]):
            raise LinkLost()

    async def _end(self, place: Place, user: int, owner: str, code: str, message: str = "") -> bool:
        """End one login at its server; return True if it is certainly over, and otherwise end it later, too."""
        host = self._presence.hosts.get(place.server)
        try:
            if host is None or host.place != place or host.link is None:
                over = not await self._sessions.leased(place)
            else:
                await self._calls.end(host.link, user, owner, code, message)
                over = True
        except CIMError:
            over = False
        if not over:
            self._owed[place, owner] = user, code, message
            if len(self._owed) > MAX_OWED:
                self._owed.popitem(last=False)
        return over

    def end_owed(self) -> None:
        """End what could not be ended before at servers that are linked again."""
        for place, owner in list(self._owed):
            host = self._presence.hosts.get(place.server)
            if host is not None and host.link is not None:
                user, code, message = self._owed.pop((place, owner))
                if host.place == place:
                    host.link.send(Item(end=End(user=user, owner=owner, code=code, message=message)))
