"""`/v1`: a new password for somebody who forgot the old one, by a code that an operator makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import CIMError, Forbidden, NotFound
from cim.interfaces import ICredentials, IResetCodes
from cim.reset_codes import RESET_SECONDS, ResetCode, make_reset_code
from cim.route.front.login import Logins
from cim.route.front.rates import Rates
from cim.route.guests.accounts import GuestAccounts
from cim.route.http.access import Caller
from cim.route.http.passwords import Passwords, Turn
from cim.route.http.sessions import end_former_sessions
from cim.route.http.shapes import ACCOUNT, PASSWORD, USER_ID, WHEN
from cim.route.http.tokens import Tokens
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.broadcasting import check_person
from cim.web.declaring import Who, http_call
from cim.web.schema import Object, Text

_CODE = Text(128, 1, "The code, of which spaces, hyphens and case do not matter.")
_MADE = Object(
    {"code": Text(64, about="What sets a new password, once; it is shown only here."), "expires": WHEN}, "ResetCode"
)


@frozen(kw_only=True, eq=False)
class ResetCodesAPI:
    """The calls about reset codes.

    :param random_bytes: returns that many random bytes, fit for secrets
    """

    _codes: IResetCodes
    _credentials: ICredentials
    _known: KnownAccounts
    _guests: GuestAccounts
    _logins: Logins
    _passwords: Passwords
    _rates: Rates
    _tokens: Tokens
    _random_bytes: Callable[[int], bytes]

    @http_call(
        "POST /v1/admin/users/{id}/reset-code",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        answers={201: _MADE},
        errors=(404, 409),
    )
    async def make_reset_code(self, caller: Caller, id: int) -> dict[str, Any]:
        """Make a code with which a user sets a new password.

        It is good once, for 15 minutes, and until the password is set in another way. A code that was made for the user
        before is void. 409 for the system user.
        """
        check_person(await self._credentials.credential(id))
        text = make_reset_code(id, self._random_bytes)
        code = ResetCode.parse(text)
        assert code is not None
        expires = await self._codes.make(code, RESET_SECONDS)
        if expires is None:
            raise NotFound("there is no such user")
        return {"code": text, "expires": expires}

    @http_call(
        "POST /v1/password-resets",
        who=Who.ANYONE,
        body={"code": _CODE, "password": PASSWORD},
        answers={200: ACCOUNT},
        errors=(403,),
        example={"code": "1795430398297-mfrggzdfmztwq2lknnwg23tpoa", "password": "battery staple"},
    )
    async def reset_forgotten_password(self, caller: Caller, code: str, password: str) -> dict[str, Any]:
        """Set a new password by a code that an operator made.

        Ends all sessions and revokes all tokens of the user, whose id and name the answer has. 403 if the code is not
        valid; nobody learns why.
        """
        self._rates.take("address-calls", caller.address)
        given = await self._checked(code, caller.address)
        hashed = await self._passwords.hash(password, Turn(caller.address))
        if await self._codes.use(given, hashed, self._tokens.now()) is None:
            raise _refusal()
        self._tokens.forget(given.user)
        self._guests.forget(given.user)
        await end_former_sessions(self._logins, given.user)
        account = await self._known.get(given.user)
        return {"id": account.id, "name": account.name}

    async def _checked(self, text: str, address: str) -> ResetCode:
        """Return a code that is valid, before the work of hashing; only one that is not counts for an address."""
        self._rates.take("address-resets", address)
        code = ResetCode.parse(text)
        try:
            valid = code is not None and await self._codes.valid(code)
        except CIMError:
            self._rates.give_back("address-resets", address)
            raise
        if code is None or not valid:
            raise _refusal()
        self._rates.give_back("address-resets", address)
        return code


def _refusal() -> Forbidden:
    return Forbidden("this code is not valid: it is wrong, or was used, or has expired; ask for another one")
