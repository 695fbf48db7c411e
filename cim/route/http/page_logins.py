"""Logins of the page: its token is in a cookie, which no script can read (docs/security.md, Cookies).

Such a token is good in the cookie alone, and only as long as the store has the login of its device: so logging out ends
it at once and everywhere, which nothing does to a token that a program keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim.errors import Unauthorized
from cim.interfaces import IPageLogins
from cim.model import Account
from cim.route.front.login import Logins
from cim.route.http.tokens import Proven, Tokens
from cim.web.cookies import set_cookie
from cim.web.declaring import WithHeaders

#: What the cookie is called, with what `cim.web.cookies.cookie_name` adds.
COOKIE = "cim"


class PageLogins:
    """Begins them, checks them, and ends them."""

    def __init__(self, tokens: Tokens, kept: IPageLogins, logins: Logins) -> None:
        self._tokens = tokens
        self._kept = kept
        self._logins = logins

    async def check(self, value: str) -> Proven:
        """Return the user that a cookie proves.

        :raises Unauthorized: it is none of ours, or expired, or void
        """
        proven = await self._tokens.check(value, page=True)
        login = await self._kept.login(proven.account.id, proven.device)
        if not login or login != proven.root:
            raise Unauthorized("you were logged out: log in again")
        return proven

    async def begin(self, account: Account, device: str, valid_from: int, owner: str, former: Proven | None) -> str:
        """Begin a login, and return the value of its cookie.

        :param valid_from: of the user's credential
        :param owner: the owner token of the session that it comes with
        :param former: of the login of the user that goes on with it; None for one with a password
        :raises Unauthorized: that was ended meanwhile, or the account is gone
        """
        root = former.root if former is not None else owner
        instead = (former.device, former.root) if former is not None else None
        if not await self._kept.begin(account.id, device, root, self._tokens.seconds, instead):
            raise Unauthorized("you were logged out: log in again")
        return self._tokens.issue(account, valid_from, owner, root, device)

    async def log_in(
        self, account: Account, device: str, valid_from: int, owner: str, *, former: Proven | None, goes_on: bool
    ) -> str:
        """Begin a login whose session was just reserved, and return the value of its cookie.

        :param valid_from: as for `begin`, and so is `owner`
        :param former: of the cookie that the browser has now
        :param goes_on: whether that login goes on
        :raises Unauthorized: it was ended meanwhile; so is the session
        """
        try:
            value = await self.begin(account, device, valid_from, owner, former if goes_on else None)
        except Unauthorized:
            await self._logins.end_sessions(account.id, device)
            raise
        if former is not None and not goes_on and (former.account.id, former.device) != (account.id, device):
            # The browser has its cookie no more.
            await self.end(former.account.id, former.device)
        return value

    async def renewed(self, proven: Proven) -> str:
        """Return a new value for a cookie of which half the time is over; "" if it is not.

        So a page that is used stays logged in.

        :raises Unauthorized: it was logged out meanwhile
        """
        if self._tokens.age(proven) < self._tokens.seconds / 2:
            return ""
        return await self.begin(proven.account, proven.device, proven.issued, proven.owner, proven)

    def set_cookie(self, page: str, value: str) -> str:
        """Return the header that keeps a value.

        :param page: what the cookie is called
        """
        return set_cookie(page, value, self._tokens.seconds)

    def answer(self, page: str, value: str, said: Mapping[str, Any] | None = None) -> WithHeaders:
        """Return the answer to a login, with a cookie in the place of a token.

        :param page: what the cookie is called
        :param said: what else it says
        """
        said = {**(said or {}), "token_expires_in": self._tokens.seconds}
        return WithHeaders({"Set-Cookie": self.set_cookie(page, value)}, said)

    async def devices(self, user: int) -> dict[str, int]:
        """Return the devices that are logged in, and since when, ms since 1970: the last time that it was renewed."""
        revoked = await self._tokens.revoked(user)
        ends = await self._kept.devices(user)
        begun = {device: end - self._tokens.seconds * 1000 for device, end in ends.items()}
        return {device: since for device, since in begun.items() if since >= revoked}

    async def end(self, user: int, device: str) -> bool:
        """End the login of a device; return whether it had one."""
        return bool(await self._kept.end(user, device))


def without_cookie(page: str) -> WithHeaders | None:
    """Return an empty answer that removes a cookie.

    :param page: what it is called; empty for none
    """
    return WithHeaders({"Set-Cookie": set_cookie(page, "", 0)}) if page else None
