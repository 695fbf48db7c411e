"""The upstream HTTP API as a client calls it, over one route or several (UPSTREAM.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cim.client.routes import REST_SECONDS, Routes, check_place, is_loopback, parse_route
from cim.ecim import InvalidField, Unavailable, Unreachable
from cim.model import Account, ServerAddress
from cim.web.calling import JSONCalls

__all__ = ["REST_SECONDS", "RouteAPI", "is_loopback", "parse_route"]


class RouteAPI:
    """Calls the routes, each call the next one in turn, so that calls are spread over all of them.

    A route to which no connection can be made is passed over, and so is, for calls that may be done twice (all but
    messages), one that lost the connection or gave no answer in time; it is asked last for a while. A message is
    repeated only when it was certainly not sent: else the caller is told that its fate is unknown. Whoever waits for
    each answer before the next call has messages handled in that order, over however many routes; only behind one of
    unknown fate may a later message arrive first.

    :param routes: base URLs, at least one
    """

    def __init__(self, calls: JSONCalls, clock: IReactorTime, routes: Sequence[str]) -> None:
        self._calls = calls
        self._routes = Routes(clock, routes)

    async def register(self, name: str) -> Account:
        """Return the account of that name, made now when there is none."""
        route, data = await self._call("registerAccount", {"userName": name})
        try:
            return Account(int(data["userId"]), name)
        except (TypeError, KeyError, ValueError):
            raise _unexpected(route, "registerAccount")

    async def login(self, account: Account) -> ServerAddress:
        """Return the server to which the user shall connect.

        :raises Misdirected: a route elsewhere names a server on this machine
        :raises RepeatLogin, NoServerAvailable, AccountMismatch: as the route answers
        """
        route, data = await self._call("login", {"userId": account.id, "userName": account.name})
        try:
            address = ServerAddress.parse(f"{data['ip']}:{data['cimServerPort']}:{data['httpPort']}")
        except (TypeError, KeyError, InvalidField):
            raise _unexpected(route, "login")
        check_place(route, address.host)
        return address

    async def log_out(self, user: int) -> None:
        """End the user's session, wherever it is."""
        await self._call("offLine", {"userId": user, "msg": "offLine"})

    async def online_users(self) -> Sequence[Account]:
        """Return who is online."""
        route, data = await self._call("onlineUser", None)
        try:
            return [Account(int(user["userId"]), str(user["userName"])) for user in data or ()]
        except (TypeError, KeyError, ValueError):
            raise _unexpected(route, "onlineUser")

    async def fetch_offline(self, user: int) -> None:
        """Have what was missed pushed over the user's connection."""
        await self._call("fetchOfflineMsgs", {"receiveUserId": user})

    async def send_group(self, sender: int, text: str) -> None:
        """Say something to everyone online.

        :raises Unreachable: it was certainly not sent
        :raises Unavailable: it is unknown whether it was
        """
        await self._call("groupRoute", {"userId": sender, "msg": text}, repeat=False)

    async def send_private(self, sender: int, receiver: int, text: str) -> None:
        """Say something to one user; fails as `send_group` and with UserOffline."""
        await self._call("p2pRoute", {"userId": sender, "receiveUserId": receiver, "msg": text}, repeat=False)

    async def _call(self, path: str, obj: dict[str, Any] | None, *, repeat: bool = True) -> tuple[str, Any]:
        """Return the route that answered and the data of its answer.

        :param repeat: whether the call may be done twice
        """
        failed: Unavailable = Unreachable()
        for route in self._routes.in_turn():
            url = f"{route}/{path}"
            try:
                envelope = await (self._calls.get(url) if obj is None else self._calls.post(url, obj))
            except Unavailable as error:
                self._routes.failed(route)
                if not repeat and not isinstance(error, Unreachable):
                    raise
                if isinstance(failed, Unreachable):
                    failed = error
            else:
                return route, envelope.result()
        raise failed


def _unexpected(route: str, path: str) -> Unavailable:
    return Unavailable(f"{route}/{path} answered something else than this version expects")
