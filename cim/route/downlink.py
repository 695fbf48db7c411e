"""What the route hears on its links to servers (DESIGN.md section 6)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from zope.interface import implementer

from cim.icim import ILink, ILinkUser
from cim.model import GUEST
from cim.route.calls import LinkCalls
from cim.route.grouping import Grouping
from cim.route.leases import Leases
from cim.route.presence import Presence
from cim.route.requests import Requests
from cim.wire.link_pb2 import Item, Outcome


@implementer(ILinkUser)
class Downlink:
    """The route's end of all its links.

    :param refused: called with a short name for what was not understood
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
    ) -> None:
        self._presence = presence
        self._leases = leases
        self._calls = calls
        self._requests = requests
        self._grouping = grouping
        self._refused = refused
        #: Called when a server's snapshot is complete or a server is gone.
        self.on_change: list[Callable[[], None]] = []

    def link_up(self, link: ILink) -> None:
        """A server is linked."""
        self._log.info("server {server} is linked", server=link.peer.name)
        self._leases.linked(self._presence.link_up(link))

    def link_down(self, link: ILink, reason: str) -> None:
        """A server's link is gone."""
        self._log.info("link to server {server} is gone: {reason}", server=link.peer.name, reason=reason)
        host = self._presence.link_down(link)
        self._calls.link_down(link)
        self._requests.link_down(link)
        if host is not None:
            self._leases.lost(host)
        self._changed()

    def link_received(self, link: ILink, item: Item) -> None:
        """Note what a server says."""
        kind = item.WhichOneof("item")
        if kind == "outcome":
            self._calls.answered(item.outcome)
            return
        if kind == "request":
            self._requests.received(link, item.request)
            return
        if kind == "guest_receipts":
            self._requests.guest_receipts(link, item.guest_receipts)
            return
        host = self._presence.host_of(link)
        if host is None:
            return
        if kind == "opened":
            opened = item.opened
            device = opened.device or GUEST
            self._presence.opened(host, opened.user, opened.name, opened.session, opened.owner, opened.home, device)
            if opened.call:
                link.send(Item(outcome=Outcome(call=opened.call)))
        elif kind == "closed":
            self._presence.closed(host, item.closed.session, item.closed.home)
            self._requests.session_closed(link, item.closed.session)
        elif kind == "open":
            self._requests.opened(link, item.open)
        elif kind == "groups_seen":
            self._grouping.seen(link, item.groups_seen.version)
        elif kind == "fence":
            link.send(Item(outcome=Outcome(call=item.fence.call)))
        elif kind == "snapshot_begin":
            self._presence.snapshot_begin(host)
        elif kind == "snapshot_end":
            self._presence.snapshot_end(host)
            self._changed()
        else:
            self._refused("unknown-link-item")

    def _changed(self) -> None:
        for listener in self.on_change:
            listener()
