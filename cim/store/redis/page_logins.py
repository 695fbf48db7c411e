"""Logins by cookies in Redis.

cim:pages:{<user>}    hash: device -> `<when its login ends, ms since 1970> <which login it is>`; Redis lets it expire
                      when the last one ends
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IPageLogins
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key
from cim.store.rules.page_logins import MOST

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


def _read(value: bytes | None, now: int) -> tuple[int, str]:
    """Return when a login ends, and which it is; 0 and "" for one that has ended."""
    ends, _, login = (value or b"").decode(errors="replace").partition(" ")
    return (int(ends), login) if ends.isdigit() and int(ends) > now else (0, "")


def _known(held: Sequence[bytes], now: int) -> dict[str, tuple[int, str]]:
    """Return what `_read` says of each device in the reply to HGETALL."""
    pairs = zip(held[::2], held[1::2], strict=True)
    return {device.decode(errors="replace"): _read(value, now) for device, value in pairs}


@implementer(IPageLogins)
class RedisPageLogins:
    """Logins by cookies that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def begin(
        self, user: int, device: str, login: str, seconds: float, instead: tuple[str, str] | None = None
    ) -> Deferred[bool]:
        """See IPageLogins."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            held, there = replies
            known = _known(held, now)
            live = {one: ends for one, (ends, _) in known.items() if ends and one != device}
            if instead is not None:
                if known.get(instead[0], (0, ""))[1] != instead[1]:
                    return Decision([], False)
                live.pop(instead[0], None)
            if not there:
                return Decision([], False)
            for first in sorted(live, key=live.__getitem__)[: max(0, len(live) + 1 - MOST)]:
                del live[first]
            ends = now + int(seconds * 1000)
            words: Words = [4, "HSET", 1, device, f"{ends} {login}"]
            for one in known.keys() - live.keys() - {device}:
                words += 3, "HDEL", 1, one
            words += 3, "PEXPIRE", 1, max(ends, *live.values(), 0) - now
            return Decision(words, True)

        keys = (Key.PAGES.of(user), account_key(user))
        facts = Facts(1, 1, (2, "HGETALL", 1, 2, "EXISTS", 2))
        change = self._changing.change("begin_page_login", keys, facts, decide)
        return self._changing.operation("begin_page_login", change)

    def login(self, user: int, device: str) -> Deferred[str]:
        """See IPageLogins."""
        return self._changing.operation("page_login", self._login(user, device))

    async def _login(self, user: int, device: str) -> str:
        facts = Facts(0, 1, (3, "HGET", 1, device))
        (value,), now = await self._changing.look("page_login", (Key.PAGES.of(user),), facts)
        return _read(value, now)[1]

    def devices(self, user: int) -> Deferred[dict[str, int]]:
        """See IPageLogins."""
        return self._changing.operation("page_devices", self._devices(user))

    async def _devices(self, user: int) -> dict[str, int]:
        facts = Facts(0, 1, (2, "HGETALL", 1))
        (held,), now = await self._changing.look("page_devices", (Key.PAGES.of(user),), facts)
        return {device: ends for device, (ends, _) in _known(held, now).items() if ends}

    def end(self, user: int, device: str) -> Deferred[bool]:
        """See IPageLogins."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            words: Words = [3, "HDEL", 1, device]
            return Decision(words if replies[0] is not None else [], bool(_read(replies[0], now)[1]))

        keys = (Key.PAGES.of(user),)
        facts = Facts(1, 0, (3, "HGET", 1, device))
        change = self._changing.change("end_page_login", keys, facts, decide)
        return self._changing.operation("end_page_login", change)
