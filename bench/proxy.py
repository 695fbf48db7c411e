"""A TCP proxy whose connections can be cut, or fall silent as if a cable were pulled."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

HOST = "127.0.0.1"


class _End(Protocol):
    """One end of a pair, which writes everything it receives to the other end."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.other: _End | None = None
        self._full = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        # Nothing is read until the other end is connected.
        transport.pauseProducing()
        # When this end cannot write fast enough, the other stops reading.
        transport.registerProducer(_Reading(self), True)
        self.pair.connected(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.other is not None
        transport: Any = self.other.transport
        transport.write(data)

    def filled(self, full: bool) -> None:
        """Note that the other end is full, or has room again."""
        self._full = full
        self.flow()

    def flow(self) -> None:
        """Resume or pause reading, as the state requires."""
        transport: Any = self.transport
        if transport.disconnecting or not transport.connected:
            return
        if self._full or self.pair.muted or self.other is None:
            transport.pauseProducing()
        else:
            transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.pair.lost(self)

    def end(self, politely: bool) -> None:
        """Close."""
        transport: Any = self.transport
        transport.unregisterProducer()
        if politely:
            transport.loseConnection()
        else:
            transport.abortConnection()


class _Reading:
    """The producer for an end: it pauses and resumes reading at the other end."""

    def __init__(self, end: _End) -> None:
        self._end = end

    def pauseProducing(self) -> None:
        if self._end.other is not None:
            self._end.other.filled(True)

    def resumeProducing(self) -> None:
        if self._end.other is not None:
            self._end.other.filled(False)

    def stopProducing(self) -> None:
        pass


class Pair:
    """A connection through a proxy.

    :ivar muted: whether nothing passes either way
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.muted = False
        self._ends: list[_End] = []

    def end(self) -> _End:
        """Return a protocol for one of its ends."""
        return _End(self)

    def connected(self, end: _End) -> None:
        """Note a connected end: first the caller's, then the target's."""
        self._ends.append(end)
        if len(self._ends) == 1:
            self._proxy.dial(self)
            return
        one, other = self._ends
        one.other, other.other = other, one
        one.flow()
        other.flow()

    def failed(self) -> None:
        """Close the caller's end: the target cannot be reached."""
        self.cut()

    def lost(self, end: _End) -> None:
        """Note a lost end; the other is closed once everything read is written."""
        self._proxy.pairs.pop(self, None)
        if end in self._ends:
            self._ends.remove(end)
        for left in self._ends:
            left.end(not self.muted)

    def cut(self) -> None:
        """Cut the connection at once, in both directions."""
        self._proxy.pairs.pop(self, None)
        for end in list(self._ends):
            end.end(False)

    def mute(self, muted: bool) -> None:
        """Let nothing pass while both ends stay open, or let everything pass again."""
        self.muted = muted
        for end in self._ends:
            end.flow()


class _Caller(Factory):
    noisy = False

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: Any) -> Protocol | None:
        if self._proxy.refusing:
            return None
        pair = Pair(self._proxy)
        self._proxy.pairs[pair] = None
        return pair.end()


class _Target(ClientFactory):
    noisy = False

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._pair.end()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._pair.failed()


class Proxy:
    """Passes connections to `port` on to `target`, both on the loopback interface.

    :param name: the kind of connection
    :ivar pairs: the present connections, the oldest first
    :ivar refusing: new connections are closed at once
    """

    def __init__(self, reactor: Any, name: str, port: int, target: int) -> None:
        self._reactor = reactor
        self.name = name
        self.port = port
        self.target = target
        self.pairs: dict[Pair, None] = {}
        self.refusing = False
        self._listening: Any = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Listen."""
        self._listening = self._reactor.listenTCP(self.port, _Caller(self), interface=HOST)
        self.port = self._listening.getHost().port

    def dial(self, pair: Pair) -> None:
        """Connect a pair to the target."""
        self._reactor.connectTCP(HOST, self.target, _Target(pair), 5.0)

    def stop(self) -> Deferred[Any]:
        """Close everything."""
        for pair in list(self.pairs):
            pair.cut()
        listening, self._listening = self._listening, None
        return maybeDeferred(listening.stopListening if listening is not None else lambda: None)
