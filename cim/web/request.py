"""An HTTP request whose body is bounded, and the answer to it."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import Any

from twisted.web import http, server
from twisted.web.resource import Resource

from cim.daemon.tracing import Span
from cim.errors import BadRequest

JSON = b"application/json"
#: How many bytes of an answer are handed to the transport at a time.
PIECE = 64 * 1024
#: The reason phrases of statuses; twisted.web does not have all of them.
_REASONS = {**{status.value: status.phrase.encode() for status in HTTPStatus}, **http.RESPONSES}
#: The statuses of answers that have neither Content-Type nor Content-Length (RFC 9110, section 8.6).
_EMPTY = (204, 304)
#: How many bytes of an oversized body are read and discarded, so that its sender gets to read our answer.
_MAX_DISCARDED = 8 * 1024 * 1024


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
    caller: Any = None  # of a call, once it is let in
    span: Span | None = None  # of a call that is traced
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

    def isSecure(self) -> bool:
        """Return whether the client uses TLS, to us or to a proxy that we believe it of."""
        channel = self.channel
        if channel is None:
            return False
        if channel.isSecure():
            return True
        said = self.requestHeaders.getRawHeaders(b"x-forwarded-proto")
        return (
            said is not None and [one.lower() for one in said] == [b"https"] and channel.site.proxied(channel.transport)
        )

    def _refuse_at_once(self) -> None:
        channel = self.channel
        self._refuse()
        channel.stop_reading()

    def _refuse(self) -> None:
        site = self.channel.site
        self.setHeader(b"Connection", b"close")
        self.channel.persistent = 0
        site.refused("http-body-too-large")
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
            site.refused("http-host")
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
        if status not in _EMPTY:
            lines += (b"Content-Type: " + content_type, b"Content-Length: %d" % len(body))
        lines.extend(
            b"%b: %b" % (name, value) for name, values in self.responseHeaders.getAllRawHeaders() for value in values
        )
        lines.append(b"\r\n" if self.method == b"HEAD" else b"\r\n" + body)
        self.startedWriting = 1
        data = b"\r\n".join(lines)
        if len(data) > PIECE:
            channel.write_in_pieces(self, data)
        else:
            channel.transport.write(data)
            self.finish()
