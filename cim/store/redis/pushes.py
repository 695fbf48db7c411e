"""Where users are notified of messages, in Redis.

cim:p:{<user>}    hash: id of a registration -> JSON [kind, address, device, keys, when it was renewed, ms since 1970,
                  when the token ends that it was made with, 0 for never, and which one of a back end's that is]
cim:po:{<id>}     whose the address of a registration is: in the hash of any other user it does not count
cim:pn:{<user>}   hash: conversation -> when the user was notified of it, if it has not read it since, ms since 1970

Redis lets all of them expire.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IPushes
from cim.model import Registration
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key
from cim.store.rules.pushes import LASTS_MS, MOST_NOTIFIED, live, those_to_go, wait_of

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


def _written(one: Registration) -> str:
    return json.dumps([one.kind, one.address, one.device, one.keys, one.at, one.ends, one.token])


def _read(user: int, held: Sequence[bytes]) -> list[Registration]:
    """Return the registrations in the reply to HGETALL."""
    return [Registration(user, *json.loads(value)) for value in held[1::2]]


@implementer(IPushes)
class RedisPushes:
    """Registrations that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def register(self, registration: Registration) -> Deferred[int | None]:
        """See IPushes."""
        return self._changing.operation("register_push", self._register(registration))

    async def _register(self, registration: Registration) -> int | None:
        user = registration.user
        gone: Sequence[Registration] = ()

        def decide(replies: Sequence[Any], now: int) -> Decision[int | None]:
            nonlocal gone
            held, there = replies
            if not there:
                return Decision([], None)
            new = evolve(registration, at=now)
            gone = those_to_go(_read(user, held), new, now)
            words: Words = [3, "SET", 2, user, 3, "PEXPIRE", 2, LASTS_MS]
            words += 4, "HSET", 1, new.id, _written(new), 3, "PEXPIRE", 1, LASTS_MS
            for one in gone:
                words += 3, "HDEL", 1, one.id
            return Decision(words, now)

        keys = (Key.PUSHES.of(user), Key.PUSH_OWNER.of(registration.id), account_key(user))
        facts = Facts(1, 1, (2, "HGETALL", 1, 2, "EXISTS", 3))
        at = await self._changing.change("register_push", keys, facts, decide)
        # Or whoever registers one new address after another leaves a key behind with each, for two months.
        await self._unregister(user, [one.id for one in gone])
        return at

    def unregister(self, user: int, id: str) -> Deferred[bool]:
        """See IPushes."""
        return self._changing.operation("unregister_push", self._unregister(user, [id])).addCallback(bool)

    def unregister_device(self, user: int, device: str | None, kept: str = "") -> Deferred[int]:
        """See IPushes."""
        return self._changing.operation("unregister_push", self._unregister_device(user, device, kept))

    async def _unregister_device(self, user: int, device: str | None, kept: str) -> int:
        held = (await self.registrations((user,))).get(user, ())
        return await self._unregister(
            user, [one.id for one in held if device in (None, one.device) and one.device != kept]
        )

    def unregister_token(self, user: int, token: str) -> Deferred[int]:
        """See IPushes."""
        return self._changing.operation("unregister_push", self._unregister_token(user, token))

    async def _unregister_token(self, user: int, token: str) -> int:
        held = (await self.registrations((user,))).get(user, ())
        return await self._unregister(user, [one.id for one in held if one.token == token])

    async def _unregister(self, user: int, ids: Sequence[str]) -> int:
        """Remove registrations of a user; return how many of them were its own."""
        removed = 0
        for id in ids:

            def decide(replies: Sequence[Any], now: int, id: str = id) -> Decision[bool]:
                held, owner = replies
                own = owner == str(user).encode()
                words: Words = [3, "HDEL", 1, id] if held is not None else []
                return Decision([*words, 2, "DEL", 2] if own else words, held is not None and own)

            keys = (Key.PUSHES.of(user), Key.PUSH_OWNER.of(id))
            facts = Facts(2, 0, (3, "HGET", 1, id, 2, "GET", 2))
            removed += await self._changing.change("unregister_push", keys, facts, decide)
        return removed

    def registrations(self, users: Collection[int]) -> Deferred[Mapping[int, Sequence[Registration]]]:
        """See IPushes."""
        return self._changing.operation("registrations", self._registrations(list(users)))

    async def _registrations(self, users: Sequence[int]) -> dict[int, Sequence[Registration]]:
        if not users:
            return {}
        asked = [("HGETALL", Key.PUSHES.of(user)) for user in users]
        held = await self._connection.commands("registrations", *asked)
        now = self._connection.clock.now()
        found = [one for user, of in zip(users, held, strict=True) for one in live(_read(user, of), now)]
        if not found:
            return {}
        (owners,) = await self._connection.commands(
            "registrations", ("MGET", *(Key.PUSH_OWNER.of(one.id) for one in found))
        )
        own: dict[int, list[Registration]] = {}
        for one, owner in zip(found, owners, strict=True):
            if owner == str(one.user).encode():
                own.setdefault(one.user, []).append(one)
        return dict(own)

    def claim(self, user: int, conversation: str, pause: int) -> Deferred[int]:
        """See IPushes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[int]:
            before, count, there = replies
            if wait := wait_of(int(before or 0), now, pause):
                return Decision([], wait)
            words: Words = [2, "DEL", 1] if count >= MOST_NOTIFIED else []
            if there:
                words += 4, "HSET", 1, conversation, now, 3, "PEXPIRE", 1, LASTS_MS
            return Decision(words, 0)

        keys = (Key.NOTIFIED.of(user), account_key(user))
        facts = Facts(1, 2, (3, "HGET", 1, conversation, 2, "HLEN", 1, 2, "EXISTS", 2))
        return self._changing.operation("claim_push", self._changing.change("claim_push", keys, facts, decide))

    def close(self, user: int, conversation: str) -> Deferred[bool]:
        """See IPushes."""
        return self._connection.command("close_push", "HDEL", Key.NOTIFIED.of(user), conversation).addCallback(bool)
