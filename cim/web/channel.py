"""A connection of an HTTP listener: how its client is read from, and how long answers are written."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IProtocol, ISystemHandle, ITCPTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http

from cim.web.heads import read_whole
from cim.web.request import PIECE, BoundedRequest

if TYPE_CHECKING:
    from cim.web.site import BoundedSite

#: How long nothing is read of a connection after a limit has refused a call on it.
HELD_SECONDS = 1.0
#: How many bytes of an answer the system may hold.
_BUFFERED = 2 * PIECE


def _hold(transport: Any, size: int) -> None:
    """Have the system take no more to write than so many bytes beyond what is on its way; 0 for its own bound.

    That may be megabytes. With less a client that reads nothing is known, and costs as much as is counted.
    """
    while hasattr(transport, "transport"):
        # TLS's wrapper of the connection proper, or that of a PROXY header.
        transport = transport.transport
    if ITCPTransport.providedBy(transport) and ISystemHandle.providedBy(transport):
        with suppress(AttributeError, OSError):  # not every system has it
            handle: Any = transport.getHandle()
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)


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
    _resting = False
    _due: IDelayedCall | None = None
    _rest: bytes | None = None
    _answer = b""  # a long one, and how much of it was written
    _written = 0
    _stalled_since: float | None = None
    _deaf = False
    _closing = False
    _other: IProtocol | None = None

    def connectionMade(self) -> None:
        """Called by the transport; closes a connection beyond the site's bound at once."""
        super().connectionMade()
        self._peer, self._host = super().getPeer(), super().getHost()
        _hold(self.transport, _BUFFERED)
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
            if self._other is not None:
                self._other.dataReceived(data)
            return
        if not self._receiving:
            if self._took(data):
                return
            self._receiving = True
            self.since = self.site.reactor.seconds()
            self.site.waits(self)
        LineReceiver.dataReceived(self, data)

    def _took(self, data: bytes) -> bool:
        """Serve a plain request that came whole, by a shorter way to the same end; return whether it was one."""
        if self._buffer or not self.line_mode or self.transport.disconnecting:
            return False
        whole = read_whole(data)
        if whole is None or whole.length > self.site.max_body:
            return False
        self._receiving = True
        request = BoundedRequest(self)
        self.requests.append(request)
        # Private names of Twisted. The tests compare what comes of both ways.
        request.requestHeaders._rawHeaders = whole.headers
        self._command, self._path, self._version = whole.method, whole.target, whole.version
        self.length = whole.length
        self.allHeadersReceived()
        if whole.length:
            request.handleContentChunk(data[whole.start :])
        self.allContentReceived()
        return True

    def rawDataReceived(self, data: bytes) -> None:
        """Called with the bytes that follow a request's headers, and with those that wait."""
        if self._rest is not None:
            self._rest += data
        elif not self._deaf:
            super().rawDataReceived(data)
        elif self._other is not None:
            self._other.dataReceived(data)

    def allContentReceived(self) -> None:
        """Called when a request's body is complete."""
        if not self._deaf:
            self.since = None
            self.site.answers(self)
            self.site.lets_go(self)
            super().allContentReceived()

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Called for a header line that is too long."""
        self.site.refused("http-malformed")
        return super().lineLengthExceeded(line)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # A private name of Twisted: if it changes, only the count is lost.
        self.site.refused("http-malformed")
        super()._respondToBadRequestAndDisconnect()

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
        if self.persistent and self._rest is None and (self._resting or self._buffer):
            self._wait(HELD_SECONDS if self._resting else 0.0)

    def hold(self) -> None:
        """Read nothing more for a second after this answer, unless the connection is that of a trusted proxy.

        Whoever asks again at once what a limit has just refused costs no more than that.
        """
        self._resting = bool(self.address)

    def _wait(self, seconds: float) -> None:
        """Serve the next request later, so that others have their turn: they may be many in what was read at once."""
        self._resting = False
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
            self.transport.write(self._answer[self._written : self._written + PIECE])
            self._written += PIECE
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

    def switch(self, other: IProtocol) -> None:
        """Give the connection to another protocol, within a request: it has the transport from now on."""
        self.site.used(self.address)
        self.site.closed(self)
        self.requests = []
        self.transport.unregisterProducer()
        _hold(self.transport, 0)
        self._deaf = True
        self._other = other
        # Whoever asks for it anew calls the other one directly.
        self.dataReceived = other.dataReceived  # type: ignore[method-assign]
        other.makeConnection(self.transport)

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
        if self._other is not None:
            self._other.connectionLost(reason)
            return
        self.site.closed(self)
        self._answer = b""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        super().connectionLost(reason)
