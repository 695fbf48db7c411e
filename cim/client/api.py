"""The upstream HTTP API as a client calls it, over one route or several (UPSTREAM.md section 2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from hyperlink import URL, URLParseError

from twisted.internet.interfaces import IReactorTime

from cim.ecim import InvalidField, Misdirected, Unavailable, Unreachable
from cim.model import Account, ServerAddress
from cim.web.calling import JSONCalls

#: How long a route that failed is asked last, seconds.
REST_SECONDS = 5.0


def parse_route(text: str) -> str:
    """Return a route's base URL without a slash at its end; a missing scheme is http.

    :raises InvalidField: when it is no http or https URL with a host
    """
    try:
        url = URL.from_text(text if "://" in text else f"http://{text}").replace(query=(), fragment="")
        if url.scheme in ("http", "https") and url.host and url.port and url.port < 65536:
            # hyperlink cannot encode IPv6 addresses, which are ASCII anyway.
            return (url if url.host.isascii() and ":" in url.host else url.to_uri()).to_text().rstrip("/")
    except (URLParseError, ValueError):
        pass
    raise InvalidField("route", f"{text[:200]!r} is not a URL such as http://127.0.0.1:8083")


def is_loopback(host: str) -> bool:
    """Return whether `host` can only mean the machine that reads it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


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
        self._clock = clock
        self._routes = [parse_route(route) for route in routes]
        self._resting = dict.fromkeys(self._routes, 0.0)
        self._next = 0

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
        if is_loopback(address.host) and not is_loopback(URL.from_text(route).host):
            raise Misdirected(
                f"the route {route} names a server at {address.host}, which others cannot reach:"
                " start that server with --advertise and an address of its machine"
            )
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

    def _in_turn(self) -> list[str]:
        start, self._next = self._next, (self._next + 1) % len(self._routes)
        now = self._clock.seconds()
        return sorted(self._routes[start:] + self._routes[:start], key=lambda route: self._resting[route] > now)

    async def _call(self, path: str, obj: dict[str, Any] | None, *, repeat: bool = True) -> tuple[str, Any]:
        """Return the route that answered and the data of its answer.

        :param repeat: whether the call may be done twice
        """
        failed: Unavailable = Unreachable()
        for route in self._in_turn():
            url = f"{route}/{path}"
            try:
                envelope = await (self._calls.get(url) if obj is None else self._calls.post(url, obj))
            except Unavailable as error:
                self._resting[route] = self._clock.seconds() + REST_SECONDS
                if not repeat and not isinstance(error, Unreachable):
                    raise
                if isinstance(failed, Unreachable):
                    failed = error
            else:
                return route, envelope.result()
        raise failed


def _unexpected(route: str, path: str) -> Unavailable:
    return Unavailable(f"{route}/{path} answered something else than this version expects")
