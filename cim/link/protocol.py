"""One end of a link on a transport: a thin adapter between transport, handshake, lifecycle and pipe."""

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

from cim.errors import HandshakeFailed, ProtocolViolation
from cim.interfaces import ILink, ILinkUser
from cim.link.handshake import HIGHEST_VERSION, LinkHandshake, first_frame, refusal
from cim.link.lifecycle import lifecycle
from cim.link.packing import Packing
from cim.link.pipe import MAX_FRAME, Pipe
from cim.model import LinkPeer
from cim.supervision import Loop
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.link_pb2 import Item

HANDSHAKE_SECONDS = 10
#: For how many seconds a link that is ending tries to write what was sent.
DRAIN_SECONDS = 5
TICK_SECONDS = 1


class _StreamTransport(typing.Protocol):
    """What stream transports offer beyond ITransport; a typing.Protocol because no zope interface has just these."""

    def abortConnection(self) -> None:
        """Close without writing what is buffered."""

    def loseWriteConnection(self) -> None:
        """Tell the other end, once everything is written, that nothing more comes."""


def _is_encrypted(transport: object) -> bool:
    # TLS has no half-close, but its transport passes the call to the one below.
    return bool(ISSLTransport.providedBy(transport))


@frozen(kw_only=True)
class LinkParts:
    """What all links of a process share.

    :param user: told of links
    :param old_user: told of links that speak version 1
    :param observe: called as observe("in" or "out", items, bytes) for every batch
    :param dropped: called for every item that is dropped because a queue is full
    :param highest: the highest version of the items to agree to
    :param accept_unsealed: whether ends of older releases, which cannot seal what they say, will do
    :param time_of_day: the time in seconds since 1970, to be compared with the other ends'; None to compare nothing
    """

    own: LinkPeer
    key: bytes
    user: ILinkUser
    old_user: ILinkUser
    reactor: IReactorTime
    random_bytes: Callable[[int], bytes]
    observe: Callable[[str, int, int], None] | None = None
    dropped: Callable[[], None] | None = None
    highest: int = HIGHEST_VERSION
    accept_unsealed: bool = False
    time_of_day: Callable[[], float] | None = None


class LinkOwner(typing.Protocol):
    """What made a link and keeps track of it; a typing.Protocol because it is internal to this package."""

    def link_proven(self, link: LinkProtocol) -> None:
        """Note that the handshake has succeeded; `link_up` follows at once."""

    def link_refused(self, link: LinkProtocol, reason: str) -> None:
        """Note that the connection ends before the handshake has succeeded."""

    def link_gone(self, link: LinkProtocol) -> None:
        """Note that the connection is gone, proven or not; called once, after `link_down`."""


@implementer(ILink)
class LinkProtocol(Packing, Protocol):
    """One end of a link; `cim.link.lifecycle` has its states, which act on this connection."""

    _log = Logger()

    peer: LinkPeer
    version: int

    def __init__(self, parts: LinkParts, owner: LinkOwner, handshake: LinkHandshake) -> None:
        #: Whether items pass in both directions. Only the lifecycle sets it; asking that for each item is too slow.
        self.up = False
        self._parts = parts
        self._user = parts.user
        self._owner = owner
        self._lifecycle = lifecycle(self)
        self._pipe = Pipe(parts.time_of_day)
        # What takes the bytes that arrive: first the handshake, then the frame reader, in the end neither.
        self._handshake: LinkHandshake | None = handshake
        self._early = b""
        self._frames: FrameReader | None = None
        self._deadline: IDelayedCall | None = None
        self._ticking = Loop("keeping a link alive", self._tick, parts.reactor, every=TICK_SECONDS)
        self._flushing: IDelayedCall | None = None
        self._gone: Deferred[None] = Deferred()

    # ILink

    def send(self, item: Item) -> bool:
        """Send an item after all earlier ones; False if it was dropped or the link is not up."""
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
        """End the link, trying for DRAIN_SECONDS to write what was sent."""
        self._lifecycle.lose(reason)

    @property
    def queued(self) -> int:
        """How many sent bytes wait for the peer's credit."""
        return self._pipe.queued

    @property
    def sealed(self) -> bool:
        """Whether nobody between the two ends can read or change what they say; holds while the link is up."""
        return self._pipe.sealing is not None

    @property
    def skew(self) -> float | None:
        """How many seconds our clock is ahead of the other end's; None if that is unknown."""
        return self._pipe.skew

    # For the owner

    def abort(self, reason: str) -> None:
        """End the connection without trying to write what was sent."""
        self._lifecycle.abort(reason)

    def replace(self, reason: str) -> None:
        """End the link at once because another replaced it; `link_down` comes before this returns."""
        self._lifecycle.replace(reason)

    def when_gone(self) -> Deferred[None]:
        """Fire when the connection is gone."""
        waiter: Deferred[None] = Deferred()
        self._gone.addCallback(waiter.callback)
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
        self._deadline = self._parts.reactor.callLater(HANDSHAKE_SECONDS, self._lifecycle.late)
        assert self._handshake is not None
        hello = self._handshake.begin()
        if hello:
            transport.write(encode_frame(hello))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        try:
            if self._handshake is not None:
                data = self._shake_hands(self._handshake, data)
            frames = self._frames
            if frames is not None:
                for body in frames.feed(data):
                    self._receive(body)
        except ProtocolViolation as error:
            self._lifecycle.broken(error.message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the lifecycle that the connection is gone."""
        self._stop()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._lifecycle.lost(reason.getErrorMessage())

    # LinkConnection, for the lifecycle alone

    def open(self) -> None:
        """Let items pass in both directions."""
        assert self._handshake is not None and self._handshake.peer is not None and self._deadline is not None
        self._deadline.cancel()
        self.peer = self._handshake.peer
        self.version = self._handshake.version
        self._pipe.sealing = self._handshake.sealing
        if self.version == 1:
            self._user = self._parts.old_user
        self._handshake = None
        self._frames = FrameReader(MAX_FRAME)
        self._ticking.start(TICK_SECONDS)
        self.up = True

    def drain(self) -> None:
        """Write what is queued, for DRAIN_SECONDS, and take no more."""
        self.up = False
        self._deadline = self._parts.reactor.callLater(DRAIN_SECONDS, self._lifecycle.late)
        if self._flushing is None:
            self._flushing = self._parts.reactor.callLater(0, self._flush)

    def finish(self) -> None:
        """Close so that what was written arrives."""
        self._stop()
        transport = self._transport
        if IHalfCloseableDescriptor.providedBy(transport) and not _is_encrypted(transport):
            # Closing with unread input would make the kernel send a reset, at which the other end's kernel drops
            # what was not read yet. So tell the other end that nothing more comes, and let it close.
            self._stream.loseWriteConnection()
        else:
            transport.loseConnection()

    def dismiss(self) -> None:
        """Close once what was written is sent."""
        self._stop()
        self._transport.loseConnection()

    def cut(self) -> None:
        """Close without sending what was written."""
        self._stop()
        self._stream.abortConnection()

    def tell_refused(self, reason: str) -> None:
        """Tell the owner that the connection ends unproven."""
        self._owner.link_refused(self, reason)

    def tell_down(self, reason: str) -> None:
        """Tell the link's user that the link is down."""
        self._user.link_down(self, reason)

    def tell_gone(self) -> None:
        """Tell the owner, and all who waited, that the connection is gone."""
        self._owner.link_gone(self)
        self._gone.callback(None)

    # Inside

    @property
    def _transport(self) -> ITransport:
        assert self.transport is not None
        return self.transport

    @property
    def _stream(self) -> _StreamTransport:
        return typing.cast(_StreamTransport, self.transport)

    def _stop(self) -> None:
        """Stop reading and writing."""
        self.up = False
        self._handshake = self._frames = None
        self._ticking.stop()
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()

    def _shake_hands(self, handshake: LinkHandshake, data: bytes) -> bytes:
        """Take the handshake's frames; return what follows them, or nothing while the handshake is incomplete."""
        self._early += data
        while (frame := first_frame(self._early)) is not None:
            body, self._early = frame
            try:
                answer = handshake.receive(body)
            except HandshakeFailed as error:
                self._transport.write(encode_frame(refusal(error.message)))
                self._lifecycle.broken(error.message)
                break
            if answer:
                self._transport.write(encode_frame(answer))
            if handshake.peer is not None:
                self._lifecycle.proven()
                # Told here and not by the lifecycle, so that what they do to the link takes effect at once.
                self._owner.link_proven(self)
                self._user.link_up(self)
                rest, self._early = self._early, b""
                return rest
        return b""

    def _receive(self, body: bytes) -> None:
        if self._frames is None:
            return
        pipe = self._pipe
        items = pipe.receive(body)
        if self._parts.observe is not None:
            self._parts.observe("in", len(items), len(body))
        received = self._user.link_received
        for item in items:
            if not self.up:
                break
            try:
                received(self, item)
            except Exception:
                # Go on: later items may be fine, and a new link would only get the same item again.
                self._log.failure("Failed to handle an item from {peer}", peer=self.peer.name)
        if pipe.due and self._flushing is None and self._frames is not None:
            self._flushing = self._parts.reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        for count, frame in self._pipe.take():
            self._transport.write(frame)
            if self._parts.observe is not None:
                self._parts.observe("out", count, len(frame))
        if not self.up and not self._pipe.queued:
            self._lifecycle.drained()

    def _tick(self) -> None:
        self._pipe.tick()
        if self._pipe.dead:
            self.abort("the other end is silent")
        elif self._pipe.due and self._flushing is None:
            self._flush()
