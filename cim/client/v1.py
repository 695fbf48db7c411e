"""The `/v1` API for clients, over one route or several (docs/http-api.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from attrs import frozen

from cim.client.dialling import Entrance
from cim.client.routes import Busy, Routes
from cim.client.values import Group, User
from cim.errors import (
    CallTimeout,
    CIMError,
    NotSupported,
    Sanctioned,
    Unavailable,
)
from cim.web.calling import Answer, HTTPCalls
from cim.wire.error_table import of_problem

T = TypeVar("T")

PROBLEM = "application/problem+json"
#: The longest delay that an answer may ask for, in seconds.
MAX_RETRY = 3600


class NotNative(NotSupported):
    """Raised when a route does not have `/v1`, since it is upstream's."""


def retry_after(error: CIMError) -> float:
    """Return after how many seconds to retry; 0 if the answer did not say."""
    return min(float(error.retry_after), MAX_RETRY)


@frozen
class LoggedIn:
    """The answer to a login."""

    user: User
    device: str
    entrance: Entrance
    ticket: str
    token: str


@frozen
class Listed:
    """An entry in the list of conversations."""

    conversation: str
    latest: str
    read: str
    unread: int
    muted_until: int = 0


class V1Calls:
    """Calls the routes with the token of the last login.

    All methods fail with the CIMError that the route's answer stands for: Unreachable if nothing was done, another
    Unavailable if the call may or may not have been done, and NotNative if the route is upstream's.
    """

    def __init__(self, calls: HTTPCalls, routes: Routes) -> None:
        self._calls = calls
        self._routes = routes
        self.token = ""
        #: The password, as far as it is known, and the last one that logged in.
        self.password = ""
        self.proven = ""
        #: How many logins there were of which nobody knows whether they were done.
        self.unknown_logins = 0

    async def log_in(self, name: str, device: str, password: str = "") -> LoggedIn:
        """Log in with the password, or with the token if there is none.

        :param name: empty if only the token knows
        """
        body = {"name": name, "device": device} if name else {"device": device}
        if password:
            body["password"] = password
        unknown = self._routes.unknown
        try:
            route, said = await self._call("POST", "sessions", body, "" if password else self.token, _login)
        finally:
            self.unknown_logins += self._routes.unknown - unknown
        login = said(route)
        self.token, self.proven = login.token, password or self.proven
        return login

    async def create_account(self, name: str, password: str, invitation: str = "") -> None:
        """Create an account."""
        # Routes of earlier releases know of no invitations.
        invited = {"invitation": invitation} if invitation else {}
        await self._call("POST", "accounts", {"name": name, "password": password, **invited}, "", nothing)

    async def change_password(self, current: str, new: str) -> None:
        """Change the password, and take the new token."""
        body = {"password": current, "new_password": new}
        self.token = await self.ask("PUT", "password", lambda said: str(said["token"]), body)
        self.password = new

    async def reset_password(self, code: str, new: str) -> None:
        """Set a new password by a reset code, which an operator made."""
        await self._call("POST", "password-resets", {"code": code, "password": new}, "", nothing)

    async def conversations(self) -> list[Listed]:
        """List the user's conversations, the latest first."""
        return await self.pages("conversations", "conversations", 100, _line)

    async def pages(self, path: str, name: str, limit: int, read: Callable[[Any], T]) -> list[T]:
        """Fetch a list page by page.

        :param name: the field of the list in the answers
        :param limit: items per page
        :param read: parses an item
        """
        found: list[T] = []
        after: Any = None
        while True:
            query = {"limit": limit} if after is None else {"limit": limit, "after": after}
            page, after = await self.ask(
                "GET", path, lambda said: ([read(one) for one in said[name]], said["more"]), query=query
            )
            found += page
            if after is None:
                return found

    async def ask(
        self,
        method: str,
        path: str,
        read: Callable[[Any], T],
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        """Make a call, and return its JSON answer, or None for an empty one, as parsed by `read`."""
        path += f"?{urlencode(query)}" if query else ""
        _, answer = await self._call(method, path, body, self.token, read)
        return answer

    async def _call(self, method: str, path: str, body: Any, token: str, read: Callable[[Any], T]) -> tuple[str, T]:
        """Return the route that answered, and its answer as parsed by `read`."""

        async def once(route: str) -> Any:
            return _read(route, await self._calls.ask(method, f"{route}/v1/{path}", body, token))

        # A login may be done twice.
        return await self._routes.call(once, read, repeat=method != "POST" or path == "sessions")


def nothing(said: Any) -> None:
    """Ignore the answer: only the success of the call matters."""


def _read(route: str, answer: Answer) -> Any:
    """Return the JSON of a successful answer.

    :raises CIMError: the error that any other answer stands for
    """
    said: Any = None
    if answer.body:
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            said = None
    if answer.status in (200, 201, 202, 204) and (answer.status == 204 or isinstance(said, dict)):
        return said
    kind = (answer.headers.getRawHeaders("Content-Type") or [""])[0]
    if not kind.startswith(PROBLEM) or not isinstance(said, dict):
        if answer.status in (200, 404, 405):
            raise NotNative(f"the route {route} does not have the /v1 API")
        raise Unavailable(f"{route} answered HTTP {answer.status}")
    code, detail = str(said.get("code", "")), str(said.get("detail") or said.get("title") or "refused")
    wait = (answer.headers.getRawHeaders("Retry-After") or ["0"])[0]
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else 0
    error = of_problem(answer.status, code, detail, seconds)
    if answer.status >= 500 and not isinstance(error, CallTimeout):
        raise Busy(detail, seconds)
    if isinstance(error, Sanctioned):
        until, reason = said.get("until"), said.get("reason")
        error.until = until if type(until) is int else 0
        error.reason = reason if isinstance(reason, str) else ""
    raise error


def _login(said: Any) -> Callable[[str], LoggedIn]:
    """Return what a login says, given the route that says it."""
    server = said["server"]
    user = User(int(said["user_id"]), str(said["name"]))
    device, ticket, token = str(said["device"]), str(said["ticket"]), str(said["token"])
    host, port = str(server["host"]), int(server["tcp_port"])
    tls_name, websocket = str(server.get("tls") or ""), str(server.get("websocket") or "")
    path = str(server.get("socket") or "")

    def logged_in(route: str) -> LoggedIn:
        # Where the API was reached its WebSockets are reached, too, whatever proxy is in between.
        url = f"ws{'/'.join(route.split('/')[:3]).removeprefix('http')}{path}" if path.startswith("/") else websocket
        return LoggedIn(user, device, Entrance(route, host, port, tls_name, url), ticket, token)

    return logged_in


def _line(said: Any) -> Listed:
    muted = said.get("muted_until", 0)  # routes of earlier releases do not tell
    return Listed(said["conversation"], said["latest"], said["read"], said["unread"], muted)


def user_of(said: Any) -> User:
    """Parse a user."""
    return User(said["id"], said["name"])


def group_of(said: Any) -> Group:
    """Parse a group."""
    return Group(said["id"], said["name"], said["open"], said["history"], said["members"], said.get("muted"))
