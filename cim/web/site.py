"""An HTTP listener with bounds on connections, and on what is held for them, which can be drained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web import http, server

from cim.daemon.lifecycle import within
from cim.daemon.metrics import Metrics
from cim.limits import NO_LIMIT, Buckets, Limit, Waiting
from cim.supervision import Loop
from cim.web.channel import BoundedChannel
from cim.web.held_bytes import HeldBytes
from cim.web.hosts import Hosts
from cim.web.request import BoundedRequest, PathResource

MAX_BODY = 256 * 1024
#: How long a client may read nothing of what waits for it, seconds.
UNREAD_SECONDS = 15.0


@frozen
class Bounds:
    """How much one party may have of a site (docs/limits.md, Connections); 0 and NO_LIMIT are no bound.

    :param connects: how many connections of one address may end without an answered request
    :param address_connections: how many connections of one address may wait for their clients
    :param user_connections: how many of one user
    :param bytes_of_one: how many bytes of unfinished requests, and of answers that wait to be read, may be held for one
        user, or one address without proof
    :param bytes: how many together
    """

    connects: Limit = NO_LIMIT
    address_connections: int = 0
    user_connections: int = 0
    bytes_of_one: int = 0
    bytes: int = 0


NO_BOUNDS = Bounds()


class BoundedSite(server.Site):
    """A site without an access log, with bounds: 64 headers in 16 KiB a request, and those of its arguments.

    :param hosts: the names that it answers to; None for any
    :param address_of: returns the address of a peer as it is counted; empty if it is not
    :param proxied: returns whether a connection is a proxy's that is believed how its clients reach it
    :ivar draining: whether connections close after their present request
    """

    _log = Logger()
    noisy = False
    protocol = BoundedChannel  # type: ignore[assignment]  # no HTTP/2: that is for a proxy in front
    requestFactory = BoundedRequest
    resource: PathResource
    _date = (-1, b"")

    def __init__(
        self,
        resource: PathResource,
        reactor: IReactorTime,
        metrics: Metrics | None = None,
        *,
        hosts: Hosts | None = None,
        max_body: int = MAX_BODY,
        max_connections: int = 4096,
        bounds: Bounds = NO_BOUNDS,
        address_of: Callable[[Any], str] = lambda peer: "",
        proxied: Callable[[Any], bool] = lambda transport: False,
        idle_seconds: float = 60.0,
    ) -> None:
        # One periodic sweep instead of a timer per connection.
        super().__init__(resource, timeout=None, reactor=reactor, parsePOSTFormSubmission=False)
        self.metrics = metrics
        self.hosts = hosts
        self._idle_seconds = idle_seconds
        self.max_body = max_body
        self.draining = False
        self._max_connections = max_connections
        self._channels: set[BoundedChannel] = set()
        self._connects = Buckets(bounds.connects)
        self.address_of = address_of
        self.proxied = proxied
        # Those that wait for their clients: by address, by user, and those whose clients have shown a key.
        self._by_address: Waiting[BoundedChannel] = Waiting(most_of_one=bounds.address_connections)
        self._by_user: Waiting[BoundedChannel] = Waiting(most_of_one=bounds.user_connections)
        self._trusted: Waiting[BoundedChannel] = Waiting()
        self._held: HeldBytes[BoundedChannel] = HeldBytes(bounds.bytes_of_one, bounds.bytes)
        self._drained: list[Deferred[None]] = []
        self._sweep = Loop("looking for silent HTTP connections", self._end_silent, reactor, every=idle_seconds / 12)

    def log(self, request: Any) -> None:
        """Do nothing: requests are counted, not logged."""

    def startFactory(self) -> None:
        """Do nothing: there is no access log to open, and no clock to run for it."""

    def stopFactory(self) -> None:
        """Do nothing: there is no access log to close."""

    def buildProtocol(self, addr: Any) -> Any:
        """Return a connection's protocol, or None to close it at once because its address has had too many."""
        address = self.address_of(addr)
        if address and not self._connects.take(address, self.reactor.seconds(), 1):
            self.refused("limit-address-http-connects")
            return None
        channel = super().buildProtocol(addr)
        channel.address = address
        return channel

    def used(self, address: str) -> None:
        """Note that a request was answered on a connection, so that it did not come to nothing."""
        if address:
            self._connects.give_back(address, self.reactor.seconds(), 1)

    def opened(self, channel: BoundedChannel) -> bool:
        """Count a new connection, for which another may have to give way; return False if it is one too many."""
        if len(self._channels) >= self._max_connections:
            oldest = self._by_address.first_to_go() or self._trusted.first_to_go()
            if oldest is None:
                self.refused("http-connections")
                return False
            self._end(oldest, "http-connections")
        self._channels.add(channel)
        self.waits(channel)
        if self._sweep.due is None:
            self._sweep.start(self._idle_seconds / 12)
        return True

    def refused(self, kind: str) -> None:
        """Count what the site refused, by its kind."""
        if self.metrics is not None:
            self.metrics.refused(kind)

    def _end(self, channel: BoundedChannel | None, kind: str) -> None:
        if channel is not None:
            self.refused(kind)
            self.closed(channel)
            channel.give_way()

    def _end_silent(self) -> None:
        oldest = self.reactor.seconds() - self._idle_seconds
        for channel in list(self._channels):
            with self._log.failuresHandled("a silent HTTP connection was not ended"):
                if channel.is_unread(UNREAD_SECONDS):
                    self._end(channel, "http-unread")
                elif channel.since is not None and channel.since <= oldest:
                    channel.end_silent()

    def date(self) -> bytes:
        """Return the value of the Date header."""
        now = int(self.reactor.seconds())
        if self._date[0] != now:
            self._date = (now, http.datetimeToString())
        return self._date[1]

    def waits(self, channel: BoundedChannel) -> None:
        """Note that a connection begins to wait for its client: for a request or the rest, or to read an answer."""
        if channel not in self._channels:
            return
        if channel.trusted:
            self._trusted.put(channel)
            return
        self._end(self._by_address.put(channel, channel.address or channel.whose), "http-connections")
        if channel.whose:
            self._end(self._by_user.put(channel, channel.whose), "http-connections")

    def answers(self, channel: BoundedChannel) -> None:
        """Note that a connection's client waits for an answer."""
        for waiting in (self._by_address, self._by_user, self._trusted):
            waiting.remove(channel)

    def holds(self, channel: BoundedChannel, size: int) -> None:
        """Note that so many bytes are held until a connection's client reads them, or completes its request."""
        if channel not in self._channels:
            return
        party = "" if channel.trusted else channel.whose or channel.address
        self._held.put(channel, party, size)
        while (slow := self._held.excess(party)) is not None:
            self._end(slow, "http-bytes")

    def lets_go(self, channel: BoundedChannel) -> None:
        """Note that nothing is held for a connection."""
        self._held.remove(channel)

    def closed(self, channel: BoundedChannel) -> None:
        """Count a closed connection."""
        self._channels.discard(channel)
        self.answers(channel)
        self.lets_go(channel)
        if not self._channels:
            self._sweep.stop()
            drained, self._drained = self._drained, []
            for d in drained:
                d.callback(None)

    def drain(self) -> Deferred[None]:
        """Close idle connections now and the others after their present request; fires when all are closed."""
        self.draining = True
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        for channel in list(self._channels):
            channel.drain()
        if not self._channels and self._drained:
            self._drained.remove(done)
            done.callback(None)
        return done

    def abort(self) -> None:
        """Close every connection now."""
        for channel in list(self._channels):
            channel.transport.abortConnection()


class HTTPService(Service):
    """A listening service and its site: stopping it closes the port, then drains the site."""

    _log = Logger()

    def __init__(self, listening: IService, site: BoundedSite, reactor: IReactorTime, *, grace: float = 5.0) -> None:
        """
        :param listening: a service as made by strports.service, with `site` as its factory
        :param grace: seconds that running requests get when the service stops
        """
        self._listening = listening
        self.site = site
        self._reactor = reactor
        self._grace = grace

    def privilegedStartService(self) -> None:
        """Listen."""
        self._listening.privilegedStartService()

    def startService(self) -> None:
        """Serve."""
        super().startService()
        self.site.draining = False
        self._listening.startService()

    def stopService(self) -> Deferred[None]:
        """Stop listening; fires when the port is closed and every request is answered, or when the grace is over."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        closing = maybeDeferred(self._listening.stopService)
        await within(closing, self._grace, self._reactor, self._log, "closing the HTTP port")
        if not await within(self.site.drain(), self._grace, self._reactor, self._log, "draining HTTP"):
            self.site.abort()
