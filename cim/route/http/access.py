"""Authenticates calls of `/v1`: users by their tokens, back ends by API keys."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from attrs import frozen

from cim.errors import Forbidden, InvalidField, Unauthorized
from cim.keys import weakness
from cim.model import Account
from cim.private_files import BadFile, read_private
from cim.route.front.rates import Rates
from cim.route.http.tokens import Proven, Tokens
from cim.web.declaring import UNPROVEN, Who
from cim.web.operations import Where

MIN_KEY = 16
#: The word before a key that sends past blocks.
OPERATOR = "operator"

_H = TypeVar("_H", bound=Callable[..., Awaitable[Any]])


@frozen
class Caller:
    """The caller of a call.

    :param proven: None for operators, and for calls that anyone may make
    :param key: the number of an operator's API key
    :param address: where it comes from, in calls that need no proof
    :param past_blocks: whether its key sends past blocks
    :param tokens: where its token was checked
    """

    proven: Proven | None = None
    key: int | None = None
    address: str = ""
    past_blocks: bool = False
    tokens: Tokens | None = None

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
    """

    def __init__(self, tokens: Tokens, keys: Iterable[str], where: Where, rates: Rates) -> None:
        self._tokens = tokens
        self._where = where
        self._rates = rates
        said = [key.rpartition(" ") for key in keys]
        self._keys = [key.encode() for _, _, key in said]
        self._past_blocks = [word == OPERATOR for word, _, _ in said]

    def __call__(self, request: Any, who: Who) -> Any:
        """See cim.web.declaring.Gate."""
        address = self._where(request) if who in UNPROVEN else ""
        if who is Who.ANYONE:
            return Caller(address=address)
        key = request.getHeader(b"x-api-key")
        scheme, _, bearer = (request.getHeader(b"authorization") or b"").partition(b" ")
        bearer = bearer.strip() if scheme.lower() == b"bearer" else b""
        if key is not None:
            number = self._number(key)
            if number is None:
                raise Unauthorized(
                    "the API key is wrong"
                    if self._keys
                    else "this route accepts no API keys: it was started without --api-key-file"
                )
            return self._operator(number, who)
        number = self._number(bearer) if bearer else None
        if number is not None:
            return self._operator(number, who)
        if who is Who.MAYBE_OPERATOR:
            # As for anyone: a user's token adds nothing.
            return Caller(address=address)
        if not bearer:
            if who is Who.MAYBE_USER:
                return Caller(address=address)
            raise Unauthorized("this call needs `Authorization: Bearer` with a token or a key")
        return self._user(bearer, who, address)

    def _number(self, given: bytes) -> int | None:
        """Return which key it is, None for none."""
        found = None
        # Compare with all, so that the time does not reveal which one matched.
        for number, key in enumerate(self._keys):
            if hmac.compare_digest(given, key):
                found = number
        return found

    def _operator(self, number: int, who: Who) -> Caller:
        if who not in (Who.OPERATOR, Who.USER_OR_OPERATOR, Who.MAYBE_OPERATOR):
            raise Forbidden("this call needs a user's token, not an API key")
        return Caller(key=number, past_blocks=self._past_blocks[number])

    async def _user(self, bearer: bytes, who: Who, address: str) -> Caller:
        try:
            text = bearer.decode("ascii")
        except UnicodeDecodeError:
            raise Unauthorized() from None
        proven = await self._tokens.check(text)
        self._rates.take("user-calls", proven.account.id)
        if who not in (Who.USER, Who.MAYBE_USER, Who.USER_OR_OPERATOR):
            raise Forbidden("this call is for operators: it needs an API key")
        return Caller(proven, address=address, tokens=self._tokens)


def read_keys(path: str) -> list[str]:
    """Read API keys from a file, one per line; empty lines and lines that begin with # are ignored.

    A key behind the word `operator` sends past blocks; the word is returned with it.

    :raises InvalidField: the file cannot be read, or others can read it too; it has no key, or one is weak or not ASCII
    """
    try:
        lines = [line.strip() for line in read_private(path).decode("ascii").splitlines()]
    except BadFile as error:
        raise InvalidField("API key file", str(error))
    except UnicodeDecodeError:
        raise InvalidField("API key file", f"{path} must contain ASCII text only")
    keys = [line for line in lines if line and not line.startswith("#")]
    plain = [key.removeprefix(f"{OPERATOR} ") for key in keys]
    if not keys or any(weakness(key.encode(), MIN_KEY) or not key.isprintable() or " " in key for key in plain):
        raise InvalidField(
            "API key file",
            f"{path} must contain keys, one per line, each of at least {MIN_KEY} characters that are hard to guess "
            "(openssl rand -hex 32)",
        )
    return keys
