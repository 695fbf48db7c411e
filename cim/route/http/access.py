"""Authenticates calls of `/v1`: users by their tokens, the page by its cookie, back ends by API keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

from attrs import frozen

from cim.api_keys import APIKey
from cim.errors import Forbidden, Unauthorized
from cim.model import Account, Credential
from cim.route.front.rates import Rates
from cim.route.http.api_keys import APIKeys
from cim.route.http.page_logins import COOKIE, PageLogins
from cim.route.http.tokens import Proven, Tokens
from cim.web.cookies import cookie_name, cookie_of, same_origin
from cim.web.declaring import UNPROVEN, Call, Who
from cim.web.operations import Where

#: Calls of operators, where no cookie counts.
_ADMIN = "/v1/admin"
_H = TypeVar("_H", bound=Callable[..., Awaitable[Any]])


@frozen
class Caller:
    """The caller of a call.

    :param proven: None for operators, and for calls that anyone may make
    :param key: an operator's API key
    :param address: where it comes from, in calls that need no proof or are audited
    :param tokens: where its token was checked
    :param jwt: a JWT of an operator's issuer, in a login; it was not looked at
    :param credential: in a login with a token, the user's credential as it was when that was checked
    :param page: what the page's cookie is called, if the page makes the call and it is a login or by the cookie
    """

    proven: Proven | None = None
    key: APIKey | None = None
    address: str = ""
    tokens: Tokens | None = None
    page: str = ""
    jwt: str = ""
    credential: Credential | None = None

    @property
    def operator(self) -> bool:
        """Whether it has an API key."""
        return self.key is not None

    @property
    def user(self) -> str:
        """The user who makes it, as connections are counted; empty for none."""
        return f"user {self.proven.account.id}" if self.proven is not None else ""

    @property
    def account(self) -> Account:
        """The user who makes a call that only users may make."""
        if self.proven is None:
            raise Forbidden("this call needs a user's token")
        return self.proven.account

    async def confirm(self) -> None:
        """Look up whether its token is valid at this moment; an operator's key always is.

        :raises Unauthorized: it was revoked
        """
        if self.tokens is not None and self.proven is not None:
            await self.tokens.confirm(self.proven)


def confirmed(handler: _H) -> _H:
    """Let only callers whose token is valid at this moment make a call, not those of a few seconds ago.

    Goes with each call that changes credentials, sessions, groups or blocks: whoever holds a void token must not undo
    what voided it (docs/security.md, Passwords).
    """

    @wraps(handler)
    async def confirming(self: Any, caller: Caller, **values: Any) -> Any:
        await caller.confirm()
        return await handler(self, caller, **values)

    return cast(_H, confirming)


class Access:
    """The gate of all calls.

    :param keys: API keys; without any, calls that need one are refused
    :param where: gives the address of a request's client
    :param rates: counts users' calls
    :param names_issuer: returns whether a token is a JWT of an operator's issuer, by what it says itself
    """

    def __init__(
        self,
        tokens: Tokens,
        pages: PageLogins,
        keys: APIKeys,
        where: Where,
        rates: Rates,
        names_issuer: Callable[[str], bool] = lambda text: False,
    ) -> None:
        self._names_issuer = names_issuer
        self._tokens = tokens
        self._pages = pages
        self._where = where
        self._rates = rates
        self._keys = keys

    def __call__(self, request: Any, call: Call) -> Any:
        """See cim.web.declaring.Gate."""
        who = call.who
        address = self._where(request) if who in UNPROVEN else ""
        if who is Who.ANYONE:
            return Caller(address=address)
        given = request.getHeader(b"x-api-key")
        authorization = request.getHeader(b"authorization")
        cookie = cookie_of(request, cookie_name(request, COOKIE)) if request.getHeader(b"cookie") is not None else ""
        if cookie and (given is not None or authorization is not None):
            raise Forbidden("a request must not have both the page's cookie and Authorization, or an API key")
        scheme, _, bearer = (authorization or b"").partition(b" ")
        bearer = bearer.strip() if scheme.lower() == b"bearer" else b""
        if given is not None:
            key = self._keys.find(given)
            if key is None:
                raise Unauthorized(
                    "the API key is wrong"
                    if self._keys
                    else "this route accepts no API keys: it was started without --api-key-file"
                )
            return self._operator(key, call, request)
        key = self._keys.find(bearer) if bearer else None
        if key is not None:
            return self._operator(key, call, request)
        if who is Who.MAYBE_OPERATOR:
            # As for anyone: a user's token adds nothing.
            return Caller(address=address)
        if not bearer:
            page = cookie_name(request, COOKIE) if (cookie or who is Who.MAYBE_USER) and same_origin(request) else ""
            if cookie and page and not call.path.startswith(_ADMIN):
                return self._page(request, cookie, Caller(address=address, page=page), call)
            if who is Who.MAYBE_USER:
                return Caller(address=address, page=page)
            raise Unauthorized("this call needs `Authorization: Bearer` with a token or a key")
        return self._user(bearer, call, address)

    def _operator(self, key: APIKey, call: Call, request: Any) -> Caller:
        check_scope(key, call)
        return Caller(key=key, address=self._where(request) if call.audited else "")

    async def _user(self, bearer: bytes, call: Call, address: str) -> Caller:
        try:
            text = bearer.decode("ascii")
        except UnicodeDecodeError:
            raise Unauthorized() from None
        if call.who is Who.MAYBE_USER:
            if self._names_issuer(text):
                return Caller(address=address, jwt=text)
            proven, credential = await self._tokens.check_now(text)
            return self._caller(proven, call, address, credential=credential)
        return self._caller(await self._tokens.check(text), call, address)

    async def _page(self, request: Any, cookie: str, caller: Caller, call: Call) -> Caller:
        try:
            proven = await self._pages.check(cookie)
            if value := await self._pages.renewed(proven):
                # A login or a log-out that this call is puts its own in the place of it.
                request.setHeader(b"Set-Cookie", self._pages.set_cookie(caller.page, value))
        except Unauthorized:
            if call.who is Who.MAYBE_USER:
                return caller  # who logs in with a password, and cannot remove the cookie
            raise
        return self._caller(proven, call, caller.address, caller.page)

    def _caller(
        self, proven: Proven, call: Call, address: str, page: str = "", credential: Credential | None = None
    ) -> Caller:
        self._rates.take("user-calls", proven.account.id)
        if call.needs is None:
            raise Forbidden("this call is for operators: it needs an API key")
        if call.needs not in proven.scopes:
            raise Forbidden(f"this token may not do that: it lacks the scope `{call.needs}`")
        return Caller(proven, None, address, self._tokens, page, credential=credential)


def check_scope(key: APIKey, call: Call) -> None:
    """Check that an API key may make a call.

    :raises Forbidden: it may not
    """
    if call.scope is None:
        raise Forbidden("this call needs a user's token, not an API key")
    if call.scope not in key.scopes:
        raise Forbidden(f"this API key may not do that: it lacks the scope `{call.scope}`")
