"""Handles what servers send over the links (docs/architecture.md, Links)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from cim.interfaces import ILink, ILinkUser
from cim.model import GUEST
from cim.route.front.requests import Requests
from cim.route.messages.grouping import Grouping
from cim.route.presence.calls import LinkCalls
from cim.route.presence.leases import Leases
from cim.route.presence.peers import Peers
from cim.route.presence.presence import Host, Presence
from cim.route.presence.views import Views
from cim.route.presence.whereabouts import Whereabouts
from cim.wire.link_pb2 import Closed, Fence, GroupsSeen, Item, Opened, Outcome, SnapshotBegin, SnapshotEnd


@implementer(ILinkUser)
class Downlink:
    """The route's end of all its links.

    :param refused: called with a short name for an item that was not understood
    """

    _log = Logger()

    def __init__(
        self,
        *,
        presence: Presence,
        leases: Leases,
        calls: LinkCalls,
        requests: Requests,
        grouping: Grouping,
        refused: Callable[[str], None],
        views: Views,
        whereabouts: Whereabouts,
        peers: Peers,
    ) -> None:
        self._presence = presence
        self._leases = leases
        self._calls = calls
        self._requests = requests
        self._grouping = grouping
        self._refused = refused
        # Handlers by kind of item: for any link, and for links whose server is known.
        self._received: dict[str, Callable[[ILink, Any], None]] = {
            "request": requests.received,
            "outcome": calls.answered,
            "receipts": requests.receipts,
            "open": requests.opened,
            "relay": peers.asked,
            "relayed": calls.answered,
        }
        self._received_from: dict[str, Callable[[Host, ILink, Any], None]] = {
            "opened": self._opened,
            "closed": self._closed,
            "groups_seen": self._groups_seen,
            "fence": self._fence,
            "snapshot_begin": self._snapshot_begin,
            "snapshot_end": self._snapshot_end,
            "view": views.viewed,
            "load": views.loaded,
            "at": whereabouts.told,
        }
        #: Called with the epoch of the store that a server was told last, or 0.
        self.on_epoch: list[Callable[[int], None]] = []
        #: Called with each new link.
        self.on_link: list[Callable[[ILink], None]] = []
        #: Called when a server's snapshot is complete or a server has gone.
        self.on_change: list[Callable[[], None]] = []

    def link_up(self, link: ILink) -> None:
        """Take up a new link to a server."""
        self._log.info("server {server} is linked", server=link.peer.name)
        self._leases.linked(self._presence.link_up(link))
        for listener in self.on_link:
            listener(link)

    def link_down(self, link: ILink, reason: str) -> None:
        """Give up a link that was lost."""
        self._log.info("link to server {server} is gone: {reason}", server=link.peer.name, reason=reason)
        host = self._presence.link_down(link)
        self._calls.link_down(link)
        self._requests.link_down(link)
        if host is not None:
            self._leases.lost(host)
        self._changed()

    def link_received(self, link: ILink, item: Item) -> None:
        """Handle an item from a server."""
        kind = item.WhichOneof("item")
        receive = self._received.get(kind) if kind is not None else None
        if receive is not None:
            receive(link, getattr(item, kind))
            return
        host = self._presence.host_of(link)
        if host is None:
            return
        receive_from = self._received_from.get(kind) if kind is not None else None
        if receive_from is None:
            self._refused("unknown-link-item")
        else:
            receive_from(host, link, getattr(item, kind))

    def _opened(self, host: Host, link: ILink, opened: Opened) -> None:
        device = opened.device or GUEST
        self._presence.opened(
            host, opened.user, opened.name, opened.session, opened.owner, opened.home, device, opened.again
        )
        if opened.call:
            link.send(Item(outcome=Outcome(call=opened.call)))

    def _closed(self, host: Host, link: ILink, closed: Closed) -> None:
        self._presence.closed(host, closed.session, closed.home)
        self._requests.session_closed(link, closed.session)

    def _groups_seen(self, host: Host, link: ILink, seen: GroupsSeen) -> None:
        for listener in self.on_epoch:
            listener(seen.epoch)
        self._grouping.seen(link, seen.version, seen.epoch)

    def _fence(self, host: Host, link: ILink, fence: Fence) -> None:
        link.send(Item(outcome=Outcome(call=fence.call)))

    def _snapshot_begin(self, host: Host, link: ILink, begin: SnapshotBegin) -> None:
        self._presence.snapshot_begin(host)

    def _snapshot_end(self, host: Host, link: ILink, end: SnapshotEnd) -> None:
        self._presence.snapshot_end(host)
        self._changed()

    def _changed(self) -> None:
        for listener in self.on_change:
            listener()
