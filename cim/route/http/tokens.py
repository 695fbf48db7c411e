"""Tokens for `/v1`: they prove with each call that a user has logged in.

A token is valid only if it was issued no earlier than its user's credential says (`valid_from`). That is looked up once
per `KEPT_SECONDS` for each user, so this route may accept a token revoked through another route for that long, but not
in calls that could undo what the change gave (`confirm`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from cim.cache import Cache
from cim.errors import Unauthorized
from cim.interfaces import ICredentials, IStoreClock
from cim.model import ID_LIMIT, Account
from cim.signed import sign, verify

#: How long a look-up of a user's credential is cached, in seconds.
KEPT_SECONDS = 3.0
KEPT_USERS = 100_000
#: The audience of tokens that are good in a cookie alone.
PAGE = "page"
#: How much the routes' clocks may differ: revoking tokens also revokes those issued this far ahead.
SKEW_MS = 60_000


@frozen
class Proven:
    """The user that a token proves.

    :param issued: when the token was issued, in ms since 1970
    :param owner: the owner token of the login that it came with; empty for tokens of earlier releases
    :param root: the owner token of the login with a password that it goes back to, by however many logins with tokens
    :param device: which the token of a cookie is for; empty for others
    """

    account: Account
    issued: int
    owner: str = ""
    root: str = ""
    device: str = ""


class Tokens:
    """Issues tokens and checks them.

    :param key: the key derived for "token"
    :param new_id: makes a unique id
    """

    def __init__(
        self,
        key: bytes,
        credentials: ICredentials,
        clock: IReactorTime,
        new_id: Callable[[], str],
        hours: float = 12,
        *,
        time: IStoreClock,
    ) -> None:
        self._key = key
        self._credentials = credentials
        self._clock = clock
        self._time = time
        self._new_id = new_id
        self.seconds = int(hours * 3600)
        # From when each user's tokens are valid.
        self._kept: Cache[int, float] = Cache(clock.seconds, KEPT_SECONDS, KEPT_USERS)

    def issue(self, account: Account, valid_from: int, owner: str, root: str = "", device: str = "") -> str:
        """Return a new token.

        :param valid_from: of the user's credential, since other routes' clocks may be ahead of ours
        :param owner: the owner token of the login that it comes with
        :param root: of the token that it is made for; empty if that was a password
        :param device: makes it good for that device, in a cookie alone
        """
        now = self._time.now()
        issued = max(now, valid_from)
        claims = {
            "sub": str(account.id),
            "name": account.name,
            "own": owner,
            "iat": issued // 1000,
            "ims": issued,
            "exp": now // 1000 + self.seconds,
            "jti": self._new_id(),
        }
        if root:
            claims["root"] = root
        if device:
            claims |= {"aud": PAGE, "dev": device}
        return sign(self._key, claims)

    async def check(self, text: str, *, page: bool = False) -> Proven:
        """Return the user that a token proves.

        :param page: whether it is that of a cookie
        :raises Unauthorized: the token is not signed with our key, or expired, or revoked
        """
        claims = verify(self._key, text, self._time.now() / 1000, PAGE if page else None)
        subject, name, issued, owner, root = (claims.get(claim) for claim in ("sub", "name", "ims", "own", "root"))
        device = claims.get("dev")
        if not (isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= 16):
            raise Unauthorized()
        user = int(subject)
        if not (0 < user < ID_LIMIT and isinstance(name, str) and type(issued) is int):
            raise Unauthorized()
        owner = owner if isinstance(owner, str) else ""
        root = root if isinstance(root, str) else owner
        proven = Proven(Account(user, name), issued, owner, root, device if isinstance(device, str) else "")
        valid_from = self._kept.get(user)
        if valid_from is None:
            await self.confirm(proven)
        else:
            _check_issued(proven, valid_from)
        return proven

    def age(self, proven: Proven) -> float:
        """Return for how many seconds a token has been valid."""
        return (self._time.now() - proven.issued) / 1000

    async def confirm(self, proven: Proven) -> None:
        """Look up whether a token is valid at this moment, whatever is cached.

        :raises Unauthorized: it was revoked
        """
        _check_issued(proven, await self._kept.look_up(proven.account.id, self._look_up))

    async def _look_up(self, user: int) -> float:
        """Return from when a user's tokens are valid: never, if there is no credential."""
        credential = await self._credentials.credential(user)
        return credential.valid_from if credential is not None else math.inf

    async def revoked(self, user: int) -> float:
        """Return when all tokens of a user were revoked last, in ms since 1970; infinity if there is no such user."""
        return await self._look_up(user) - SKEW_MS - 1

    async def revoke(self, user: int, issued: int = 0) -> None:
        """Revoke all tokens of a user.

        :param issued: of a token that must be revoked even if the clock of its route was ahead
        """
        await self._credentials.revoke(user, self.now(issued))
        self.forget(user)

    def elsewhere(self) -> Deferred[None]:
        """Fire once no other route accepts tokens that were revoked before this call."""
        return deferLater(self._clock, KEPT_SECONDS)

    def now(self, issued: int = 0) -> int:
        """Return the `valid_from` that revokes all tokens issued so far, in ms since 1970.

        It is in the future; tokens issued from now on are dated accordingly.

        :param issued: as of `revoke`
        """
        return max(self._time.now() + SKEW_MS, issued) + 1

    def forget_all(self) -> None:
        """Forget all cached credentials: the store may have gone back."""
        self._kept.clear()

    def forget(self, user: int) -> None:
        """Forget the cached credential of a user: it has changed."""
        self._kept.forget(user)


def _check_issued(proven: Proven, valid_from: float) -> None:
    if proven.issued < valid_from:
        raise Unauthorized("the token was revoked: log in again")
