"""Links within one process: pairs of objects that deliver items in the next reactor turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.interfaces import Asking, ILink, ILinkUser, Pushed
from cim.link.handed import OTHERS, Handed, HandedDeliver, HandedReply, HandedRequest
from cim.link.handshake import HIGHEST_VERSION
from cim.link.pipe import CONTROL_QUEUE, MAX_ITEM, QUEUE
from cim.link.version1 import old_routes, old_servers
from cim.model import LinkPeer
from cim.supervision import Loop
from cim.traces import UNTRACED, Trace
from cim.wire.link_pb2 import Item, Missed

#: Seconds until a lost pair is replaced.
RETRY = 0.2


def _counted(packets: Sequence[bytes]) -> int:
    """Return the bytes that packets count in an item."""
    return sum(map(len, packets)) + OTHERS * len(packets)


@implementer(ILink)
class MemoryLink:
    """One end of a pair.

    Items are handed over without a copy, so neither end may change one. What is sent for each message is not even
    made one of link.proto's.
    """

    _log = Logger()

    def __init__(self, pair: _Pair, user: ILinkUser, peer: LinkPeer, version: int) -> None:
        self.peer = peer
        self.version = version
        self.user = user
        self.other: MemoryLink
        self.queue: list[Item | Handed] = []
        self.queued = 0
        self._pair = pair
        self._missed = False

    def send(self, item: Item) -> bool:
        """Send an item after all earlier ones; False if it was dropped or the link is not up."""
        return self._put(item, item.ByteSize(), item.HasField("deliver"))

    def send_packed(self, item: bytes, droppable: bool) -> bool:
        """Send a serialized item, as `send` does."""
        return self._put(Item.FromString(item), len(item), droppable)

    def send_request(
        self, call: int, asker: Asking, conversation: str, packet: bytes, after: str = "", trace: Trace = UNTRACED
    ) -> bool:
        """Send a Request that forwards a client's packet, as `send` does."""
        item = HandedRequest(call, asker, conversation, packet, after, trace)
        return self._put(item, len(packet) + OTHERS, False)

    def send_run(self, call: int, asker: Asking, conversation: str, packets: Sequence[bytes], after: str) -> bool:
        """Send a Request that forwards several Sends of a client into one conversation, as `send` does."""
        first, *more = packets
        return self._put(HandedRequest(call, asker, conversation, first, after, more=more), _counted(packets), False)

    def send_reply(self, call: int, packet: bytes) -> bool:
        """Send a Reply of one packet, as `send` does."""
        return self._put(HandedReply(call, (packet,)), len(packet) + OTHERS, False)

    def send_replies(self, call: int, packets: Sequence[bytes]) -> bool:
        """Send a Reply to each of the calls from `call` on, of one packet each, as `send` does."""
        return self._put(HandedReply(call, packets), _counted(packets), False)

    def send_push(self, push: Pushed, users: list[int]) -> bool:
        """Send a Deliver to users, as `send` does."""
        item = HandedDeliver(push, users, push.session if push.origin is self else "")
        return self._put(item, len(push.packet) + _counted(push.more) + OTHERS + 8 * len(users), True)

    def _put(self, item: Item | Handed, size: int, droppable: bool) -> bool:
        """Queue an item that counts so many bytes."""
        pair = self._pair
        if not pair.up:
            return False
        queued = self.queued + size
        if size > MAX_ITEM:
            pair.note_dropped()
            return False
        if queued > QUEUE:
            if droppable:
                pair.note_dropped()
                self._missed = True
                return False
            if queued > CONTROL_QUEUE:
                pair.note_dropped()
                self.lose("the queue to the other end is full")
                return False
        self.queued = queued
        self.queue.append(item)
        pair.schedule()
        return True

    def lose(self, reason: str) -> None:
        """End the link; what this end sent is still delivered, but nothing more is delivered to this end."""
        self._pair.lose(self, reason)

    def deliver(self) -> None:
        """Hand the sent items to the other end's user."""
        queue, self.queue = self.queue, []
        self.queued = 0
        if self._missed:
            self._missed = False
            queue.append(Item(missed=Missed()))
        for item in queue:
            if self._pair.lost_by is self.other:
                break
            try:
                self.other.user.link_received(self.other, item)  # type: ignore[arg-type]  # looks like one
            except Exception:
                self._log.failure("Failed to handle an item from {peer}", peer=self.other.peer.name)


class _Pair:
    _log = Logger()

    def __init__(self, reactor: IReactorTime, gone: Callable[[], None] | None, dropped: Callable[[], None] | None):
        self.up = True
        self.lost_by: MemoryLink | None = None
        self.ends: tuple[MemoryLink, MemoryLink]
        self._reactor = reactor
        self._gone = gone
        self._dropped = dropped
        self._reason = ""
        self._call: IDelayedCall | None = reactor.callLater(0, self._begin)

    def note_dropped(self) -> None:
        if self._dropped is not None:
            self._dropped()

    def schedule(self) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(0, self._turn)

    def lose(self, link: MemoryLink, reason: str) -> None:
        if self.up:
            self.up = False
            self.lost_by = link
            self._reason = reason
            self.schedule()

    def _begin(self) -> None:
        self._call = None
        for end in self.ends:
            with self._log.failuresHandled("one end of a link did not take it"):
                end.user.link_up(end)
        if not self.up or any(end.queue for end in self.ends):
            self.schedule()

    def _turn(self) -> None:
        self._call = None
        # An end that was lost in this very turn gets another turn, so that link_down comes after lose() has returned.
        ended = not self.up
        for end in self.ends:
            end.deliver()
        if ended:
            for end in self.ends:
                with self._log.failuresHandled("one end of a link did not take its end"):
                    end.user.link_down(end, self._reason)
            if self._gone is not None:
                self._gone()


def connect(
    reactor: IReactorTime,
    server_user: ILinkUser,
    server_peer: LinkPeer,
    route_user: ILinkUser,
    route_peer: LinkPeer,
    gone: Callable[[], None] | None = None,
    dropped: Callable[[], None] | None = None,
    *,
    version: int = HIGHEST_VERSION,
) -> tuple[MemoryLink, MemoryLink]:
    """Link a server and a route; both users are told in the next turn.

    :param gone: called after both were told that the link is down
    :param dropped: called for every item that is dropped because a queue is full
    :param version: the version that the two ends speak
    :returns: the server's end (its `peer` is the route) and the route's
    """
    if version == 1:
        server_user, route_user = old_routes(server_user), old_servers(route_user)
    pair = _Pair(reactor, gone, dropped)
    at_server = MemoryLink(pair, server_user, route_peer, version)
    at_route = MemoryLink(pair, route_user, server_peer, version)
    at_server.other, at_route.other = at_route, at_server
    pair.ends = at_route, at_server
    return at_server, at_route


class MemoryLinks(Service):
    """Keeps a server and a route linked while it runs.

    :param dropped: called for every item that is dropped because a queue is full
    """

    def __init__(
        self,
        reactor: IReactorTime,
        server_user: ILinkUser,
        server_peer: LinkPeer,
        route_user: ILinkUser,
        route_peer: LinkPeer,
        dropped: Callable[[], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._arguments = (server_user, server_peer, route_user, route_peer)
        self._dropped = dropped
        self._ends: tuple[MemoryLink, MemoryLink] | None = None
        self._connecting = Loop("linking the server and the route", self._connect, reactor)
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        """Link the server and the route."""
        super().startService()
        self._connecting.start()

    def stopService(self) -> Deferred[None]:
        """End the link; what was sent is still delivered. Fires once both users were told."""
        super().stopService()
        self._connecting.stop()
        if self._ends is None:
            return succeed(None)
        self._stopped = Deferred()
        self._ends[0].lose("the suite is stopping")
        return self._stopped

    def _connect(self) -> None:
        self._ends = connect(self._reactor, *self._arguments, gone=self._gone, dropped=self._dropped)

    def _gone(self) -> None:
        self._ends = None
        if self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
        else:
            self._connecting.wake(RETRY)
