"""The cheapest HTTP client that will do: hand-made requests, one at a time on each of a few kept-alive connections."""

from __future__ import annotations

from collections import deque
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure


class HTTPError(Exception):
    """Raised when a call is not answered with a status of success.

    :ivar status: the status of the answer; 0 without an answer
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ResponseReader:
    """Reads one response after another; supports only Content-Length and chunks."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[int, bytes] | None:
        """Take bytes; return status and body when a response is complete."""
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = self._buffer[:end].lower()
            status = int(head[9:12])
            start = end + 4
            if status == 100:
                self._buffer = self._buffer[start:]
                continue
            break
        if status in (204, 304):
            self._buffer = self._buffer[start:]
            return status, b""
        mark = head.find(b"\r\ncontent-length:")
        if mark >= 0:
            stop = head.find(b"\r\n", mark + 2)
            size = int(head[mark + 17 : stop if stop >= 0 else len(head)])
            if len(self._buffer) < start + size:
                return None
            body, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
            return status, body
        chunks = []
        while True:
            end = self._buffer.find(b"\r\n", start)
            if end < 0:
                return None
            size = int(self._buffer[start:end].split(b";")[0], 16)
            start = end + 2
            if len(self._buffer) < start + size + 2:
                return None
            chunks.append(self._buffer[start : start + size])
            start += size + 2
            if not size:
                self._buffer = self._buffer[start:]
                return status, b"".join(chunks)


class _Connection(Protocol):
    def __init__(self, pool: HTTPPool) -> None:
        self._pool = pool
        self._reader = ResponseReader()
        self.answer: Deferred[bytes] | None = None

    def connectionMade(self) -> None:
        self._pool.idle(self)

    def send(self, request: bytes, answer: Deferred[bytes]) -> None:
        self.answer = answer
        assert self.transport is not None
        self.transport.write(request)

    def dataReceived(self, data: bytes) -> None:
        response = self._reader.feed(data)
        if response is None:
            return
        answer, self.answer = self.answer, None
        # Idle first: the caller may have the next request ready.
        self._pool.idle(self)
        if answer is None:
            return
        status, body = response
        if 200 <= status < 300:
            answer.callback(body)
        else:
            answer.errback(HTTPError(f"HTTP status {status}: {body[:200]!r}", status))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        answer, self.answer = self.answer, None
        self._pool.lost(self)
        if answer is not None:
            answer.errback(HTTPError("the connection was lost before the answer"))


class _Dial(ClientFactory):
    noisy = False

    def __init__(self, pool: HTTPPool) -> None:
        self._pool = pool

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Connection(self._pool)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._pool.lost(None)


class HTTPPool:
    """At most `size` connections to one base URL; calls beyond that wait in order.

    Every call fails with HTTPError unless it is answered with a status of success.
    """

    def __init__(self, reactor: Any, url: str, size: int, *, bind: tuple[str, int] | None = None) -> None:
        """
        :param bind: the address to connect from; None for any
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"must be http://host:port, not {url!r}")
        self._reactor = reactor
        self._host, self._port = parts.hostname, parts.port or 80
        self._size = size
        self._bind = bind
        self._open = 0
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._waiting: deque[tuple[bytes, Deferred[bytes]]] = deque()
        self._tail = f" HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n".encode()

    def post(self, path: bytes, body: bytes) -> Deferred[bytes]:
        """POST a JSON body; fires with the body of the answer."""
        return self.call(b"POST", path, body)

    def call(
        self, method: bytes, path: bytes, body: bytes = b"", token: str = "", *, headers: str = ""
    ) -> Deferred[bytes]:
        """Send a request, with a bearer token if given; fires with the body of the answer.

        :param headers: further lines, each with its end
        """
        proof = (f"Authorization: Bearer {token}\r\n" if token else "") + headers
        return self._call(
            b"%b %b%bContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
            % (method, path, self._tail, proof.encode(), len(body), body)
        )

    def _call(self, request: bytes) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred(self._cancelled)
        if self._idle:
            self._idle.pop().send(request, answer)
            return answer
        self._waiting.append((request, answer))
        self._dial()
        return answer

    def _dial(self) -> None:
        if self._open < self._size:
            self._open += 1
            self._reactor.connectTCP(self._host, self._port, _Dial(self), 10.0, self._bind)

    def _cancelled(self, answer: Deferred[bytes]) -> None:
        """Drop a cancelled call if it is not sent yet."""
        for waiting in self._waiting:
            if waiting[1] is answer:
                self._waiting.remove(waiting)
                return
        for connection in self._all:
            if connection.answer is answer:
                connection.answer = None
                transport: Any = connection.transport
                transport.abortConnection()
                return

    def idle(self, connection: _Connection) -> None:
        """Give an idle connection the next waiting call."""
        self._all.add(connection)
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection | None) -> None:
        """Note a connection that ended, or could not be made (None); fail calls that no connection is left for."""
        self._open -= 1
        if connection is not None:
            if self._waiting:
                self._dial()
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
        while self._waiting and not self._open:
            self._waiting.popleft()[1].errback(HTTPError(f"no connection to {self._host}:{self._port}"))

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._all):
            transport: Any = connection.transport
            transport.abortConnection()
