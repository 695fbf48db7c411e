"""The gate of the console: a cookie of the console's own page, and what its API key may do."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.errors import Forbidden, Unauthorized
from cim.route.console.sessions import KeySessions
from cim.route.http.access import Caller, check_scope
from cim.web.cookies import cookie_name, cookie_of, same_origin
from cim.web.declaring import Call, Who
from cim.web.operations import Where

COOKIE = "cim-console"
#: The path of the calls that begin and end a login.
SESSION = "/v1/console/session"


@frozen
class Visitor(Caller):
    """Who calls at the console.

    :param cookie: what the browser calls its cookie
    :param secret: what the cookie has; empty for none
    """

    cookie: str = ""
    secret: str = ""


class ConsoleGate:
    """Lets the console's own page call, and nobody else: neither other pages, nor programs with an API key.

    :param where: gives the address of a request's client
    :param reads_messages: whether operators may see what users said
    """

    def __init__(self, sessions: KeySessions, where: Where, *, reads_messages: bool) -> None:
        self._sessions = sessions
        self._where = where
        self._reads_messages = reads_messages

    def __call__(self, request: Any, call: Call) -> Visitor:
        """See cim.web.declaring.Gate."""
        if not same_origin(request):
            raise Forbidden("the console is for its own page: log in there")
        cookie, address = cookie_name(request, COOKIE), self._where(request)
        secret = cookie_of(request, cookie)
        if call.who is Who.ANYONE and call.path == SESSION:
            return Visitor(address=address, cookie=cookie, secret=secret)
        found = self._sessions.find(secret)
        if found is None:
            raise Unauthorized("you are not logged in: log in with an API key")
        key, _ = found
        check_scope(key, call)
        if call.private and not self._reads_messages:
            raise Forbidden("this console shows nothing that users said: it needs --console-reads-messages")
        return Visitor(key=key, address=address, cookie=cookie, secret=secret)
