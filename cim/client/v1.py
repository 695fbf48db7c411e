"""The `/v1` API as a client calls it, over one route or several (docs/http-api.md)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from attrs import frozen

from cim.client.routes import Routes, check_place
from cim.client.values import Group, Kind, Message, User
from cim.ecim import (
    CallTimeout,
    CIMError,
    NotSupported,
    Unavailable,
    Unreachable,
)
from cim.web.calling import Answer, HTTPCalls
from cim.wire import conversations
from cim.wire.error_table import of_problem

P = ParamSpec("P")
T = TypeVar("T")

PROBLEM = "application/problem+json"
#: The longest time that an answer may tell to stay away, seconds.
MAX_RETRY = 3600
#: Behind every message: what lies before it are the last ones.
END = f"{(1 << 63) - 1}-{(1 << 63) - 1}"
#: Of a page.
MAX_PAGE = 500


class NotNative(NotSupported):
    """The route does not have `/v1`: it is upstream's."""


class Busy(Unavailable):
    """Something is away; the route said when to come again."""

    def __init__(self, message: str | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def retry_after(error: CIMError) -> float:
    """Return the seconds after which whoever answered wants to be asked again; 0 when that was not said."""
    return min(float(getattr(error, "retry_after", 0)), MAX_RETRY)


@frozen
class Login:
    """What a login is answered with."""

    user: User
    device: str
    host: str
    port: int
    ticket: str
    token: str


@frozen
class Line:
    """A line of the list of conversations."""

    conversation: str
    latest: str
    read: str
    unread: int


def understood(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Have what a method cannot find in an answer be Unavailable: some other program answered."""

    @wraps(method)
    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("a route answered something else than this version expects") from error

    return asked


class V1Calls:
    """Calls the routes, each call the next one in turn; passes over those that cannot be reached.

    All methods fail with the CIMError that the route's answer stands for: Unreachable when nothing was done, another
    Unavailable when that is unknown, and NotNative when the route is upstream's.
    """

    def __init__(self, calls: HTTPCalls, routes: Routes) -> None:
        self._calls = calls
        self._routes = routes
        self.token = ""

    @understood
    async def log_in(self, name: str, device: str, password: str = "") -> Login:
        """Log in by the password, or by the token when there is none.

        :raises Misdirected: a route elsewhere names a server on this machine
        """
        body = {"name": name, "device": device}
        if password:
            body["password"] = password
        route, said = await self._ask("POST", "sessions", body, token="" if password else self.token)
        server = said["server"]
        login = Login(
            User(int(said["user_id"]), str(said["name"])),
            str(said["device"]),
            str(server["host"]),
            int(server["tcp_port"]),
            str(said["ticket"]),
            str(said["token"]),
        )
        check_place(route, login.host)
        self.token = login.token
        return login

    async def create_account(self, name: str, password: str) -> None:
        """Make an account."""
        await self._ask("POST", "accounts", {"name": name, "password": password}, token="")

    @understood
    async def conversations(self) -> list[Line]:
        """List the user's conversations, the latest first."""
        lines = await self._pages("conversations", "conversations", 100)
        return [Line(one["conversation"], one["latest"], one["read"], one["unread"]) for one in lines]

    @understood
    async def messages(self, conversation: str, before: str, limit: int, me: int) -> list[Message]:
        """Return the last messages before a position, or of all, oldest first."""
        found: list[Message] = []
        before = before or END
        while len(found) < limit:
            query = {"before": before, "limit": min(limit - len(found), MAX_PAGE)}
            page = await self.call("GET", f"conversations/{quote(conversation)}/messages", query=query)
            found[:0] = [_message(conversation, one, me) for one in page["messages"]]
            if not page["more"]:
                break
            before = page["more"]
        return found

    @understood
    async def user(self, who: str | int) -> User:
        """Look a user up."""
        if isinstance(who, int):
            said = await self.call("GET", f"users/{who}")
        else:
            said = await self.call("GET", "users", query={"name": who})
        return User(said["id"], said["name"])

    @understood
    async def online(self, prefix: str, after: str, limit: int) -> tuple[list[User], int]:
        """Return who is online, by name, and how many there are."""
        said = await self.call("GET", "online", query={"prefix": prefix, "after": after, "limit": limit})
        return [User(one["id"], one["name"]) for one in said["users"]], said["total"]

    @understood
    async def groups(self) -> list[Group]:
        """List the groups that the user is in."""
        return [_group(one["group"]) for one in await self._pages("groups", "groups", 100)]

    @understood
    async def group(self, id: int) -> Group:
        """Return a group."""
        return _group(await self.call("GET", f"groups/{id}"))

    @understood
    async def create_group(self, name: str, open: bool, history: bool) -> Group:
        """Make a group."""
        return _group(await self.call("POST", "groups", {"name": name, "open": open, "history": history}))

    @understood
    async def put_member(self, group: int, user: int, role: str = "") -> None:
        """Join, invite, or give a role."""
        await self.call("PUT", f"groups/{group}/members/{user}", {"role": role} if role else {})

    @understood
    async def remove_member(self, group: int, user: int) -> None:
        """Leave, or remove someone."""
        await self.call("DELETE", f"groups/{group}/members/{user}")

    @understood
    async def members(self, group: int) -> list[tuple[int, str]]:
        """List the members of a group: ids and roles."""
        return [(one["user"], one["role"]) for one in await self._pages(f"groups/{group}/members", "members", 1000)]

    async def _pages(self, path: str, name: str, limit: int) -> list[Any]:
        found: list[Any] = []
        after: Any = None
        while True:
            query = {"limit": limit} if after is None else {"limit": limit, "after": after}
            page = await self.call("GET", path, query=query)
            found += page[name]
            after = page["more"]
            if after is None:
                return found

    async def call(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """Make a call with the token and return the JSON of its answer, None when that is nothing."""
        _, said = await self._ask(method, path + (f"?{urlencode(query)}" if query else ""), body, self.token)
        return said

    async def _ask(self, method: str, path: str, body: Any, token: str) -> tuple[str, Any]:
        """Return the route that answered, and what."""
        failed: Unavailable = Unreachable()
        for route in self._routes.in_turn():
            try:
                answer = await self._calls.ask(method, f"{route}/v1/{path}", body, token)
                return route, _read(route, answer)
            except Unavailable as error:
                if not isinstance(error, Busy):
                    self._routes.failed(route)
                if isinstance(failed, Unreachable):
                    failed = error
                # A login that is done twice is none too many; of all else only what was certainly not done goes on.
                if method == "POST" and path != "sessions" and not isinstance(error, Unreachable):
                    raise
        raise failed


def _read(route: str, answer: Answer) -> Any:
    """Return what a successful answer says.

    :raises CIMError: what another one stands for
    """
    said: Any = None
    if answer.body:
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            said = None
    if answer.status in (200, 201, 204) and (answer.status == 204 or isinstance(said, dict)):
        return said
    kind = (answer.headers.getRawHeaders("Content-Type") or [""])[0]
    if not kind.startswith(PROBLEM) or not isinstance(said, dict):
        if answer.status in (200, 404, 405):
            raise NotNative(f"the route {route} is not of this system: it does not have /v1")
        raise Unavailable(f"{route} answered HTTP {answer.status}")
    code, detail = str(said.get("code", "")), str(said.get("detail") or said.get("title") or "refused")
    wait = (answer.headers.getRawHeaders("Retry-After") or ["0"])[0]
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else 0
    error = of_problem(answer.status, code, detail, seconds)
    if answer.status >= 500 and not isinstance(error, CallTimeout):
        raise Busy(detail, seconds)
    raise error


def _group(said: Any) -> Group:
    return Group(said["id"], said["name"], said["open"], said["history"], said["members"])


def _message(conversation: str, said: Any, me: int) -> Message:
    parsed = conversations.parse(conversation)
    return Message(
        conversation,
        said["position"],
        User(said["sender"], said["sender_name"]),
        said["sent_at"],
        said["text"],
        base64.b64decode(said["data"]),
        said["content_type"],
        Kind(said["kind"].lower()),
        said["ref"],
        said["client_id"],
        parsed.id if isinstance(parsed, conversations.Group) else 0,
        said["sender"] == me,
    )
