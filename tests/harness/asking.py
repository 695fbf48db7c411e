"""Sending one request to a port and reading the whole answer, to find out whether a started process is ready."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class _Question(Protocol):
    def __init__(self, question: bytes) -> None:
        self.question = question
        self.answer = b""
        self.closed: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.question)

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.answer)


def ask(reactor: Any, host: str, port: int, question: bytes, timeout: float = 2.0) -> Deferred[bytes]:
    """Fire with everything that the peer answers until it closes the connection, or within `timeout` seconds.

    If nobody is there, the answer is empty.
    """

    async def asking() -> bytes:
        protocol = _Question(question)
        try:
            await connectProtocol(TCP4ClientEndpoint(reactor, host, port, timeout=timeout), protocol)
        except Exception:
            return b""
        transport: Any = protocol.transport
        deadline = reactor.callLater(timeout, transport.abortConnection)
        answer = await protocol.closed
        if deadline.active():
            deadline.cancel()
        return answer

    return Deferred.fromCoroutine(asking())
