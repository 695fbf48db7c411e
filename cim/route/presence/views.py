"""What servers say of which routes they tell of whom (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.route.presence.presence import Host, Presence
from cim.selection import Shares
from cim.supervision import Loop
from cim.wire.link_pb2 import Item, Load, Outcome, View

#: How many sessions are looked at in one reactor turn.
CHUNK = 500


class Views:
    """Takes over servers' shares, and forgets, some at a time, the sessions of which this route is told no more."""

    def __init__(self, presence: Presence, clock: IReactorTime) -> None:
        self._presence = presence
        self._clock = clock
        # What still looks at a server's sessions.
        self._looking: dict[Host, Loop] = {}

    def viewed(self, host: Host, link: ILink, view: View) -> None:
        """Take over a server's shares; they hold once what it told before is gone."""
        shares = Shares(tuple(view.sharing), tuple(view.others))
        looking = self._looking.pop(host, None)
        if looking is not None:
            looking.stop()
        if shares != host.shares or looking is not None:
            host.shares, host.moving = shares, True
            self._presence.uncertain(host)
            what = f"forgetting what server {host.place.server} tells another route"
            sessions = iter(list(host.sessions.items()))
            looking = self._looking[host] = Loop(what, partial(self._look, host, sessions, view.moving), self._clock)
            looking.start()
        elif view.moving != host.moving:
            self._over(host, view.moving)
        if view.call:
            link.send(Item(outcome=Outcome(call=view.call)))

    def _look(self, host: Host, sessions: Iterator[tuple[str, object]], moving: bool) -> float | None:
        if self._presence.hosts.get(host.place.server) is not host:
            self._looking.pop(host, None)
            return None
        some = list(islice(sessions, CHUNK))
        for session, _ in some:
            online = host.sessions.get(session)
            if online is not None and not self._presence.is_told(host, online.user):
                self._presence.moved(host, session)
        if len(some) == CHUNK:
            return 0.0
        self._looking.pop(host, None)
        self._over(host, moving)
        return None

    def _over(self, host: Host, moving: bool) -> None:
        host.moving = moving
        if not moving and host.shares is not None and len(host.shares.sharing) == 1:
            host.load = None
        self._presence.uncertain(host)

    def loaded(self, host: Host, link: ILink, load: Load) -> None:
        """Note how many sessions a server says it has."""
        host.load = load.sessions
