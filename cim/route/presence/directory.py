"""The live servers, kept in memory as the registry lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import InvalidField
from cim.model import Candidate
from cim.nodes import NodeData, ServerAddress
from cim.plain import quoted
from cim.route.presence.presence import Host, Presence

#: How many names of one kind a line of the log or `/health` shows.
_SHOWN = 10


class Directory:
    """Knows which servers are listed, which of them are ours, and which can take a login.

    :param upstream_servers: whether nodes without our data are upstream's servers; otherwise they are ignored, because
        anyone who can write to the registry could get guests' logins and messages by listing such a node
    """

    _log = Logger()

    def __init__(self, presence: Presence, *, upstream_servers: bool = False) -> None:
        self._presence = presence
        self._upstream_servers = upstream_servers
        #: Our own servers by name, upstream's, and nodes that are neither.
        self.ours: dict[str, NodeData] = {}
        self.upstream: set[str] = set()
        self.ignored: set[str] = set()
        self._names: list[str] = []
        #: Called with each server of upstream that is no longer listed.
        self.on_upstream_gone: list[Callable[[str], None]] = []
        self._heard = False
        self._waiting: list[Deferred[None]] = []
        self._given_up = False

    def listed(self, nodes: Mapping[str, bytes]) -> None:
        """Take over the registry's list."""
        ours: dict[str, NodeData] = {}
        foreign = set()
        for name, value in nodes.items():
            try:
                ServerAddress.parse(name)
            except InvalidField as error:
                self._log.warn(
                    "ignored {name} in the registry, which is not a server: {error}", name=quoted(name), error=error
                )
                continue
            data = NodeData.decode(value)
            if data is None:
                foreign.add(name)
            else:
                ours[name] = data
        upstream, ignored = (foreign, set()) if self._upstream_servers else (set(), foreign)
        if ours.keys() != self.ours.keys() or upstream != self.upstream:
            self._log.info("servers: {ours}; of upstream: {upstream}", ours=sorted(ours), upstream=sorted(upstream))
        if ignored - self.ignored:
            self._log.warn(
                "the registry lists {count} nodes without data of ours, which are ignored: {names}. If they are "
                "upstream's servers, start the routes with --upstream-servers",
                count=len(ignored),
                names=", ".join(sorted(ignored)[:_SHOWN]),
            )
        self.ignored = ignored
        gone = self.upstream - upstream
        self.ours = ours
        self.upstream = upstream
        self._names = sorted([*ours, *upstream])
        self._heard = True
        self.changed()
        for server in sorted(gone):
            for listener in self.on_upstream_gone:
                listener(server)

    def facts(self) -> dict[str, Any]:
        """Return what `/health` shows of the nodes that are ignored."""
        return {"ignored_servers": sorted(self.ignored)[:_SHOWN]} if self.ignored else {}

    def websockets(self) -> list[str]:
        """Return the URLs of our servers' WebSockets."""
        return sorted({data.websocket for data in self.ours.values() if data.websocket})

    def linked(self, name: str) -> Host | None:
        """Return one of our servers if it is listed and linked, else None."""
        host = self._presence.hosts.get(name)
        return host if host is not None and host.link is not None and name in self.ours else None

    def candidates(self, without: frozenset[str] | set[str] = frozenset(), *, native: bool = False) -> list[Candidate]:
        """Return the servers that a login may go to, by name: ours if listed and linked, upstream's if listed.

        :param native: for a native session, which upstream's servers cannot take
        """
        found: list[Candidate] = []
        for name in self._names:
            if name in without:
                continue
            if name in self.ours:
                host = self._presence.hosts.get(name)
                if host is not None and host.link is not None:
                    found.append(Candidate(name, host.count))
            elif not native:
                found.append(Candidate(name))
        return found

    @property
    def caught_up(self) -> bool:
        """Whether every listed server is linked and has sent its sessions, or the wait for them is over."""
        if self._given_up:
            return True
        if not self._heard:
            return False
        hosts = self._presence.hosts
        return all(name in hosts and hosts[name].complete for name in self.ours)

    def when_caught_up(self) -> Deferred[None]:
        """Fire once `caught_up` has become true: a route that just started knows no sessions yet."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self.changed()
        return waiting

    def give_up_waiting(self) -> None:
        """Start working with the servers that are known."""
        self._given_up = True
        self.changed()

    def changed(self) -> None:
        """Check whether everything is known now."""
        if self.caught_up:
            self._given_up = True
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)
