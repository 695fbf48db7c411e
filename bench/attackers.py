"""Who means harm: each takes as much of one thing as it gets, for as long as it runs.

They know the protocol well and have accounts of their own where those help. What is refused they ask again at once.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from bench.guests import Guest, Refused
from bench.guests import call as call_upstream
from bench.http import HTTPError, HTTPPool
from bench.native import PING_FRAME, Address, Place, call, hello_frame, log_in, make_account, packet_frame, send_frame
from cim.wire import conversations
from cim.wire.cim_pb2 import Sync, Typing, Watch
from cim.wire.guests import Generation, encode_login, encode_ping

PASSWORD = "a password for attackers"
#: Connections of one flood, and calls at a time.
CONNECTIONS = 8
#: Connections that one attack keeps open and silent.
SILENT = 3000
#: So much is written at a time, about.
CHUNK = 16_384
#: Before a lost connection is made again, or a failed call, seconds: as fast as it goes would harm the attacker alone.
AGAIN = 0.05


class World:
    """What attackers know, and the accounts that they share.

    :param urls: of the routes
    :param bind: the address that they come from; empty for any
    :param link: host and port at which a route takes links; None if that is unknown
    :param victims: names of accounts of others
    :ivar counts: what was done, and how it was answered
    """

    def __init__(
        self,
        reactor: Any,
        urls: Sequence[str],
        *,
        bind: str = "",
        link: tuple[str, int] | None = None,
        victims: Sequence[str] = (),
    ) -> None:
        self.reactor = reactor
        self.urls = urls
        self.bind = (bind, 0) if bind else None
        self.link = link
        self.victims = victims
        self.pool = self.pools(CONNECTIONS)
        self.name = f"attacker-{random.SystemRandom().getrandbits(40):010x}"
        self.number = itertools.count(1)
        self.places: list[Place] = []
        self.guests: list[Guest] = []
        self.counts: Counter[str] = Counter()

    def pools(self, size: int) -> HTTPPool:
        """Return connections to a route of one's own."""
        return HTTPPool(self.reactor, random.choice(self.urls), size, bind=self.bind)

    def new_name(self) -> str:
        """Return a name that nobody has."""
        return f"{self.name}-{next(self.number)}"

    async def gather(self) -> None:
        """Make accounts with passwords, and guests."""
        for _ in range(CONNECTIONS):
            name = self.new_name()
            await make_account(self.pool, name, PASSWORD)
            self.places.append(await log_in(self.pool, name, "first", password=PASSWORD))
            self.guests.append(await Guest.register(self.pool, self.new_name()))

    async def connect(self, host: str, port: int, protocol: Protocol) -> None:
        """Connect from where attackers are."""
        endpoint = TCP4ClientEndpoint(self.reactor, host, port, timeout=10, bindAddress=self.bind)
        await connectProtocol(endpoint, protocol)

    async def pause(self, seconds: float = AGAIN) -> None:
        """Let time pass."""
        await deferLater(self.reactor, seconds, lambda: None)


@implementer(IPushProducer)
class Spout(Protocol):
    """Writes first what lets it in, and once something is answered as much as the other end reads.

    :param more: returns what to write next
    """

    def __init__(self, first: bytes, more: Callable[[], bytes]) -> None:
        self._first = first
        self._more = more
        self._open = False
        self._paused = True
        self._ended = False
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(self._first)

    def dataReceived(self, data: bytes) -> None:
        if not self._open:
            self._open = True
            transport: Any = self.transport
            transport.registerProducer(self, True)
            self.resumeProducing()

    def resumeProducing(self) -> None:
        """Write until the transport has enough."""
        self._paused = False
        transport: Any = self.transport
        while not self._paused and not self._ended:
            transport.write(self._more())

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """Write no more."""
        self._paused = self._ended = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = self._paused = True
        self.lost.callback(None)


class _Silent(Protocol):
    """A connection that says something that is not all, and then nothing."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._said)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Attack:
    """One kind of attack.

    :cvar width: how many do it at a time
    :ivar busy: whether it goes on
    """

    width = CONNECTIONS

    def __init__(self, world: World) -> None:
        self.world = world
        self.busy = True
        self._lines: list[Deferred[None]] = []

    def start(self) -> None:
        """Begin."""
        for number in range(self.width):
            line = Deferred.fromCoroutine(self._go_on(number))
            self._lines.append(line)

    def stop(self) -> None:
        """End; what is under way ends by itself, or is cut."""
        self.busy = False
        for line in self._lines:
            line.addErrback(lambda _: None)
            line.cancel()

    async def _go_on(self, number: int) -> None:
        while self.busy:
            try:
                await self.once(number)
            except HTTPError as error:
                self.count(f"status {error.status}" if error.status else "no answer")
            except Refused as error:
                self.count(str(error))
            except Exception as error:
                self.count(type(error).__name__)
            await self.world.pause(AGAIN)

    def count(self, what: str) -> None:
        """Count something."""
        self.world.counts[f"{type(self).__name__}: {what}"] += 1

    async def hold(self, protocol: Spout | _Silent, host: str, port: int) -> None:
        """Connect, and go on until the other end has had enough."""
        try:
            await self.world.connect(host, port, protocol)
            self.count("connections")
            await protocol.lost
        finally:
            if protocol.transport is not None:
                protocol.transport.abortConnection()  # type: ignore[attr-defined]  # of TCP

    async def once(self, number: int) -> None:
        """Do it once, or for as long as the other end bears it.

        :param number: which of the many that do it this is
        """
        raise NotImplementedError


class Flood(Attack):
    """Frames of one kind over native connections, as fast as they are read."""

    async def once(self, number: int) -> None:
        """See Attack."""
        world = self.world
        own = world.places[number]
        device = f"{type(self).__name__}-{number}"
        place = Place.of(await call(world.pool, b"POST", "/v1/sessions", {"device": device}, own.token))
        spout = Spout(hello_frame(place.ticket, device), self.frames(number))
        await self.hold(spout, place.host, place.port)

    def frames(self, number: int) -> Callable[[], bytes]:
        """Return what makes the next frames of a connection."""
        chunk = self.frame(number)
        chunk *= max(1, CHUNK // len(chunk))
        return lambda: chunk

    def frame(self, number: int) -> bytes:
        """Return one frame."""
        raise NotImplementedError

    def partner(self, number: int) -> int:
        """Return another attacker."""
        return self.world.places[number ^ 1].user


class Pings(Flood):
    """Native pings."""

    def frame(self, number: int) -> bytes:
        """See Flood."""
        return PING_FRAME


class Watches(Flood):
    """A Watch of 200 users, again and again."""

    def frame(self, number: int) -> bytes:
        """See Flood."""
        first = self.world.places[0].user
        return packet_frame(watch=Watch(users=range(first, first + 200)))


class Syncs(Flood):
    """Pages of a conversation."""

    def frame(self, number: int) -> bytes:
        """See Flood."""
        own = self.world.places[number].user
        return packet_frame(sync=Sync(conversation=conversations.private(own, self.partner(number)), limit=500))


class Typings(Flood):
    """Typing notes."""

    def frame(self, number: int) -> bytes:
        """See Flood."""
        return packet_frame(typing=Typing(user=self.partner(number)))


class Sends(Flood):
    """Messages of a letter."""

    text = b"x"

    def frames(self, number: int) -> Callable[[], bytes]:
        """See Flood."""
        to = Address.user(self.partner(number))
        ids = itertools.count(random.getrandbits(40))
        count = max(1, CHUNK // (len(self.text) + 40))
        return lambda: b"".join(send_frame(to, b"%d" % next(ids), self.text) for _ in range(count))


class BigTexts(Sends):
    """Messages as large as they may be."""

    text = b"x" * 48_000


class GuestPings(Attack):
    """Guests' pings."""

    async def once(self, number: int) -> None:
        """See Attack."""
        world = self.world
        guest = world.guests[number]
        body = json.dumps({"userId": guest.id, "userName": guest.name}).encode()
        place = await call_upstream(world.pool, b"/login", body)
        ping = encode_ping(Generation.W2, guest.id)
        chunk = ping * (CHUNK // len(ping))
        spout = Spout(encode_login(Generation.W2, guest.id, guest.name) + ping, lambda: chunk)
        await self.hold(spout, place["ip"], int(place["cimServerPort"]))


class Calls(Attack):
    """Calls by HTTP, each as soon as the one before it is answered."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.pool = world.pools(self.width)

    def stop(self) -> None:
        """See Attack."""
        super().stop()
        self.pool.close()

    async def _go_on(self, number: int) -> None:
        while self.busy:
            try:
                await self.once(number)
                self.count("answered")
            except HTTPError as error:
                self.count(f"status {error.status}" if error.status else "no answer")
                if not error.status:
                    await self.world.pause()
            except Refused as error:
                self.count(str(error))


class Batches(Calls):
    """A hundred messages in each call."""

    async def once(self, number: int) -> None:
        """See Attack."""
        sender, receiver = self.world.guests[number], self.world.guests[number ^ 1]
        body = {"userId": sender.id, "receiveUserId": receiver.id, "batchMsg": ["flood"] * 100}
        await call_upstream(self.pool, b"/p2pRoute", json.dumps(body).encode())


class Registrations(Calls):
    """New accounts, of both kinds, with forged headers."""

    async def once(self, number: int) -> None:
        """See Attack."""
        forged = f"X-Forwarded-For: 198.51.{random.randrange(256)}.{random.randrange(256)}\r\n"
        name = self.world.new_name()
        if number % 2:
            body = json.dumps({"name": name, "password": PASSWORD}).encode()
            await self.pool.call(b"POST", b"/v1/accounts", body, headers=forged)
        else:
            await self.pool.call(b"POST", b"/registerAccount", json.dumps({"userName": name}).encode(), headers=forged)


class WrongPasswords(Calls):
    """Guessed passwords, of others and of nobody."""

    async def once(self, number: int) -> None:
        """See Attack."""
        name = random.choice([*self.world.victims, self.world.new_name()])
        body = {"name": name, "password": f"guess {random.getrandbits(32)}"}
        await call(self.pool, b"POST", "/v1/sessions", body)


class OnlineLists(Calls):
    """Lists of everybody who is online."""

    async def once(self, number: int) -> None:
        """See Attack."""
        await call_upstream(self.pool, b"/onlineUser", b"{}")


class JoinsAndLeaves(Calls):
    """Open groups, joined and left again and again, and made anew."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._groups: dict[int, int] = {}

    async def once(self, number: int) -> None:
        """See Attack."""
        place = self.world.places[number]
        if number not in self._groups or random.random() < 0.1:
            made = await call(self.pool, b"POST", "/v1/groups", {"name": "storm", "open": True}, place.token)
            self._groups[number] = int(made["id"])
        # A group whose only member leaves is gone.
        others = [group for owner, group in self._groups.items() if owner != number]
        if not others:
            await self.world.pause()
            return
        group = random.choice(others)
        path = f"/v1/groups/{group}/members/{place.user}"
        await call(self.pool, b"PUT", path, {}, place.token)
        await call(self.pool, b"DELETE", path, None, place.token)


class Pages(Calls):
    """Pages of conversations and lists, by a user's token."""

    async def once(self, number: int) -> None:
        """See Attack."""
        place = self.world.places[number]
        path = random.choice(("/v1/conversations", "/v1/online?limit=100", "/v1/groups", "/v1/sessions"))
        await call(self.pool, b"GET", path, None, place.token)


class Silences(Attack):
    """Connections that are opened, and opened again whenever they are closed, without ever proving anything."""

    width = SILENT
    said = b""

    def place(self) -> tuple[str, int]:
        """Return host and port."""
        raise NotImplementedError

    async def once(self, number: int) -> None:
        """See Attack."""
        # As a network lets them: this machine alone would make 20,000 a second.
        await self.world.pause(2.0 * random.random())
        silent = _Silent(self.said)
        await self.hold(silent, *self.place())


class HalfRequests(Silences):
    """Half of an HTTP request."""

    said = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"

    def place(self) -> tuple[str, int]:
        """See Silences."""
        host, _, port = random.choice(self.world.urls).removeprefix("http://").partition(":")
        return host, int(port)


class NoLogins(Silences):
    """Connections to a server that never log in."""

    said = b"\x0a"

    def place(self) -> tuple[str, int]:
        """See Silences."""
        place = random.choice(self.world.places)
        return place.host, place.port


class NoLinks(Silences):
    """Links that never prove anything."""

    width = 200

    def place(self) -> tuple[str, int]:
        """See Silences."""
        assert self.world.link is not None
        return self.world.link


#: Floods of connections that have logged in, or of guests' calls; their names as commands have them.
FLOODS: Mapping[str, type[Attack]] = {
    "pings": Pings,
    "watches": Watches,
    "syncs": Syncs,
    "typing": Typings,
    "sends": Sends,
    "guest-pings": GuestPings,
    "batches": Batches,
}
#: All attacks.
ATTACKS: Mapping[str, type[Attack]] = {
    **FLOODS,
    "big-texts": BigTexts,
    "registrations": Registrations,
    "passwords": WrongPasswords,
    "online": OnlineLists,
    "joins": JoinsAndLeaves,
    "pages": Pages,
    "half-requests": HalfRequests,
    "no-logins": NoLogins,
    "no-links": NoLinks,
}
