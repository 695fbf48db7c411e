"""Tokens for `/v1`: who logged in once says so with each call.

A token is void from the moment that its user's credential names (`valid_from`). That is looked up once in
`KEPT_SECONDS` for each user, so a token that was revoked through another route may still be taken here for so long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from attrs import frozen

from twisted.internet.interfaces import IReactorTime

from cim.errors import Unauthorized
from cim.interfaces import ICredentials
from cim.model import ID_LIMIT, Account
from cim.signed import sign, verify

#: How long a look at a user's credential is believed.
KEPT_SECONDS = 3.0
KEPT_USERS = 100_000
#: By so much the clocks of routes may differ: what voids tokens voids those that were issued so far ahead, too.
SKEW_MS = 60_000


@frozen
class Proven:
    """Whom a token is of.

    :param issued: when, ms since 1970
    """

    account: Account
    issued: int


class Tokens:
    """Makes tokens and checks them.

    :param key: the one derived for "token"
    :param new_id: makes a unique id
    """

    def __init__(
        self, key: bytes, credentials: ICredentials, clock: IReactorTime, new_id: Callable[[], str], hours: float = 12
    ) -> None:
        self._key = key
        self._credentials = credentials
        self._clock = clock
        self._new_id = new_id
        self.seconds = int(hours * 3600)
        # When each was looked up, and from when on tokens are valid: None when there is no credential.
        self._kept: OrderedDict[int, tuple[float, int | None]] = OrderedDict()
        self._forgotten = 0

    def issue(self, account: Account, valid_from: int) -> str:
        """Return a token.

        :param valid_from: of the user's credential: other routes' clocks may be ahead of ours
        """
        now = self._clock.seconds()
        issued = max(int(now * 1000), valid_from)
        claims = {
            "sub": str(account.id),
            "name": account.name,
            "iat": issued // 1000,
            "ims": issued,
            "exp": int(now) + self.seconds,
            "jti": self._new_id(),
        }
        return sign(self._key, claims)

    async def check(self, text: str) -> Proven:
        """Return whom a token is of.

        :raises Unauthorized: not signed with our key, expired, or void
        """
        claims = verify(self._key, text, self._clock.seconds())
        subject, name, issued = (claims.get(claim) for claim in ("sub", "name", "ims"))
        if not (isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= 16):
            raise Unauthorized()
        user = int(subject)
        if not (0 < user < ID_LIMIT and isinstance(name, str) and type(issued) is int):
            raise Unauthorized()
        valid_from = await self._valid_from(user)
        if valid_from is None or issued < valid_from:
            raise Unauthorized("the token was revoked, please log in again")
        return Proven(Account(user, name), issued)

    async def _valid_from(self, user: int) -> int | None:
        now = self._clock.seconds()
        kept = self._kept.get(user)
        if kept is not None and kept[0] + KEPT_SECONDS > now:
            return kept[1]
        forgotten = self._forgotten
        credential = await self._credentials.credential(user)
        valid_from = credential.valid_from if credential is not None else None
        if forgotten != self._forgotten:
            return valid_from  # maybe of before a change that we know of
        self._kept[user] = (now, valid_from)
        self._kept.move_to_end(user)
        if len(self._kept) > KEPT_USERS:
            self._kept.popitem(last=False)
        return valid_from

    async def revoke(self, user: int, issued: int = 0) -> None:
        """Void all tokens of a user.

        :param issued: of a token that must be among them, whatever the clock of the route that made it said
        """
        await self._credentials.revoke(user, self.now(issued))
        self.forget(user)

    def now(self, issued: int = 0) -> int:
        """The time from which tokens are valid when all former ones become void now: ms since 1970.

        It is in the future; what is issued from now on is issued as of then.

        :param issued: as of `revoke`
        """
        return max(int(self._clock.seconds() * 1000) + SKEW_MS, issued) + 1

    def forget(self, user: int) -> None:
        """The user's credential has changed."""
        self._kept.pop(user, None)
        self._forgotten += 1
