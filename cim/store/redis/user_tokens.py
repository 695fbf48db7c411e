"""Tokens that API keys made for users, in Redis.

cim:tokens:{<user>}    hash: token's id -> `<when it ends, ms since 1970> <when it was made> <scopes, with commas>
                       <device>`; Redis lets it expire when the last one ends
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import Conflict
from cim.interfaces import IUserTokens
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.rules.user_tokens import TOO_MANY
from cim.user_tokens import MOST, UserToken, scopes_of, words_of


def _text(token: UserToken) -> str:
    return f"{token.ends} {token.made} {','.join(words_of(token.scopes))} {token.device}"


def _read(id: bytes, value: bytes | None, now: int) -> UserToken | None:
    """Return a token that has not ended."""
    ends, made, scopes, device = ((value or b"").decode(errors="replace").split(" ", 3) + [""] * 4)[:4]
    if not (ends.isdigit() and made.isdigit() and int(ends) > now):
        return None
    return UserToken(id.decode(errors="replace"), int(made), int(ends), device, scopes_of(scopes.split(",")))


def _live(held: Sequence[bytes], now: int) -> list[UserToken]:
    """Return those in the reply to HGETALL that have not ended, those that end last at the end."""
    pairs = zip(held[::2], held[1::2], strict=True)
    found = (token for id, value in pairs if (token := _read(id, value, now)) is not None)
    return sorted(found, key=lambda token: (token.ends, token.id))


@implementer(IUserTokens)
class RedisUserTokens:
    """Tokens that all routes share."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing

    def keep(self, user: int, token: UserToken) -> Deferred[bool]:
        """See IUserTokens."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            held, there = replies
            if not there:
                return Decision([], False)
            live = _live(held, now)
            if len(live) >= MOST:
                raise Conflict(TOO_MANY)
            words: Words = [4, "HSET", 1, token.id, _text(token)]
            known = {one.id for one in live}
            for id in held[::2]:
                if id.decode(errors="replace") not in known:
                    words += 3, "HDEL", 1, id
            words += 3, "PEXPIRE", 1, max(token.ends, *(one.ends for one in live), 0) - now
            return Decision(words, True)

        keys = (Key.TOKENS.of(user), Key.CREDENTIAL.of(user))
        facts = Facts(2, 0, (2, "HGETALL", 1, 2, "EXISTS", 2))
        change = self._changing.change("keep_user_token", keys, facts, decide)
        return self._changing.operation("keep_user_token", change)

    def find(self, user: int, id: str) -> Deferred[UserToken | None]:
        """See IUserTokens."""
        return self._changing.operation("user_token", self._find(user, id))

    async def _find(self, user: int, id: str) -> UserToken | None:
        (value,), now = await self._changing.look("user_token", (Key.TOKENS.of(user),), Facts(0, 1, (3, "HGET", 1, id)))
        return _read(id.encode(), value, now)

    def listed(self, user: int) -> Deferred[Sequence[UserToken]]:
        """See IUserTokens."""
        return self._changing.operation("user_tokens", self._listed(user))

    async def _listed(self, user: int) -> Sequence[UserToken]:
        (held,), now = await self._changing.look("user_tokens", (Key.TOKENS.of(user),), Facts(0, 1, (2, "HGETALL", 1)))
        return _live(held, now)

    def revoke(self, user: int, id: str) -> Deferred[bool]:
        """See IUserTokens."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            (value,) = replies
            words: Words = [3, "HDEL", 1, id]
            return Decision(words if value is not None else [], _read(id.encode(), value, now) is not None)

        facts = Facts(1, 0, (3, "HGET", 1, id))
        change = self._changing.change("revoke_user_token", (Key.TOKENS.of(user),), facts, decide)
        return self._changing.operation("revoke_user_token", change)
