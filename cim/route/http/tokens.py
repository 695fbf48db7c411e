"""Tokens for `/v1`: they prove with each call that a user has logged in.

A token may be bounded: it says what may be done with it, and all that is issued from it ends with it. One that a back
end made is kept in the store until it ends or is revoked.

A token is valid only if it was issued no earlier than its user's credential says (`valid_from`). That is looked up once
per `KEPT_SECONDS` for each user, so this route may accept a token revoked through another route for that long, but not
in calls that could undo what the change gave (`confirm`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from cim.cache import Cache
from cim.errors import Unauthorized
from cim.interfaces import ICredentials, IStoreClock, IUserTokens
from cim.model import ID_LIMIT, Account, Credential
from cim.signed import sign, verify
from cim.user_tokens import ALL, Bounds, UserScope, UserToken, scopes_of, words_of

#: How long a look-up of a user's credential is cached, in seconds.
KEPT_SECONDS = 3.0
KEPT_USERS = 100_000
#: For how long it is remembered that we signed a token, in seconds, and of how many.
READ_SECONDS = 60.0
READ_TOKENS = 10_000
#: The audience of tokens that are good in a cookie alone.
PAGE = "page"
#: The audience of tokens that are bounded, so that routes of earlier releases refuse them.
BOUNDED = "bounded"
_REVOKED = "the token was revoked: log in again"
#: How much the routes' clocks may differ: revoking tokens also revokes those issued this far ahead.
SKEW_MS = 60_000


@frozen
class Proven:
    """The user that a token proves.

    :param issued: when the token was issued, in ms since 1970
    :param owner: the owner token of the login that it came with; empty for tokens of earlier releases
    :param root: the owner token of the login with a password that it goes back to, by however many logins with tokens
    :param device: which the token of a cookie is for; empty for others
    :param bounds: what bounds it, and all that is issued from it; None for nothing
    """

    account: Account
    issued: int
    owner: str = ""
    root: str = ""
    device: str = ""
    bounds: Bounds | None = None

    @property
    def scopes(self) -> frozenset[UserScope]:
        """What it may do."""
        return ALL if self.bounds is None else self.bounds.scopes


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
        made: IUserTokens,
    ) -> None:
        self._key = key
        self._credentials = credentials
        self._made = made
        self._clock = clock
        self._time = time
        self._new_id = new_id
        self.seconds = int(hours * 3600)
        # What tokens say whose signature was checked, and when they expire.
        self._read: Cache[tuple[str, bool], tuple[Proven, int]] = Cache(clock.seconds, READ_SECONDS, READ_TOKENS)
        # From when each user's tokens are valid.
        self._kept: Cache[int, float] = Cache(clock.seconds, KEPT_SECONDS, KEPT_USERS)
        # Whether a token that a back end made is there, by its user and id.
        self._there: Cache[tuple[int, str], bool] = Cache(clock.seconds, KEPT_SECONDS, KEPT_USERS)

    def lasts(self, bounds: Bounds | None) -> int:
        """Return for how many seconds a token lasts that is issued now.

        :raises Unauthorized: what bounds it has ended
        """
        if bounds is None:
            return self.seconds
        left = bounds.ends // 1000 - self._time.now() // 1000
        if left <= 0:
            raise Unauthorized("it has expired, please log in again")
        return min(left, self.seconds)

    def issue(
        self,
        account: Account,
        valid_from: int,
        owner: str,
        root: str = "",
        device: str = "",
        bounds: Bounds | None = None,
    ) -> str:
        """Return a new token.

        :param valid_from: of the user's credential, since other routes' clocks may be ahead of ours
        :param owner: the owner token of the login that it comes with
        :param root: of the token that it is made for; empty if that was a password
        :param device: makes it good for that device, in a cookie alone
        :param bounds: of what it is made from
        """
        return self._signed(account, valid_from, owner, root, device, bounds, self.lasts(bounds))

    async def make(
        self, account: Account, seconds: int, device: str, scopes: frozenset[UserScope], valid_from: int
    ) -> tuple[UserToken, str] | None:
        """Return a new token that a back end makes for a user, and its text; None if there is no such account.

        :param valid_from: of the user's credential
        :raises Conflict: the user has too many
        """
        now = self._time.now()
        # With a letter first, so that no shell takes it for an option.
        made = UserToken(f"t-{self._new_id()}", now, (now // 1000 + seconds) * 1000, device, scopes)
        if not await self._made.keep(account.id, made):
            return None
        bounds = Bounds(made.ends, scopes, device, made.id)
        return made, self._signed(account, valid_from, "", made.id, "", bounds, seconds)

    def _signed(
        self,
        account: Account,
        valid_from: int,
        owner: str,
        root: str,
        device: str,
        bounds: Bounds | None,
        seconds: int,
    ) -> str:
        now = self._time.now()
        issued = max(now, valid_from)
        claims = {
            "sub": str(account.id),
            "name": account.name,
            "own": owner,
            "iat": issued // 1000,
            "ims": issued,
            "exp": now // 1000 + seconds,
            "jti": self._new_id(),
        }
        if root:
            claims["root"] = root
        if device:
            claims |= {"aud": PAGE, "dev": device}
        if bounds is not None:
            claims |= {"aud": BOUNDED, "end": bounds.ends, "scp": words_of(bounds.scopes)}
            claims |= {"dev": bounds.device, "tok": bounds.token}
        return sign(self._key, claims)

    def read(self, text: str, *, page: bool = False) -> Proven:
        """Return the user that a token proves unless it was revoked.

        :param page: whether it is that of a cookie
        :raises Unauthorized: the token is not signed with our key, or expired
        """
        return self._parsed(text, page)[0]

    def _parsed(self, text: str, page: bool) -> tuple[Proven, int]:
        """Return what `read` does, and when the token expires, in seconds."""
        claims = verify(self._key, text, self._time.now() / 1000, *((PAGE,) if page else ("", BOUNDED)))
        subject, name, issued, owner, root = (claims.get(claim) for claim in ("sub", "name", "ims", "own", "root"))
        bounds = _bounds(claims) if claims.get("aud") == BOUNDED else None
        device = claims.get("dev") if bounds is None else ""
        if not (isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= 16):
            raise Unauthorized()
        user = int(subject)
        if not (0 < user < ID_LIMIT and isinstance(name, str) and type(issued) is int):
            raise Unauthorized()
        owner = owner if isinstance(owner, str) else ""
        root = root if isinstance(root, str) else owner
        device = device if isinstance(device, str) else ""
        return Proven(Account(user, name), issued, owner, root, device, bounds), claims["exp"]

    async def check(self, text: str, *, page: bool = False) -> Proven:
        """Return the user that a token proves.

        :param page: whether it is that of a cookie
        :raises Unauthorized: the token is not signed with our key, or expired, or revoked
        """
        parsed = self._read.get((text, page))
        if parsed is None or parsed[1] <= self._time.now() / 1000:
            parsed = self._parsed(text, page)
            self._read.keep((text, page), parsed)
        proven = parsed[0]
        user, bounds = proven.account.id, proven.bounds
        valid_from = self._kept.get(user)
        if valid_from is None:
            await self._confirm_issued(proven)
        else:
            _check_issued(proven, valid_from)
        if bounds is not None and bounds.token and not self._there.get((user, bounds.token)):
            await self.confirm_made(proven)
        return proven

    async def check_now(self, text: str) -> tuple[Proven, Credential]:
        """Return the user that a token proves at this moment, whatever is cached, and the user's credential.

        :raises Unauthorized: as `check`
        """
        proven = self.read(text)
        credential = await self._credentials.credential(proven.account.id)
        if credential is None:
            raise Unauthorized(_REVOKED)
        _check_issued(proven, credential.valid_from)
        await self.confirm_made(proven)
        return proven, credential

    def age(self, proven: Proven) -> float:
        """Return for how many seconds a token has been valid."""
        return (self._time.now() - proven.issued) / 1000

    async def confirm(self, proven: Proven) -> None:
        """Look up whether a token is valid at this moment, whatever is cached.

        :raises Unauthorized: it was revoked
        """
        await self._confirm_issued(proven)
        await self.confirm_made(proven)

    async def confirm_made(self, proven: Proven) -> None:
        """Look up whether the token is there at this moment that a back end made and from which this one was issued.

        :raises Unauthorized: it was revoked
        """
        made = (proven.account.id, proven.bounds.token) if proven.bounds is not None else None
        if made is not None and made[1] and not await self._there.look_up(made, self._find):
            raise Unauthorized(_REVOKED)

    async def _find(self, made: tuple[int, str]) -> bool:
        return await self._made.find(*made) is not None

    async def _confirm_issued(self, proven: Proven) -> None:
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
        self._there.clear()

    def forget(self, user: int) -> None:
        """Forget the cached credential of a user: it has changed."""
        self._kept.forget(user)

    async def revoke_made(self, user: int, id: str) -> bool:
        """Revoke a token that a back end made, with all that was issued from it; return whether it was there.

        Sessions are not ended by that.
        """
        revoked = bool(await self._made.revoke(user, id))
        self._there.forget((user, id))
        return revoked


def _check_issued(proven: Proven, valid_from: float) -> None:
    if proven.issued < valid_from:
        raise Unauthorized(_REVOKED)


def _bounds(claims: Mapping[str, Any]) -> Bounds:
    """Return what the claims of a bounded token say."""
    ends, scopes, device, token = (claims.get(claim) for claim in ("end", "scp", "dev", "tok"))
    if not (type(ends) is int and isinstance(scopes, list) and isinstance(device, str) and isinstance(token, str)):
        raise Unauthorized()
    return Bounds(ends, scopes_of(word for word in scopes if isinstance(word, str)), device, token)
