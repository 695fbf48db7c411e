"""A client of HTTP/2 (RFC 9113) on one connection, as far as a push service needs one: many short requests at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from attrs import define, field, frozen
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from cim.errors import RateLimited, Unavailable

#: The largest body of an answer, in bytes.
MOST_BODY = 1 << 16
#: The most bytes that may come without anything whole among them.
MOST_PENDING = 1 << 17
#: The most requests that wait for their turn.
MOST_WAITING = 1_000

Headers = Sequence[tuple[str, str]]


@frozen
class Response:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@define(eq=False)
class _Exchange:
    """A request, and what came of its answer."""

    headers: Headers
    body: bytes
    answer: Deferred[Response]
    stream: int = 0
    status: int = 0
    got: dict[str, str] = field(factory=dict)
    read: bytearray = field(factory=bytearray)


class HTTP2Client(Protocol):
    """The connection. It takes no pushes of the server's, and ends at whatever breaks the protocol."""

    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._waiting: deque[_Exchange] = deque()
        self._open: dict[int, _Exchange] = {}
        self._checked = False
        self._pending = 0
        #: Whether it takes no more requests.
        self.over = False

    def request(self, headers: Headers, body: bytes) -> Deferred[Response]:
        """Send a request, and fire with its answer; cancelling it resets its stream.

        :param headers: those with a colon first
        :raises RateLimited: too many wait
        :raises Unavailable: the connection was lost before the answer: it may or may not have been done
        """
        exchange = _Exchange(headers, body, Deferred(lambda _: self._cancel(exchange)))
        if self.over:
            exchange.answer.errback(Unavailable("the connection to the push service is over"))
        elif len(self._waiting) >= MOST_WAITING:
            exchange.answer.errback(RateLimited(f"{MOST_WAITING} requests to the push service wait already"))
        else:
            self._waiting.append(exchange)
            self._go_on()
        return exchange.answer

    def close(self) -> None:
        """Take nothing more, and close the connection."""
        self.over = True
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        """Begin."""
        self._h2.initiate_connection()
        self._h2.update_settings({2: 0})  # ENABLE_PUSH
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Take what the server says."""
        if not self._checked:
            self._checked = True
            if getattr(self.transport, "negotiatedProtocol", b"h2") != b"h2":
                return self._break()
        # The library keeps a frame of up to 16 MiB before it looks how long it may be.
        self._pending += len(data)
        if self._pending > MOST_PENDING:
            return self._break()
        try:
            for event in self._h2.receive_data(data):
                self._pending = 0
                self._handle(event)
            self._go_on()
        except H2Error:
            self._break()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is not answered."""
        self.over = True
        why = "" if reason.check(ConnectionDone) else f": {reason.getErrorMessage()}"
        left = [*self._open.values(), *self._waiting]
        self._open.clear()
        self._waiting.clear()
        for exchange in left:
            self._fail(exchange, f"the connection to the push service was lost{why}")

    def _break(self) -> None:
        self.over = True
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of TCP and TLS

    def _handle(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            return self._break()  # what is open is asked again, on another one
        exchange = self._open.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        if exchange is None:
            return
        if isinstance(event, ResponseReceived):
            exchange.got = {str(name): str(value) for name, value in event.headers or ()}
            status = exchange.got.get(":status", "")
            exchange.status = int(status) if status.isascii() and status.isdigit() else 0
        elif isinstance(event, DataReceived):
            exchange.read += event.data or b""
            if len(exchange.read) > MOST_BODY:
                self._end(exchange)
                self._fail(exchange, "the push service answers too much")
        elif isinstance(event, StreamEnded):
            del self._open[exchange.stream]
            exchange.answer.callback(Response(exchange.status, exchange.got, bytes(exchange.read)))
        elif isinstance(event, StreamReset):
            del self._open[exchange.stream]
            self._fail(exchange, "the push service broke off its answer")

    def _go_on(self) -> None:
        """Begin what waits, as far as the server takes it, and send what is to be sent."""
        if self.transport is None:
            return
        while self._waiting and not self.over and self._has_room(self._waiting[0]):
            exchange = self._waiting.popleft()
            exchange.stream = self._h2.get_next_available_stream_id()
            self._open[exchange.stream] = exchange
            self._h2.send_headers(exchange.stream, exchange.headers)
            self._h2.send_data(exchange.stream, exchange.body, end_stream=True)
        self._flush()

    def _has_room(self, exchange: _Exchange) -> bool:
        settings = self._h2.remote_settings
        window = min(self._h2.outbound_flow_control_window, settings.initial_window_size)
        return len(self._open) < settings.max_concurrent_streams and len(exchange.body) <= min(
            window, self._h2.max_outbound_frame_size
        )

    def _cancel(self, exchange: _Exchange) -> None:
        if exchange in self._waiting:
            self._waiting.remove(exchange)
        elif exchange.stream in self._open:
            self._end(exchange)
            self._flush()

    def _end(self, exchange: _Exchange) -> None:
        del self._open[exchange.stream]
        try:
            self._h2.reset_stream(exchange.stream, ErrorCodes.CANCEL)
        except H2Error:
            self._break()

    @staticmethod
    def _fail(exchange: _Exchange, why: str) -> None:
        if not exchange.answer.called:
            exchange.answer.errback(Unavailable(why))

    def _flush(self) -> None:
        if self.transport is not None and (data := self._h2.data_to_send()):
            self.transport.write(data)
