"""`/v1/admin/status` and `/v1/admin/sessions`: what operators see of the cluster, as this route knows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

import cim
from cim.api_keys import Scope
from cim.daemon.metrics import Metrics
from cim.errors import Unavailable
from cim.model import Health
from cim.nodes import RouteAddress
from cim.route.http.access import Caller
from cim.route.http.shapes import ACCOUNT, MORE_NAME, PAGE, limit
from cim.route.presence.directory import Directory
from cim.route.presence.listings import Listings
from cim.route.presence.presence import Presence
from cim.route.presence.route_list import RouteList
from cim.web.declaring import Who, http_call
from cim.web.schema import Anything, Array, Boolean, Integer, Nullable, Object, Optional, Text

#: How many users one call looks at for those who are at one server.
LOOKED = 1000
_VERSION = Nullable(Text(64, about="The version of CIM that it says it is; null if it does not say."))
_SERVER = Object(
    {
        "name": Text(300, about="Its name in the registry."),
        "version": _VERSION,
        "listed": Boolean("The registry lists it."),
        "linked": Boolean("It has a link to the route that answers."),
        "sessions": Integer(0, 1 << 53, "The sessions that the route which answers knows of there."),
    },
    "ServerStatus",
)
_ROUTE = Object({"name": Text(300, about="Its name in the registry."), "version": _VERSION}, "RouteStatus")
_STATUS = Object(
    {
        "route": Text(300, about="The route that answers."),
        "version": Text(64, about="Its version."),
        "ok": Boolean("All of its parts are well."),
        "parts": Anything("Each part, with `ok` or a sentence that says what is wrong."),
        "facts": Anything("As `/health` tells them."),
        "online": Integer(0, 1 << 53, "How many users are online."),
        "servers": Array(_SERVER, "By name."),
        "routes": Array(_ROUTE, "Those that the registry lists, by name."),
    },
    "Status",
)
_FIGURES = Object({"figures": Anything("Each metric by its name: a list of labels and values.")}, "Figures")
_SESSION = Object(
    {
        "user": ACCOUNT,
        "device": Text(64, about="Its device, or `guest`."),
        "server": Text(300, about="The server's name in the registry."),
    },
    "LiveSession",
)
_SESSIONS = Object({"sessions": Array(_SESSION, "By the names of their users."), "more": MORE_NAME}, "LiveSessions")


@frozen(kw_only=True, eq=False)
class StatusAPI:
    """The calls.

    :param health: returns the health of all parts of the daemon
    """

    _address: RouteAddress
    _health: Callable[[], Health]
    _presence: Presence
    _directory: Directory
    _routes: RouteList
    _listings: Listings
    _metrics: Metrics

    @http_call("GET /v1/admin/status", who=Who.OPERATOR, scope=Scope.ADMIN, answers={200: _STATUS})
    async def status(self, caller: Caller) -> dict[str, Any]:
        """Tell how the cluster is.

        All of it is as the route that answers knows it, which is not as others may know it. If another route does not
        answer it, `online` counts only those of whom servers tell this one.
        """
        try:
            online = await self._listings.total()
        except Unavailable:
            online = len(self._presence)
        health = self._health()
        own = str(self._address)
        routes = {own: cim.__version__, **{name: data.version for name, data in self._routes.listed.items()}}
        return {
            "route": own,
            "version": cim.__version__,
            "ok": health.ok,
            "parts": {name: reason or "ok" for name, reason in health.parts.items()},
            # Whatever facts are, as /health has them.
            "facts": json.loads(json.dumps(health.facts, default=str)),
            "online": online,
            "servers": list(self._servers()),
            "routes": [{"name": name, "version": version or None} for name, version in sorted(routes.items())],
        }

    @http_call(
        "GET /v1/admin/figures",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        query={
            "names": Optional(Text(1024, about="Only those whose names begin with one of these, between commas."), "")
        },
        answers={200: _FIGURES},
    )
    def figures(self, caller: Caller, names: str) -> dict[str, Any]:
        """Return the metrics of the daemon that answers, those of its process left out.

        They are those of `/metrics`, as JSON. Counters begin at 0 when the daemon starts.
        """
        beginnings = tuple(names.split(","))
        found = self._metrics.figures()
        return {"figures": {name: samples for name, samples in found.items() if name.startswith(beginnings)}}

    def _servers(self) -> Iterator[Mapping[str, Any]]:
        hosts, ours, upstream = self._presence.hosts, self._directory.ours, self._directory.upstream
        for name in sorted({*hosts, *ours, *upstream}):
            host = hosts.get(name)
            yield {
                "name": name,
                "version": (ours[name].version or None) if name in ours else None,
                "listed": name in ours or name in upstream,
                "linked": host is not None and host.link is not None,
                "sessions": host.count if host is not None else 0,
            }

    @http_call(
        "GET /v1/admin/sessions",
        who=Who.OPERATOR,
        scope=Scope.READ,
        query={
            "server": Optional(Text(300, about="Only those at this server, by its name in the registry."), ""),
            "after": Optional(Text(256, about="`more` of the previous page."), ""),
            "limit": Optional(limit(), PAGE),
        },
        answers={200: _SESSIONS},
    )
    async def all_sessions(self, caller: Caller, server: str, after: str, limit: int) -> dict[str, Any]:
        """List the sessions at all servers, or at one.

        A page ends behind a user, so it may have somewhat more than `limit` sessions, or few or none even if more
        follow. Sessions at servers of crossoverJie/cim are not included.
        """
        if not self._directory.caught_up:
            await self._directory.when_caught_up()
        page = await self._listings.page(after=after, limit=LOOKED if server else limit)
        shown: list[dict[str, Any]] = []
        more = page.more
        for at, (user, sessions) in enumerate(page.users, 1):
            shown += (
                {"user": {"id": user.id, "name": user.name}, "device": one.device, "server": one.server}
                for one in sessions
                if server in ("", one.server)
            )
            after = user.name
            if len(shown) >= limit:
                more = more or at < len(page.users)
                break
        return {"sessions": shown, "more": after if more else None}
