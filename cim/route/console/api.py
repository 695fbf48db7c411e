"""`/v1/console`: logging in at the operators' console, and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cim.api_keys import APIKey, Scope
from cim.errors import Forbidden, RateLimited, Unauthorized
from cim.limits import Buckets, limit, take_all, whole_seconds
from cim.route.console.gate import SESSION, Visitor
from cim.route.console.sessions import SECONDS, KeySessions
from cim.route.http.api_keys import APIKeys
from cim.route.http.audit import Auditing
from cim.web.cookies import set_cookie
from cim.web.declaring import Who, WithHeaders, http_call
from cim.web.schema import Array, Boolean, Choice, Integer, Nullable, Object, Text

#: Wrong keys from one address.
WRONG_KEYS = "0.167/10"
_SESSION = Object(
    {
        "name": Text(64, about="Of the API key; empty for one without a name."),
        "scopes": Array(Choice(tuple(scope.value for scope in Scope)), "What the key may do."),
        "reads_messages": Boolean("The console shows what users said."),
        "expires_in": Integer(0, SECONDS, "Seconds."),
    },
    "ConsoleSession",
)
_WHOSE = Object({"session": Nullable(_SESSION)}, "WhoseConsoleSession")


class ConsoleAPI:
    """The calls.

    :param sessions: the logins
    :param seconds: a clock that only goes forward
    :param refused: called with the kind of each refusal
    :param reads_messages: whether the console shows what users said
    """

    def __init__(
        self,
        keys: APIKeys,
        sessions: KeySessions,
        audit: Auditing,
        seconds: Callable[[], float],
        refused: Callable[[str], None],
        *,
        reads_messages: bool,
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._audit = audit
        self._seconds = seconds
        self._refused = refused
        self._reads_messages = reads_messages
        self._wrong = Buckets(limit(WRONG_KEYS))

    @http_call(
        f"POST {SESSION}",
        who=Who.ANYONE,
        body={"key": Text(512, 1, "An API key with the scope `admin`.")},
        answers={201: _SESSION},
        errors=(401, 403),
    )
    async def log_in(self, caller: Visitor, key: str) -> WithHeaders:
        """Exchange an API key for a cookie."""
        refused = take_all([(self._wrong, caller.address)], self._seconds(), 1)
        if refused is not None:
            self._refused("limit-console-keys")
            raise RateLimited("too many wrong keys: wait before you try again", whole_seconds(refused.wait))
        found = self._keys.find(key.encode("utf-8", "surrogatepass"))
        if found is None:
            self._refused("console-key")
            self._audit.event(None, caller.address, "tried to log in with a wrong key")
            raise Unauthorized("the API key is wrong")
        self._wrong.give_back(caller.address, self._seconds(), 1)
        if Scope.ADMIN not in found.scopes:
            self._audit.event(found, caller.address, "may not log in: it lacks the scope `admin`")
            raise Forbidden("this API key may not use the console: it lacks the scope `admin`")
        if caller.secret:
            self._sessions.end(caller.secret)
        secret = self._sessions.begin(found)
        self._audit.event(found, caller.address, "logged in")
        return WithHeaders({"Set-Cookie": set_cookie(caller.cookie, secret, SECONDS)}, self._shown(found, SECONDS))

    @http_call(f"GET {SESSION}", who=Who.ANYONE, answers={200: _WHOSE}, errors=(403,))
    async def session(self, caller: Visitor) -> dict[str, Any]:
        """Return whose session this is, null if there is none."""
        found = self._sessions.find(caller.secret)
        return {"session": None if found is None else self._shown(*found)}

    @http_call(f"DELETE {SESSION}", who=Who.ANYONE, answers={204: None})
    async def log_out(self, caller: Visitor) -> WithHeaders:
        """End the session, if there is one."""
        found = self._sessions.find(caller.secret)
        if found is not None:
            self._sessions.end(caller.secret)
            self._audit.event(found[0], caller.address, "logged out")
        return WithHeaders({"Set-Cookie": set_cookie(caller.cookie, "", 0)})

    def _shown(self, key: APIKey, left: float) -> dict[str, Any]:
        return {
            "name": key.name,
            "scopes": [scope.value for scope in Scope if scope in key.scopes],
            "reads_messages": self._reads_messages,
            "expires_in": int(left),
        }
