"""Reset codes in Redis.

cim:reset:{<user>}    the hash of the code with which the user may set a password; Redis lets it expire
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IResetCodes
from cim.reset_codes import ResetCode
from cim.store.redis.changing import Changing, Decision, Facts
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


@implementer(IResetCodes)
class RedisResetCodes:
    """Reset codes that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def make(self, code: ResetCode, seconds: float) -> Deferred[int | None]:
        """See IResetCodes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[int | None]:
            if not replies[0]:
                return Decision([], None)
            return Decision([5, "SET", 1, code.digest, "PX", int(seconds * 1000)], now + int(seconds * 1000))

        keys = (Key.RESET.of(code.user), account_key(code.user))
        change = self._changing.change("make_reset_code", keys, Facts(1, 0, (2, "EXISTS", 2)), decide)
        return self._changing.operation("make_reset_code", change)

    def valid(self, code: ResetCode) -> Deferred[bool]:
        """See IResetCodes."""
        return self._connection.command("reset_code", "MGET", Key.RESET.of(code.user)).addCallback(
            lambda found: found[0] == code.digest.encode()
        )

    def use(self, code: ResetCode, password: str, now: int) -> Deferred[int | None]:
        """See IResetCodes."""

        def decide(replies: Sequence[Any], time: int) -> Decision[int | None]:
            (held,), there, before = replies
            if held != code.digest.encode() or not there:
                return Decision([], None)
            valid_from = max(now, int(before or 0) + 1)
            return Decision([6, "HSET", 3, "valid_from", valid_from, "password", password, 2, "DEL", 1], valid_from)

        keys = (Key.RESET.of(code.user), account_key(code.user), Key.CREDENTIAL.of(code.user))
        facts = Facts(3, 0, (2, "MGET", 1, 2, "EXISTS", 2, 3, "HGET", 3, "valid_from"))
        return self._changing.operation("use_reset_code", self._changing.change("use_reset_code", keys, facts, decide))
