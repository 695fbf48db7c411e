"""One end of a link on a transport: a thin adapter between it, the handshake and the pipe."""

from __future__ import annotations

import typing
from collections.abc import Callable

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.ecim import HandshakeFailed, ProtocolViolation
from cim.icim import ILink, ILinkUser
from cim.link.handshake import MAX_HANDSHAKE_FRAME, LinkHandshake, refusal
from cim.link.pipe import MAX_FRAME, Pipe
from cim.model import LinkPeer
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.link_pb2 import Item

HANDSHAKE_SECONDS = 10
#: How long a link that ends tries to get rid of what was sent.
DRAIN_SECONDS = 5
TICK_SECONDS = 1


class _StreamTransport(typing.Protocol):
    """What stream transports do beyond ITransport; a typing.Protocol because no zope interface has just these."""

    def abortConnection(self) -> None:
        """Close without writing what is buffered."""

    def loseWriteConnection(self) -> None:
        """Tell the other end that nothing more comes once all is written."""


def _is_encrypted(transport: object) -> bool:
    # TLS has no half close, but its transport passes the call to the one below.
    return bool(ISSLTransport.providedBy(transport))


@frozen
class LinkParts:
    """What every link of a process needs.

    :param observe: called as observe("in" or "out", items, bytes) for every batch
    :param dropped: called for every item that a full queue did not take
    """

    own: LinkPeer
    key: bytes
    user: ILinkUser
    reactor: IReactorTime
    random_bytes: Callable[[int], bytes]
    observe: Callable[[str, int, int], None] | None = None
    dropped: Callable[[], None] | None = None


class LinkOwner(typing.Protocol):
    """Who made a link and keeps track of it; a typing.Protocol because it is internal to this folder."""

    def link_proven(self, link: LinkProtocol) -> None:
        """The handshake is through; `link_up` follows at once."""

    def link_refused(self, link: LinkProtocol, reason: str) -> None:
        """The connection ends before the handshake was through."""

    def link_gone(self, link: LinkProtocol) -> None:
        """The connection is gone, proven or not; called once, after `link_down`."""


@implementer(ILink)
class LinkProtocol(Protocol):
    """One end of a link: unproven, then up, then ending (what was sent is tried, nothing is received), then down."""

    _log = Logger()

    peer: LinkPeer

    def __init__(self, parts: LinkParts, owner: LinkOwner, handshake: LinkHandshake) -> None:
        self.proven = False
        self.up = False
        self._parts = parts
        self._owner = owner
        self._handshake = handshake
        self._reader = FrameReader(MAX_HANDSHAKE_FRAME)
        self._pipe = Pipe()
        self._reason = ""
        self._closing = False
        self._gone = False
        self._waiting: list[Deferred[None]] = []
        self._deadline: IDelayedCall | None = None
        self._ticking: IDelayedCall | None = None
        self._flushing: IDelayedCall | None = None

    # ILink

    def send(self, item: Item) -> bool:
        """Send an item after all sent before; False when it was dropped or the link is not up."""
        return self.send_packed(item.SerializeToString(), item.HasField("deliver"))

    def send_packed(self, item: bytes, droppable: bool) -> bool:
        """Send a serialized item, as `send` does."""
        if not self.up:
            return False
        if not self._pipe.send_packed(item, droppable):
            if self._parts.dropped is not None:
                self._parts.dropped()
            if self._pipe.overflowed:
                self.abort("the queue to the other end is full")
            return False
        if self._flushing is None:
            self._flushing = self._parts.reactor.callLater(0, self._flush)
        return True

    def lose(self, reason: str) -> None:
        """End the link; what was sent is still tried, for DRAIN_SECONDS."""
        if not self.proven:
            self.abort(reason)
        if self.up:
            self.up = False
            self._reason = reason
            self._deadline = self._parts.reactor.callLater(DRAIN_SECONDS, self._abort_connection)
            if self._flushing is None:
                self._flushing = self._parts.reactor.callLater(0, self._flush)

    @property
    def queued(self) -> int:
        """Bytes that were sent and wait for the peer's credit."""
        return self._pipe.queued

    # For the owner

    def abort(self, reason: str) -> None:
        """End the connection without trying what was sent."""
        if not self._gone:
            self.up = False
            self._reason = self._reason or reason
            self._abort_connection()

    def replace(self, reason: str) -> None:
        """End the link at once, with `link_down` before this returns: another has taken its place."""
        self.abort(reason)
        self._down()

    def when_gone(self) -> Deferred[None]:
        """Fire when the connection is gone."""
        waiter: Deferred[None] = Deferred()
        if self._gone:
            waiter.callback(None)
        else:
            self._waiting.append(waiter)
        return waiter

    @property
    def address(self) -> IAddress | None:
        """The other end's address."""
        return self.transport.getPeer() if self.transport is not None else None

    # IProtocol

    def connectionMade(self) -> None:
        """Begin the handshake, with a deadline."""
        transport = self._transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self._deadline = self._parts.reactor.callLater(HANDSHAKE_SECONDS, self._too_late)
        hello = self._handshake.begin()
        if hello:
            transport.write(encode_frame(hello))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes as they come."""
        if self._closing:
            return
        try:
            if not self.proven:
                data = self._shake_hands(data)
            if data:
                for body in self._reader.feed(data):
                    self._receive(body)
        except ProtocolViolation as error:
            if self.proven:
                self.abort(error.message)
            else:
                self._refuse(error.message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell everyone who has to know."""
        self._closing = True
        if not self.proven and not self._reason:
            self._reason = reason.getErrorMessage()
            self._owner.link_refused(self, self._reason)
        self._reason = self._reason or reason.getErrorMessage()
        self._down()
        for call in (self._deadline, self._ticking, self._flushing):
            if call is not None and call.active():
                call.cancel()
        self._gone = True
        self._owner.link_gone(self)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    # Inside

    @property
    def _transport(self) -> ITransport:
        assert self.transport is not None
        return self.transport

    def _shake_hands(self, data: bytes) -> bytes:
        """Take the handshake's frames and return what follows them."""
        # Byte by byte: behind the last frame the first batch may follow at once, and it may be larger than what is
        # accepted of one who has proven nothing.
        for at in range(len(data)):
            for body in self._reader.feed(data[at : at + 1]):
                try:
                    answer = self._handshake.receive(body)
                except HandshakeFailed as error:
                    self._transport.write(encode_frame(refusal(error.message)))
                    self._refuse(error.message)
                if self._closing:
                    return b""
                if answer:
                    self._transport.write(encode_frame(answer))
                if self._handshake.peer is not None:
                    self._establish(self._handshake.peer)
                    return data[at + 1 :]
        return b""

    def _too_late(self) -> None:
        self._refuse("no handshake in time")
        # Also when it was refused before: the other end may not read that.
        self._abort_connection()

    def _refuse(self, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        self._reason = reason
        self._owner.link_refused(self, reason)
        self._transport.loseConnection()

    def _establish(self, peer: LinkPeer) -> None:
        assert self._deadline is not None
        self._deadline.cancel()
        self.peer = peer
        self.proven = self.up = True
        self._reader.max_frame = MAX_FRAME
        self._ticking = self._parts.reactor.callLater(TICK_SECONDS, self._tick)
        self._owner.link_proven(self)
        self._parts.user.link_up(self)

    def _receive(self, body: bytes) -> None:
        if self._closing:
            return
        pipe = self._pipe
        items = pipe.receive(body)
        if self._parts.observe is not None:
            self._parts.observe("in", len(items), len(body))
        received = self._parts.user.link_received
        for item in items:
            if not self.up:
                break
            try:
                received(self, item)
            except Exception:
                # Later items may be fine, and a new link would only meet the same one again.
                self._log.failure("An item from {peer} was not handled", peer=self.peer.name)
        if pipe.due and self._flushing is None and not self._closing:
            self._flushing = self._parts.reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        if self._closing:
            return
        for count, frame in self._pipe.take():
            self._transport.write(frame)
            if self._parts.observe is not None:
                self._parts.observe("out", count, len(frame))
        if not self.up and not self._pipe.queued:
            self._close()

    def _tick(self) -> None:
        self._ticking = self._parts.reactor.callLater(TICK_SECONDS, self._tick)
        self._pipe.tick()
        if self._pipe.dead:
            self.abort("the other end is silent")
        elif self._pipe.due and self._flushing is None:
            self._flush()

    def _close(self) -> None:
        """Close so that what was written arrives."""
        self._closing = True
        transport = self._transport
        if IHalfCloseableDescriptor.providedBy(transport) and not _is_encrypted(transport):
            # Closing with input unread would make the kernel send a reset, at which the other end's drops what it
            # has not read yet. So the other end is told the end, and closes.
            self._stream.loseWriteConnection()
        else:
            transport.loseConnection()

    @property
    def _stream(self) -> _StreamTransport:
        return typing.cast(_StreamTransport, self.transport)

    def _abort_connection(self) -> None:
        self._closing = True
        self._stream.abortConnection()

    def _down(self) -> None:
        if self.proven:
            self.proven = self.up = False
            self._parts.user.link_down(self, self._reason)
