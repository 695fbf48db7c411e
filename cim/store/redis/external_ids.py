"""External ids in Redis.

cim:external:{<digest of issuer and id>}    `<user> <gone>`: the account that it leads to, 0 for none, and when it
                                            last ceased to lead to one, ms since 1970; it expires if that is all
cim:externals:{<user>}                      hash: issuer -> id

An id leads to an account only if both say so: what a route of an earlier release deletes leaves its external ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.external_ids import GONE_SECONDS, OURS, ExternalId, Linked
from cim.interfaces import IExternalIds
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key
from cim.store.rules.external_ids import may_link


def external_key(external: ExternalId) -> str:
    """Return the key of an id."""
    return Key.EXTERNAL.of(external.digest)


def read_link(value: bytes | None, now: int) -> Linked:
    """Return what a key says."""
    user, _, gone = (value or b"").decode(errors="replace").partition(" ")
    if not (user.isdigit() and gone.isdigit()):
        return Linked()
    return Linked(int(user), int(gone) if int(gone) > now - GONE_SECONDS * 1000 else 0)


def lead(key: int, linked: Linked) -> Words:
    """Return the command that has a key lead to an account.

    :param key: its number
    """
    return [3, "SET", key, f"{linked.user} {linked.gone}"]


def leave(key: int, external: ExternalId, now: int) -> Words:
    """Return the command that has a key lead nowhere any more.

    :param key: its number
    """
    if external.issuer == OURS:
        return [2, "DEL", key]
    return [5, "SET", key, f"0 {now}", "PX", GONE_SECONDS * 1000]


def read_externals(held: Sequence[bytes]) -> list[ExternalId]:
    """Return the ids in the reply to HGETALL, sorted by their issuers."""
    words = [word.decode(errors="replace") for word in held]
    return [ExternalId(*pair) for pair in sorted(zip(words[::2], words[1::2], strict=True))]


@implementer(IExternalIds)
class RedisExternalIds:
    """External ids that all routes share."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing

    def find(self, external: ExternalId) -> Deferred[Linked]:
        """See IExternalIds."""
        return self._changing.operation("external_id", self._find(external))

    async def _find(self, external: ExternalId) -> Linked:
        linked, stale = await self.found(external)
        return Linked(0, linked.gone) if stale else linked

    async def found(self, external: ExternalId) -> tuple[Linked, bool]:
        """Return what the key of an id says, and whether its account does not agree."""
        ((value,),), now = await self._changing.look("external_id", (external_key(external),), _VALUE)
        linked = read_link(value, now)
        if not linked.user:
            return linked, False
        keys = (Key.EXTERNALS.of(linked.user), account_key(linked.user))
        facts = Facts(0, 2, (3, "HGET", 1, external.issuer, 2, "EXISTS", 2))
        (id, there), _ = await self._changing.look("external_id", keys, facts)
        return linked, not there or id != external.id.encode()

    def link(self, user: int, external: ExternalId) -> Deferred[None]:
        """See IExternalIds."""
        return self._changing.operation("link_external_id", self._link(user, external))

    async def _link(self, user: int, external: ExternalId) -> None:
        before, stale = await self.found(external)

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            (value,), has, there = replies
            said = read_link(value, now)
            to = 0 if stale and said == before else said.user
            known = has.decode(errors="replace") if has is not None else None
            if not may_link(user, bool(there), to, known, external):
                return Decision([])
            words = lead(1, Linked(user, said.gone))
            return Decision([*words, 4, "HSET", 2, external.issuer, external.id])

        keys = (external_key(external), Key.EXTERNALS.of(user), Key.CREDENTIAL.of(user))
        facts = Facts(3, 0, (2, "MGET", 1, 3, "HGET", 2, external.issuer, 2, "EXISTS", 3))
        await self._changing.change("link_external_id", keys, facts, decide)

    def unlink(self, user: int, issuer: str) -> Deferred[bool]:
        """See IExternalIds."""
        return self._changing.operation("unlink_external_id", self._unlink(user, issuer))

    async def _unlink(self, user: int, issuer: str) -> bool:
        facts = Facts(0, 1, (3, "HGET", 1, issuer))
        (has,), _ = await self._changing.look("unlink_external_id", (Key.EXTERNALS.of(user),), facts)
        if has is None:
            return False
        external = ExternalId(issuer, has.decode(errors="replace"))

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            (value,), held = replies
            if held != has:
                return Decision([], False)
            words: Words = [3, "HDEL", 2, issuer]
            ours = read_link(value, now).user == user
            return Decision([*words, *leave(1, external, now)] if ours else words, True)

        keys = (external_key(external), Key.EXTERNALS.of(user))
        facts = Facts(2, 0, (2, "MGET", 1, 3, "HGET", 2, issuer))
        return await self._changing.change("unlink_external_id", keys, facts, decide)

    def linked(self, user: int) -> Deferred[Sequence[ExternalId]]:
        """See IExternalIds."""
        return self._changing.operation("external_ids", self.of(user))

    async def of(self, user: int) -> list[ExternalId]:
        """Return the ids of an account."""
        facts = Facts(0, 1, (2, "HGETALL", 1))
        (held,), _ = await self._changing.look("external_ids", (Key.EXTERNALS.of(user),), facts)
        return read_externals(held)


_VALUE = Facts(0, 1, (2, "MGET", 1))
