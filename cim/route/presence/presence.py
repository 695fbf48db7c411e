"""Who is connected where, as reported over the links (docs/architecture.md, Presence and leases).

A lost link is not a lost server: the sessions of a server stay until it is declared dead, comes back with a snapshot,
or a new run of its process takes its name. A route is told of its share of the users (`cim.selection.Shares`);
`cim.route.presence.whereabouts` knows where others are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from attrs import define, field

from cim.interfaces import ILink
from cim.model import GUEST, Account, Place
from cim.selection import SHARING, Shares


@define(eq=False)
class Online:
    """A session on one of our servers.

    :ivar home: whether this route writes its record
    :ivar again: whether it was opened before this route was told of it
    """

    user: int
    name: str
    session: str
    owner: str
    home: bool
    device: str
    host: Host
    again: bool = False


@define(eq=False)
class Host:
    """A server that is or was linked to this route.

    :ivar link: None while it is not linked
    :ivar complete: whether the whole snapshot arrived over the present link
    :ivar shares: which routes it tells of whom; None if it tells all of everyone, as servers of earlier releases do
    :ivar moving: whether shares move, so that nothing is certain
    :ivar since: the number of the last change of links and shares that made something uncertain here
    :ivar load: how many sessions it says it has; None if this route knows of all
    """

    place: Place
    link: ILink | None
    sessions: dict[str, Online] = field(factory=dict)
    complete: bool = False
    unseen: dict[str, Online] | None = None
    shares: Shares | None = None
    moving: bool = False
    since: int = 0
    load: int | None = None

    @property
    def count(self) -> int:
        """How many sessions it has, as far as this route knows."""
        return len(self.sessions) if self.load is None else self.load


class PresenceObserver(Protocol):
    """Is notified of changes of presence."""

    def appeared(self, online: Online) -> None:
        """Note a session that was opened, or was reported again with another home."""

    def vanished(self, online: Online) -> None:
        """Note a session that was closed."""

    def died(self, online: Online) -> None:
        """Note a session that ended with its server; its record expires with the server's lease."""

    def moved(self, online: Online) -> None:
        """Note a session of which another route is told from now on."""


class Presence:
    """All sessions that were reported over the links.

    :param route: this route's name
    :ivar number: how often links and shares have changed so that something became uncertain
    :ivar agreed: whether all servers tell the same routes of the same users, and have done so
    :ivar whole: whether this route is told of everyone by all servers
    :ivar on_change: called when any of these may have changed
    """

    def __init__(self, route: str = "") -> None:
        self.route = route
        self.hosts: dict[str, Host] = {}
        self.observers: list[PresenceObserver] = []
        self.number = 0
        self.agreed = self.whole = True
        self.on_change: list[Callable[[], None]] = []
        self._by_user: dict[int, tuple[Online, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_user)

    def of(self, user: int) -> tuple[Online, ...]:
        """Return the sessions of a user."""
        return self._by_user.get(user, ())

    def guests(self) -> Iterator[Account]:
        """Return the guests who are online, of those of whom this route is told."""
        for user, sessions in self._by_user.items():
            for online in sessions:
                if online.device == GUEST:
                    yield Account(user, online.name)
                    break

    def links(self) -> Iterable[ILink]:
        """Return the live links to servers."""
        return [host.link for host in self.hosts.values() if host.link is not None]

    def link_up(self, link: ILink) -> Host:
        """Note a new link to a server; a former run under the same name is dead."""
        place = link.peer.place
        host = self.hosts.get(place.server)
        if host is not None and host.place != place:
            self.forget(host)
            host = None
        if host is None:
            host = self.hosts[place.server] = Host(place, link)
        host.link = link
        host.complete = False
        host.unseen = None
        host.moving = link.version >= SHARING
        if not host.moving:
            host.shares = host.load = None
        self.uncertain(host)
        return host

    def uncertain(self, host: Host) -> None:
        """Note that what is known of a server by hearsay may not be so any more."""
        self.number += 1
        host.since = self.number
        self._changed()

    def _changed(self) -> None:
        hosts = self.hosts.values()
        shares = {host.shares for host in hosts}
        self.agreed = len(shares) <= 1 and not any(host.moving for host in hosts)
        self.whole = self.agreed and all(one is None or one.sharing == (self.route,) for one in shares)
        for listener in self.on_change:
            listener()

    def link_down(self, link: ILink) -> Host | None:
        """Note a lost link; return its server if it was that server's present link."""
        host = self.hosts.get(link.peer.name)
        if host is None or host.link is not link:
            return None
        host.link = None
        host.complete = False
        return host

    def host_of(self, link: ILink) -> Host | None:
        """Return the server that has this as its present link, or None."""
        host = self.hosts.get(link.peer.name)
        return host if host is not None and host.link is link else None

    def snapshot_begin(self, host: Host) -> None:
        """Start a snapshot: the server now reports all of its sessions."""
        host.unseen = dict(host.sessions)

    def snapshot_end(self, host: Host) -> None:
        """End a snapshot: sessions that were not in it have ended."""
        unseen, host.unseen = host.unseen, None
        host.complete = True
        for online in (unseen or {}).values():
            if self.is_told(host, online.user):
                self.closed(host, online.session, online.home)
            else:
                self.moved(host, online.session)

    def is_told(self, host: Host, user: int) -> bool:
        """Return whether this route is told of a user's sessions at a server."""
        return host.shares is None or self.route in host.shares.told(user)

    def opened(
        self,
        host: Host,
        user: int,
        name: str,
        session: str,
        owner: str,
        home: bool,
        device: str,
        again: bool = False,
    ) -> None:
        """Note a session that was opened, or reported again."""
        if host.unseen is not None:
            host.unseen.pop(session, None)
        online = host.sessions.get(session)
        if online is None:
            online = host.sessions[session] = Online(user, name, session, owner, home, device, host, again)
            self._by_user[user] = (*self._by_user.get(user, ()), online)
        else:
            online.home = home
        for observer in self.observers:
            observer.appeared(online)

    def closed(self, host: Host, session: str, home: bool) -> None:
        """Note a session that has ended.

        :param home: whether this route is its home now, since homes move when links come and go
        """
        online = host.sessions.pop(session, None)
        if online is None:
            return
        if host.unseen is not None:
            host.unseen.pop(session, None)
        online.home = home
        self._drop(online)
        for observer in self.observers:
            observer.vanished(online)

    def moved(self, host: Host, session: str) -> None:
        """Note a session of which this route is told no more, though it goes on."""
        online = host.sessions.pop(session, None)
        if online is not None:
            self._drop(online)
            for observer in self.observers:
                observer.moved(online)

    def forget(self, host: Host) -> None:
        """Forget a dead server and all its sessions; their records expire with its lease."""
        if self.hosts.get(host.place.server) is host:
            del self.hosts[host.place.server]
        host.link = None
        sessions, host.sessions = host.sessions, {}
        for online in sessions.values():
            self._drop(online)
            for observer in self.observers:
                observer.died(online)
        self._changed()

    def _drop(self, online: Online) -> None:
        left = tuple(other for other in self._by_user.get(online.user, ()) if other is not online)
        if left:
            self._by_user[online.user] = left
        else:
            self._by_user.pop(online.user, None)
