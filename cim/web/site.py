"""An HTTP listener with bounds on time, headers, bodies and connections, which can be drained."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any

from attrs import frozen

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ISystemHandle, ITCPTransport
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import Resource

from cim.daemon.lifecycle import within
from cim.daemon.metrics import Metrics
from cim.errors import BadRequest
from cim.limits import NO_LIMIT, Buckets, Limit, Waiting
from cim.web.held_bytes import HeldBytes
from cim.web.hosts import Hosts

MAX_BODY = 256 * 1024
#: The reason phrases of statuses; twisted.web does not have all of them.
_REASONS = {**{status.value: status.phrase.encode() for status in HTTPStatus}, **http.RESPONSES}
#: How many bytes of an oversized body are read and discarded, so that its sender gets to read our answer.
_MAX_DISCARDED = 8 * 1024 * 1024
JSON = b"application/json"
#: How long nothing is read of a connection after a limit has refused a call on it.
HELD_SECONDS = 1.0
#: How long a client may read nothing of what waits for it, seconds.
UNREAD_SECONDS = 15.0
#: How many bytes of an answer are handed to the transport at a time, and how many it may hold.
_PIECE = 64 * 1024
_BUFFERED = 2 * _PIECE


def respond(request: Any, status: int, body: bytes, content_type: bytes = JSON) -> None:
    """Answer a request; do nothing if the client has gone."""
    if isinstance(request, BoundedRequest):
        request.answer(status, body, content_type)
        return
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    try:
        request.write(body)
        request.finish()
    except RuntimeError:
        pass  # twisted.web's way of saying that the connection was lost


def is_awaited(request: Any) -> bool:
    """Return whether the client of a request is still connected, as far as is known."""
    return not request._disconnected  # Twisted has no public name for it


def _hold_little(transport: Any) -> None:
    """Have the system take no more of an answer than _BUFFERED beyond what is on its way; else it takes megabytes.

    So a client that reads nothing is known, and costs as much as is counted.
    """
    while hasattr(transport, "transport"):
        # TLS's wrapper of the connection proper, or that of a PROXY header.
        transport = transport.transport
    if ITCPTransport.providedBy(transport) and ISystemHandle.providedBy(transport):
        with suppress(AttributeError, OSError):  # not every system has it
            handle: Any = transport.getHandle()
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _BUFFERED)


class PathResource(Resource):
    """The resource of a site, which answers by `request.path` only, and always through `respond`."""

    isLeaf = True

    def refuse(self, request: Any, path: bytes, error: BadRequest) -> None:
        """Answer a request that the site itself refuses, maybe before all of it has arrived.

        :param path: the `request.path` that the complete request would have
        """
        raise NotImplementedError


class BoundedRequest(server.Request):
    """A request whose body never takes more memory than the site's bound.

    A body that is too large is answered 413, at its end if that is near or else at once, and the connection closes.
    """

    channel: Any  # a BoundedChannel
    content: Any
    defaultContentType = None
    _too_large = False
    _discarded = 0
    _length: int | None = None

    def gotLength(self, length: int | None) -> None:
        """Called when the headers are in; `length` is None for a chunked body."""
        # Not left to twisted.web, which would use a file on disk for every chunked body.
        self.content = BytesIO()
        self._length = length
        if length is not None and length > self.channel.site.max_body:
            self._too_large = True
            # A client that expects 100-continue is answered before it sends; otherwise discard the body on its way.
            if length > _MAX_DISCARDED or self.requestHeaders.hasHeader(b"Expect"):
                self.requestHeaders.removeHeader(b"Expect")
                self._refuse_at_once()

    def handleContentChunk(self, data: bytes) -> None:
        """Called with each piece of the body."""
        if not self._too_large and self.content.tell() + len(data) > self.channel.site.max_body:
            self._too_large = True
            self.content = BytesIO()
        if not self._too_large:
            self.content.write(data)
            received = self.content.tell()
            if received != self._length:
                self.channel.site.holds(self.channel, received)
        elif not self.finished:
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED:
                self._refuse_at_once()

    def _refuse_at_once(self) -> None:
        channel = self.channel
        self._refuse()
        channel.stop_reading()

    def _refuse(self) -> None:
        site = self.channel.site
        self.setHeader(b"Connection", b"close")
        self.channel.persistent = 0
        if site.metrics is not None:
            site.metrics.refused("http-body-too-large")
        error = BadRequest(413, f"invalid argument: the body must have at most {site.max_body} bytes")
        # A private name of Twisted: if it changes, only the form of this answer does.
        path: bytes = getattr(self.channel, "_path", None) or self.path or b""
        site.resource.refuse(self, path.partition(b"?")[0], error)

    def process(self) -> None:
        """Called when the request is complete."""
        site = self.site = self.channel.site
        if self._too_large:
            self._refuse()
            return
        objection = site.hosts.objection(self) if site.hosts is not None else ""
        if objection:
            if site.metrics is not None:
                site.metrics.refused("http-host")
            site.resource.refuse(self, self.path, BadRequest(HTTPStatus.MISDIRECTED_REQUEST, objection))
        else:
            site.resource.render(self)

    def answer(self, status: int, body: bytes, content_type: bytes) -> None:
        """Write the whole response at once and finish; do nothing if the client has gone.

        It does the same as `write` and `finish`, in a quarter of the time.
        """
        channel = self.channel
        if channel is None:
            return
        self.code = status
        lines = [
            b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"Unknown")),
            b"Server: CIM",
            b"Date: " + channel.site.date(),
        ]
        if status != 204:  # which has neither header (RFC 9110, section 8.6)
            lines += (b"Content-Type: " + content_type, b"Content-Length: %d" % len(body))
        lines.extend(
            b"%b: %b" % (name, value) for name, values in self.responseHeaders.getAllRawHeaders() for value in values
        )
        lines.append(b"\r\n" if self.method == b"HEAD" else b"\r\n" + body)
        self.startedWriting = 1
        data = b"\r\n".join(lines)
        if len(data) > _PIECE:
            channel.write_in_pieces(self, data)
        else:
            channel.transport.write(data)
            self.finish()


class BoundedChannel(http.HTTPChannel):
    """A connection whose requests must each arrive within the site's time limit from their first byte.

    :ivar address: of the client as it is counted; empty if it is not
    :ivar whose: the user who has proved to be its client, empty for none
    :ivar trusted: whether its client has shown a key
    :ivar since: when the first byte of the present request arrived, or else when the connection became idle; None
        while a request is being answered
    """

    maxHeaders = 64
    site: BoundedSite
    transport: Any
    address = ""
    whose = ""
    trusted = False
    since: float | None = None
    _idle_so_far = True
    _receiving = False
    _held = False
    _due: IDelayedCall | None = None
    _rest: bytes | None = None
    _answer = b""  # a long one, and how much of it was written
    _written = 0
    _stalled_since: float | None = None
    _deaf = False
    _closing = False

    def connectionMade(self) -> None:
        """Called by the transport; closes a connection beyond the site's bound at once."""
        super().connectionMade()
        self._peer, self._host = super().getPeer(), super().getHost()
        _hold_little(self.transport)
        self.since = self.site.reactor.seconds()
        if not self.site.opened(self):
            self.give_way()

    def getPeer(self) -> Any:
        """The client's address."""
        return self._peer

    def getHost(self) -> Any:
        """Our address."""
        return self._host

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport. Only the first byte of a request starts the clock: sending slowly does not help."""
        if self._deaf:
            return
        if not self._receiving:
            self._receiving = True
            self.since = self.site.reactor.seconds()
            self.site.waits(self)
        LineReceiver.dataReceived(self, data)

    def rawDataReceived(self, data: bytes) -> None:
        """Called with the bytes that follow a request's headers, and with those that wait."""
        if self._rest is not None:
            self._rest += data
        elif not self._deaf:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        """Called when a request's body is complete."""
        if not self._deaf:
            self.since = None
            self.site.answers(self)
            self.site.lets_go(self)
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Called for a header line that is too long."""
        self._count_malformed()
        return super().lineLengthExceeded(line)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # A private name of Twisted: if it changes, only the count is lost.
        self._count_malformed()
        super()._respondToBadRequestAndDisconnect()

    def _count_malformed(self) -> None:
        if self.site.metrics is not None:
            self.site.metrics.refused("http-malformed")

    def stop_reading(self) -> None:
        """Read nothing more from the client: the connection is closing."""
        self._deaf = True

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Return whether the connection stays open after this request."""
        persistent: bool = super().checkPersistence(request, version)
        if persistent and self.site.draining:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return persistent

    def requestDone(self, request: Any) -> None:
        """Called when a request was answered."""
        self._receiving = False
        self.since = self.site.reactor.seconds()
        if self._idle_so_far:
            self._idle_so_far = False
            self.site.used(self.address)
        self.site.waits(self)
        super().requestDone(request)
        # What LineReceiver has not looked at yet is more requests.
        if self.persistent and self._rest is None and (self._held or self._buffer):
            self._wait(HELD_SECONDS if self._held else 0.0)

    def hold(self) -> None:
        """Read nothing more for a second after this answer, unless the connection is that of a trusted proxy.

        Whoever asks again at once what a limit has just refused costs no more than that.
        """
        self._held = bool(self.address)

    def _wait(self, seconds: float) -> None:
        """Serve the next request later, so that others have their turn: they may be many in what was read at once."""
        self._held = False
        self._rest = b""
        self._due = self.site.reactor.callLater(seconds, self._go_on)
        self.setRawMode()
        self.transport.pauseProducing()

    def _go_on(self) -> None:
        self._due = None
        # A private name of Twisted: without it we would serve clients who do not read our answers.
        if self._rest is not None and not self._waitingForTransport:
            rest, self._rest = self._rest, None
            self.transport.resumeProducing()
            self.setLineMode(rest)

    def write_in_pieces(self, request: BoundedRequest, data: bytes) -> None:
        """Write a long answer as fast as its client reads it, and finish the request then."""
        self._answer, self._written = data, 0
        self.since = self.site.reactor.seconds()
        self.site.waits(self)
        self._write_on(request)

    def _write_on(self, request: BoundedRequest) -> None:
        while self._written < len(self._answer) and not self._waitingForTransport:
            self.transport.write(self._answer[self._written : self._written + _PIECE])
            self._written += _PIECE
        if self._written >= len(self._answer):
            self._answer = b""
            if self._waitingForTransport:
                self.site.holds(self, _BUFFERED)
            request.finish()

    def pauseProducing(self) -> None:
        """Called by the transport when its client does not read as fast as we write."""
        super().pauseProducing()
        self._stalled_since = self.site.reactor.seconds()
        self.site.holds(self, _BUFFERED + len(self._answer))

    def resumeProducing(self) -> None:
        """Called by the transport when all that was written is on its way."""
        super().resumeProducing()
        self._stalled_since = None
        self.site.lets_go(self)
        if self._answer:
            self.since = self.site.reactor.seconds()
            self._write_on(self.requests[0])
        elif self._rest is not None:
            self.transport.pauseProducing()
            if self._due is None:
                self._go_on()

    def is_unread(self, seconds: float) -> bool:
        """Return whether its client has read nothing for so long of what waits for it."""
        return self._stalled_since is not None and self.site.reactor.seconds() - self._stalled_since >= seconds

    def give_way(self) -> None:
        """Close at once: there are too many connections, or bytes that wait for them."""
        self._deaf = True
        self._answer = b""
        self.transport.abortConnection()

    def end_silent(self) -> None:
        """Close after too long a silence, within a request or between two."""
        if self._closing:
            self.transport.abortConnection()
        else:
            self._closing = True
            self.loseConnection()

    def drain(self) -> None:
        """Close now if no request is being answered, else after the answer."""
        if self.requests:
            self.persistent = 0
            if not self.requests[0].startedWriting:
                self.requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # twisted.web leaves out the default
        """Called by the transport."""
        self.site.closed(self)
        self._answer = b""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        super().connectionLost(reason)


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
    """A site without an access log, with bounds on connections and bodies, that can be drained.

    :ivar draining: whether connections close after their present request
    """

    noisy = False
    protocol = BoundedChannel  # type: ignore[assignment]  # no HTTP/2: that is for a proxy in front
    requestFactory = BoundedRequest
    resource: PathResource
    _sweep: IDelayedCall | None = None
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
        # Those that wait for their clients: by address, by user, and those whose clients have shown a key.
        self._by_address: Waiting[BoundedChannel] = Waiting(most_of_one=bounds.address_connections)
        self._by_user: Waiting[BoundedChannel] = Waiting(most_of_one=bounds.user_connections)
        self._trusted: Waiting[BoundedChannel] = Waiting()
        self._held: HeldBytes[BoundedChannel] = HeldBytes(bounds.bytes_of_one, bounds.bytes)
        self._drained: list[Deferred[None]] = []

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
            if self.metrics is not None:
                self.metrics.refused("limit-address-http-connects")
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
                self._count_refused("http-connections")
                return False
            self._end(oldest, "http-connections")
        self._channels.add(channel)
        self.waits(channel)
        if self._sweep is None:
            self._sweep = self.reactor.callLater(self._idle_seconds / 12, self._end_silent)
        return True

    def _count_refused(self, kind: str) -> None:
        if self.metrics is not None:
            self.metrics.refused(kind)

    def _end(self, channel: BoundedChannel | None, kind: str) -> None:
        if channel is not None:
            self._count_refused(kind)
            self.closed(channel)
            channel.give_way()

    def _end_silent(self) -> None:
        self._sweep = None
        oldest = self.reactor.seconds() - self._idle_seconds
        for channel in list(self._channels):
            if channel.is_unread(UNREAD_SECONDS):
                self._end(channel, "http-unread")
            elif channel.since is not None and channel.since <= oldest:
                channel.end_silent()
        if self._channels:
            self._sweep = self.reactor.callLater(self._idle_seconds / 12, self._end_silent)

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
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
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


def http_site(
    resource: PathResource,
    reactor: IReactorTime,
    metrics: Metrics | None = None,
    *,
    hosts: Hosts | None = None,
    max_body: int = MAX_BODY,
    bounds: Bounds = NO_BOUNDS,
    address_of: Callable[[Any], str] = lambda peer: "",
) -> BoundedSite:
    """Return a site for `resource` with bounds: 60 s idle, 64 headers in 16 KiB, 4096 connections.

    :param hosts: the names that it answers to; None for any
    :param address_of: returns the address of a peer as it is counted; empty if it is not
    """
    return BoundedSite(
        resource,
        reactor,
        metrics,
        hosts=hosts,
        max_body=max_body,
        bounds=bounds,
        address_of=address_of,
    )


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
