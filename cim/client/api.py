"""Upstream's HTTP API for clients, over one route or several (docs/http-api.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from cim.client.dialling import Entrance
from cim.client.routes import Routes, check_place
from cim.model import Account
from cim.nodes import ServerAddress, bracketed
from cim.web.calling import Envelope, JSONCalls
from cim.wire.guests import TLS_NAME

T = TypeVar("T")


class RouteAPI:
    """Calls the routes. A send is repeated only if it was certainly not done; all other calls may be done twice."""

    def __init__(self, calls: JSONCalls, routes: Routes) -> None:
        self._calls = calls
        self._routes = routes

    async def register(self, name: str) -> Account:
        """Return the account with a name, and create it if there is none."""
        _, account = await self._call(
            "registerAccount", {"userName": name}, lambda data: Account(int(data["userId"]), name)
        )
        return account

    async def login(self, account: Account) -> Entrance:
        """Return the server that the user must connect to.

        :raises Misdirected: a route on another machine names a server on a loopback address
        :raises RepeatLogin, NoServerAvailable, AccountMismatch: as the route answers
        """
        message = {"userId": account.id, "userName": account.name}
        route, (host, port, tls_name) = await self._ask("login", message, _entrance)
        check_place(route, host)
        return Entrance(route, host, port, tls_name)

    async def log_out(self, user: int) -> None:
        """End the user's session, wherever it is."""
        await self._call("offLine", {"userId": user, "msg": "offLine"}, _nothing)

    async def online_users(self) -> Sequence[Account]:
        """Return who is online."""
        _, users = await self._call(
            "onlineUser",
            None,
            lambda data: [Account(int(user["userId"]), str(user["userName"])) for user in data or ()],
        )
        return users

    async def fetch_offline(self, user: int) -> None:
        """Have missed messages pushed over the user's connection."""
        await self._call("fetchOfflineMsgs", {"receiveUserId": user}, _nothing)

    async def send_group(self, sender: int, text: str) -> None:
        """Send a message to everyone online.

        :raises Unreachable: it was certainly not sent
        :raises Unavailable: it may or may not have been sent
        """
        await self._call("groupRoute", {"userId": sender, "msg": text}, _nothing, repeat=False)

    async def send_private(self, sender: int, receiver: int, text: str) -> None:
        """Send a message to one user; fails as `send_group` does, and with UserOffline."""
        message = {"userId": sender, "receiveUserId": receiver, "msg": text}
        await self._call("p2pRoute", message, _nothing, repeat=False)

    async def _call(
        self, path: str, obj: dict[str, Any] | None, read: Callable[[Any], T], *, repeat: bool = True
    ) -> tuple[str, T]:
        """Return the route that answered, and the data of its answer as parsed by `read`; see `_ask`."""
        return await self._ask(path, obj, lambda envelope: read(envelope.result()), repeat=repeat)

    async def _ask(
        self, path: str, obj: dict[str, Any] | None, read: Callable[[Envelope], T], *, repeat: bool = True
    ) -> tuple[str, T]:
        """Return the route that answered, and its answer as parsed by `read`.

        :param repeat: whether the call may be done twice
        """

        def once(route: str) -> Deferred[Envelope]:
            url = f"{route}/{path}"
            return self._calls.get(url) if obj is None else self._calls.post(url, obj)

        # Any refusal is an answer: no other route is asked.
        return await self._routes.call(once, read, repeat=repeat)


def _entrance(answer: Envelope) -> tuple[str, int, str]:
    data = answer.result()
    address = ServerAddress.parse(f"{bracketed(str(data['ip']))}:{data['cimServerPort']}:{data['httpPort']}")
    return address.host, address.tcp_port, (answer.headers.getRawHeaders(TLS_NAME) or [""])[0]


def _nothing(data: Any) -> None:
    """Ignore the data: only the fact that the route answered matters."""
