"""An HTTP listener with bounds: time, headers, bodies, connections; and a way to drain it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import Resource

from cim.daemon.lifecycle import within
from cim.daemon.metrics import Metrics
from cim.errors import BadRequest

MAX_BODY = 256 * 1024
#: So much of a body that is too large is read and thrown away, so that its sender comes to read our answer.
_MAX_DISCARDED = 8 * 1024 * 1024
JSON = b"application/json"


def respond(request: Any, status: int, body: bytes, content_type: bytes = JSON) -> None:
    """Answer a request; nothing happens when the client has gone."""
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


class PathResource(Resource):
    """What a site serves: it answers by `request.path` alone and always by `respond`."""

    isLeaf = True

    def refuse(self, request: Any, path: bytes, error: BadRequest) -> None:
        """Answer a request that the site itself refuses, maybe before all of it came.

        :param path: as `request.path` is once a request is complete
        """
        raise NotImplementedError


class BoundedRequest(server.Request):
    """A request whose body never takes more memory than the site's bound.

    A body that is too large is answered 413: at its end when that is near, else at once, and the connection closes.
    """

    channel: Any  # a BoundedChannel
    content: Any
    defaultContentType = None
    _too_large = False
    _discarded = 0

    def gotLength(self, length: int | None) -> None:
        """Called when the headers are in; `length` is None for a chunked body."""
        # Never twisted.web's own choice: it takes a file on disk for whatever is chunked.
        self.content = BytesIO()
        if length is not None and length > self.channel.site.max_body:
            self._too_large = True
            # Asking before sending deserves an answer before sending, else discard what is on its way.
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
        # Twisted's own name: should it change, only the form of this answer is another.
        path: bytes = getattr(self.channel, "_path", None) or self.path or b""
        site.resource.refuse(self, path.partition(b"?")[0], error)

    def process(self) -> None:
        """Called when the request is complete."""
        site = self.site = self.channel.site
        if self._too_large:
            self._refuse()
        else:
            site.resource.render(self)

    def answer(self, status: int, body: bytes, content_type: bytes) -> None:
        """Write the whole response at once and finish; nothing happens when the client has gone.

        It is what `write` and `finish` do, in a quarter of the time.
        """
        channel = self.channel
        if channel is None:
            return
        self.code = status
        lines = [
            b"HTTP/1.1 %d %b" % (status, http.RESPONSES.get(status, b"Unknown")),
            b"Server: CIM",
            b"Date: " + channel.site.date(),
        ]
        if status != 204:  # that one has neither (RFC 9110, section 8.6)
            lines += (b"Content-Type: " + content_type, b"Content-Length: %d" % len(body))
        lines.extend(
            b"%b: %b" % (name, value) for name, values in self.responseHeaders.getAllRawHeaders() for value in values
        )
        lines.append(b"\r\n" if self.method == b"HEAD" else b"\r\n" + body)
        self.startedWriting = 1
        channel.transport.write(b"\r\n".join(lines))
        self.finish()


class BoundedChannel(http.HTTPChannel):
    """A connection whose requests must each arrive within the site's time from their first byte.

    :ivar since: when the present request's first byte came, or else when the connection fell idle; None while a
        request is being answered
    """

    maxHeaders = 64
    site: BoundedSite
    transport: Any
    since: float | None = None
    _receiving = False
    _deaf = False
    _closing = False

    def connectionMade(self) -> None:
        """Called by the transport; ends a connection beyond the site's bound at once."""
        super().connectionMade()
        self._peer, self._host = super().getPeer(), super().getHost()
        self.since = self.site.reactor.seconds()
        if not self.site.opened(self):
            self._deaf = True
            self.transport.abortConnection()

    def getPeer(self) -> Any:
        """The client's address."""
        return self._peer

    def getHost(self) -> Any:
        """Our address."""
        return self._host

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport. Only the first byte of a request sets the clock: dripping does not help."""
        if self._deaf:
            return
        if not self._receiving:
            self._receiving = True
            self.since = self.site.reactor.seconds()
        LineReceiver.dataReceived(self, data)

    def rawDataReceived(self, data: bytes) -> None:
        """Called with what follows a request's headers."""
        if not self._deaf:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        """Called when a request's body is complete."""
        if not self._deaf:
            self.since = None
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Called for a line without end."""
        self._count_malformed()
        return super().lineLengthExceeded(line)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's own name: should it change, only the count is lost.
        self._count_malformed()
        super()._respondToBadRequestAndDisconnect()

    def _count_malformed(self) -> None:
        if self.site.metrics is not None:
            self.site.metrics.refused("http-malformed")

    def stop_reading(self) -> None:
        """Take nothing more from the client; it is on its way out."""
        self._deaf = True

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection stays open after this request."""
        persistent: bool = super().checkPersistence(request, version)
        if persistent and self.site.draining:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return persistent

    def requestDone(self, request: Any) -> None:
        """Called when a request was answered."""
        self._receiving = False
        self.since = self.site.reactor.seconds()
        super().requestDone(request)

    def end_silent(self) -> None:
        """Close after too long a silence, in the middle of a request or between two."""
        if self._closing:
            self.transport.abortConnection()
        else:
            self._closing = True
            self.loseConnection()

    def drain(self) -> None:
        """Close when nothing is being answered, else after the answer."""
        if self.requests:
            self.persistent = 0
            if not self.requests[0].startedWriting:
                self.requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # twisted.web leaves out the default
        """Called by the transport."""
        self.site.closed(self)
        super().connectionLost(reason)


class BoundedSite(server.Site):
    """A site without access log, with bounds on connections and bodies, that can be drained.

    :ivar draining: whether connections close after their present request
    """

    noisy = False
    protocol = BoundedChannel  # type: ignore[assignment]  # no HTTP/2: a proxy in front speaks that
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
        max_body: int = MAX_BODY,
        max_connections: int = 4096,
        idle_seconds: float = 60.0,
    ) -> None:
        # No timer per connection: one sweep looks after all.
        super().__init__(resource, timeout=None, reactor=reactor, parsePOSTFormSubmission=False)
        self.metrics = metrics
        self._idle_seconds = idle_seconds
        self.max_body = max_body
        self.draining = False
        self._max_connections = max_connections
        self._channels: set[BoundedChannel] = set()
        self._drained: list[Deferred[None]] = []

    def log(self, request: Any) -> None:
        """Nothing: requests are counted, not logged."""

    def startFactory(self) -> None:
        """Nothing: there is no access log to open and no clock for its lines to keep."""

    def stopFactory(self) -> None:
        """Nothing, likewise."""

    def opened(self, channel: BoundedChannel) -> bool:
        """A connection is there; False when it is one too many."""
        if len(self._channels) >= self._max_connections:
            if self.metrics is not None:
                self.metrics.refused("http-connections")
            return False
        self._channels.add(channel)
        if self._sweep is None:
            self._sweep = self.reactor.callLater(self._idle_seconds / 12, self._end_silent)
        return True

    def _end_silent(self) -> None:
        self._sweep = None
        oldest = self.reactor.seconds() - self._idle_seconds
        for channel in list(self._channels):
            if channel.since is not None and channel.since <= oldest:
                channel.end_silent()
        if self._channels:
            self._sweep = self.reactor.callLater(self._idle_seconds / 12, self._end_silent)

    def date(self) -> bytes:
        """The value of the Date header."""
        now = int(self.reactor.seconds())
        if self._date[0] != now:
            self._date = (now, http.datetimeToString())
        return self._date[1]

    def closed(self, channel: BoundedChannel) -> None:
        """A connection is gone."""
        self._channels.discard(channel)
        if not self._channels:
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            drained, self._drained = self._drained, []
            for d in drained:
                d.callback(None)

    def drain(self) -> Deferred[None]:
        """Close idle connections, and the others after their present request; fires when all are closed."""
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
        """End every connection now."""
        for channel in list(self._channels):
            channel.transport.abortConnection()


def http_site(
    resource: PathResource, reactor: IReactorTime, metrics: Metrics | None = None, *, max_body: int = MAX_BODY
) -> BoundedSite:
    """Return a site that serves `resource` within bounds: 60 s idle, 64 headers in 16 KiB, 4096 connections."""
    return BoundedSite(resource, reactor, metrics, max_body=max_body)


class HTTPService(Service):
    """A listening service and its site: stopping it closes the port, then drains the site."""

    _log = Logger()

    def __init__(self, listening: IService, site: BoundedSite, reactor: IReactorTime, *, grace: float = 5.0) -> None:
        """
        :param listening: as strports.service makes it, with `site` as its factory
        :param grace: seconds that running requests get at stop
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
        """Fires when the port is closed and every request answered, or when the grace is over."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        closing = maybeDeferred(self._listening.stopService)
        await within(closing, self._grace, self._reactor, self._log, "closing the HTTP port")
        if not await within(self.site.drain(), self._grace, self._reactor, self._log, "draining HTTP"):
            self.site.abort()
