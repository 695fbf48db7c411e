"""A registry that is a fixed list in the configuration, for clusters whose members never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Self

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.errors import InvalidField
from cim.interfaces import ROUTES, SERVERS, IAnnouncement, IRegistry
from cim.nodes import NodeData, RouteAddress, ServerAddress
from cim.plain import quoted
from cim.registry.listing import Listener, Listing

#: The key of one of upstream's servers in the text form.
UPSTREAM = "upstream"

#: The value of a listed member of ours: it says that the member is ours, and nothing that only its process could know.
_OURS = NodeData(version="", incarnation="").encode()


@implementer(IRegistry)
class StaticRegistry(Service):
    """Always lists what it was made with; announcements change nothing.

    Members of ours have a NodeData with an empty version and incarnation (their links reveal the real ones). Upstream's
    servers have no data, as in ZooKeeper, and are called by `POST /sendMsg`.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, members: Mapping[str, Mapping[str, bytes]]) -> None:
        self._reactor = reactor
        self._listings = {folder: self._listing(names) for folder, names in members.items()}

    @classmethod
    def parse(cls, text: str, reactor: IReactorTime) -> Self:
        """Read `cim=host:tcp:http,upstream=host:tcp:http,cim-route=host:http:link,...`: entries in any order.

        `cim` is a server of ours, `upstream` one of upstream's, and `cim-route` a route.

        :raises InvalidField: the text is anything else; says what is wrong
        """
        members: dict[str, dict[str, bytes]] = {SERVERS: {}, ROUTES: {}}
        for entry in text.split(","):
            kind, _, address = entry.strip().partition("=")
            try:
                if kind == ROUTES:
                    folder, name, value = ROUTES, str(RouteAddress.parse(address)), _OURS
                elif kind in (SERVERS, UPSTREAM):
                    folder, name = SERVERS, str(ServerAddress.parse(address))
                    value = _OURS if kind == SERVERS else b""
                else:
                    raise InvalidField(
                        "registry", f"static entries must begin with cim=, upstream= or cim-route=, not {quoted(entry)}"
                    )
            except InvalidField as error:
                raise InvalidField("registry", f"static entry {quoted(entry)}: {error.reason}")
            if name in members[folder]:
                raise InvalidField("registry", f"lists {name} twice")
            members[folder][name] = value
        return cls(reactor, members)

    def announce(self, folder: str, name: str, value: bytes) -> IAnnouncement:
        """Change nothing, but log a warning if `name` is not in the list, so that nobody will find it."""
        if name not in (self._folder(folder).known or {}):
            self._log.warn("{name} is not in the static registry, so nobody will find it", name=f"{folder}={name}")
        return _StaticAnnouncement()

    def watch(self, folder: str, listener: Listener) -> Callable[[], None]:
        """See IRegistry."""
        return self._folder(folder).watch(listener)

    def health(self) -> str:
        """Return "": it is always well."""
        return ""

    def stopService(self) -> None:
        """Call no listener any more."""
        super().stopService()
        for listing in self._listings.values():
            listing.close()

    def _folder(self, folder: str) -> Listing:
        if folder not in self._listings:
            self._listings[folder] = self._listing({})
        return self._listings[folder]

    def _listing(self, names: Mapping[str, bytes]) -> Listing:
        listing = Listing(self._reactor)
        listing.put(names)
        return listing


@implementer(IAnnouncement)
class _StaticAnnouncement:
    def __init__(self) -> None:
        self._withdrawn = False

    def change(self, value: bytes) -> None:
        """Change nothing."""

    def withdraw(self) -> Deferred[None]:
        """See IAnnouncement."""
        self._withdrawn = True
        return succeed(None)

    def listed(self) -> bool:
        """See IAnnouncement."""
        return not self._withdrawn
