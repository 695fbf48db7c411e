"""Invitation codes in Redis.

cim:codes           hash: id -> uses, expires, made and note, separated by spaces
cim:code:{<id>}     hash: the ids of the accounts that were made with it; gone when it expires

So uses are counted by a bound on the second hash, which accounts that are made at once need not agree on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IInvitationCodes
from cim.invitation_codes import InvitationCode, check_new
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


def written(invitation: InvitationCode) -> bytes:
    """Return the record of an invitation."""
    return f"{invitation.uses} {invitation.expires} {invitation.made} {invitation.note}".encode()


def read(id: str, record: bytes, used: int = 0) -> InvitationCode:
    """Return the invitation with a record."""
    uses, expires, made, note = record.decode().split(" ", 3)
    return InvitationCode(id, int(uses), int(expires), int(made), note, int(used))


@implementer(IInvitationCodes)
class RedisInvitationCodes:
    """Invitation codes that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def make(self, id: str, *, uses: int, seconds: float, note: str = "") -> Deferred[InvitationCode]:
        """See IInvitationCodes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[InvitationCode]:
            held = _pairs(replies[0])
            gone = [key for key, record in held.items() if read("", record).expires <= now]
            made = InvitationCode(id, uses, now + int(seconds * 1000), now, note)
            check_new(id, {key.decode() for key in held.keys() - set(gone)})
            words: Words = [2 + len(gone), "HDEL", 1, *gone] if gone else []
            return Decision([*words, 4, "HSET", 1, id, written(made)], made)

        facts = Facts(1, 0, (2, "HGETALL", 1))
        return self._changing.operation(
            "make_invitation_code", self._changing.change("make_invitation_code", (Key.CODES,), facts, decide)
        )

    def find(self, id: str) -> Deferred[InvitationCode | None]:
        """See IInvitationCodes."""
        return self._changing.operation("invitation_code", self._find(id))

    async def _find(self, id: str) -> InvitationCode | None:
        facts = Facts(0, 2, (3, "HGET", 1, id, 2, "HLEN", 2))
        (record, used), now = await self._changing.look("invitation_code", (Key.CODES, Key.CODE_USES.of(id)), facts)
        found = None if record is None else read(id, record, used)
        return found if found is not None and found.expires > now else None

    def listed(self) -> Deferred[Sequence[InvitationCode]]:
        """See IInvitationCodes."""
        return self._changing.operation("invitation_codes", self._listed())

    async def _listed(self) -> Sequence[InvitationCode]:
        (held,), now = await self._changing.look("invitation_codes", (Key.CODES,), Facts(0, 1, (2, "HGETALL", 1)))
        records = {key.decode(): record for key, record in _pairs(held).items()}
        used = await self._connection.commands("invitation_codes", *(("HLEN", Key.CODE_USES.of(id)) for id in records))
        found = [read(id, record, count) for (id, record), count in zip(records.items(), used, strict=True)]
        return sorted((one for one in found if one.expires > now), key=lambda one: (one.made, one.id))

    def revoke(self, id: str) -> Deferred[bool]:
        """See IInvitationCodes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            (record,) = replies
            if record is None:
                return Decision([], False)
            return Decision([3, "HDEL", 1, id, 2, "DEL", 2], read(id, record).expires > now)

        keys, facts = (Key.CODES, Key.CODE_USES.of(id)), Facts(1, 0, (3, "HGET", 1, id))
        return self._changing.operation(
            "revoke_invitation_code", self._changing.change("revoke_invitation_code", keys, facts, decide)
        )


def _pairs(held: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Return the fields of a hash, as HGETALL gives them."""
    return dict(zip(held[::2], held[1::2], strict=True))
