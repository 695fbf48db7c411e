"""Invitations to groups in Redis.

cim:i:{<user>}    hash: group -> `w` for one that waits or `d` for one that was declined, who invites, and since when
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IInvitations
from cim.model import Invitation, Role
from cim.store.pages import BEFORE_MS
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.restrictions import BANNED
from cim.store.rules.invitations import InvitingFacts, gives_way, invite
from cim.wire import conversations

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

_INVITED, _GROUP, _MEMBERS, _BLOCKED = range(1, 5)


def invitation(group: int, user: int, record: bytes) -> Invitation:
    """Return the invitation that a record holds."""
    state, by, at = record.split(b" ")
    return Invitation(group, user, int(by), int(at), state == b"d")


def record(one: Invitation) -> str:
    """Return the record that holds an invitation."""
    return f"{'d' if one.declined else 'w'} {one.by} {one.at}"


def _held(user: int, fields: Sequence[bytes], now: int) -> tuple[list[Invitation], list[int]]:
    """Return a user's invitations that count, the oldest first, and the groups of the others."""
    pairs = zip(fields[::2], fields[1::2], strict=True)
    found = [invitation(int(group), user, value) for group, value in pairs]
    held = sorted((one for one in found if one.valid(now)), key=lambda one: one.at)
    return held, [one.group for one in found if not one.valid(now)]


def waiting(user: int, fields: Sequence[bytes], now: int, since: int = 0) -> list[Invitation]:
    """Return the invitations that wait for a user, the oldest first, given the fields of its hash.

    :param since: only those that were made since then, or up to BEFORE_MS before it, ms since 1970
    """
    held, _ = _held(user, fields, now)
    return [one for one in held if not one.declined and one.at >= since - BEFORE_MS]


@implementer(IInvitations)
class RedisInvitations:
    """Invitations that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def invite(self, group: int, by: int, user: int) -> Deferred[Invitation | None]:
        """See IInvitations."""

        def decide(replies: Sequence[Any], now: int) -> Decision[Invitation | None]:
            fields, (exists, ended, ban), digits, blocked, (_, earlier) = replies
            held, old = _held(user, fields, now)
            roles = {member: Role(int(digit)) for member, digit in zip((by, user), digits, strict=True) if digit}
            if earlier is not None:
                roles |= {one.by: Role(int(earlier)) for one in held if one.group == group}
            wanted = Invitation(group, user, by, now)
            made = invite(
                InvitingFacts(bool(exists and not ended), roles, bool(blocked), held, ban is not None), wanted
            )
            if made is not wanted:
                return Decision([], made)
            words: Words = [4, "HSET", _INVITED, group, record(made)]
            loser = gives_way(held, made)
            for other in (*old, *([loser.group] if loser else [])):
                if other != group:
                    words += 3, "HDEL", _INVITED, other
            return Decision(words, made)

        tag = conversations.group(group)
        keys = (Key.INVITED.of(user), Key.GROUP.of(tag), Key.MEMBERS.of(tag), Key.BLOCKED.of(user))
        words = (
            2,
            "HGETALL",
            _INVITED,
            5,
            "HMGET",
            _GROUP,
            "version",
            "ended",
            f"{BANNED}{user}",
            4,
            "@ROLES",
            _MEMBERS,
            by,
            user,
        )
        facts = Facts(5, 0, (*words, 3, "HEXISTS", _BLOCKED, by, 4, "@INVITED", _INVITED, group, _MEMBERS))
        return self._changing.operation("invite", self._changing.change("invite", keys, facts, decide))

    def end(self, group: int, user: int, *, declined: bool) -> Deferred[bool]:
        """See IInvitations."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            (held,) = replies[0]
            one = invitation(group, user, held) if held is not None else None
            if one is None or one.declined or not one.valid(now):
                return Decision([], False)
            if not declined:
                return Decision([3, "HDEL", _INVITED, group], True)
            return Decision([4, "HSET", _INVITED, group, record(Invitation(group, user, one.by, now, True))], True)

        facts = Facts(1, 0, (3, "HMGET", _INVITED, group))
        change = self._changing.change("end_invitation", (Key.INVITED.of(user),), facts, decide)
        return self._changing.operation("end_invitation", change)

    def waiting(self, user: int) -> Deferred[Sequence[Invitation]]:
        """See IInvitations."""
        return self._changing.operation("invitations", self._waiting(user))

    async def _waiting(self, user: int) -> Sequence[Invitation]:
        (fields,), now = await self._changing.look(
            "invitations", (Key.INVITED.of(user),), Facts(0, 1, (2, "HGETALL", _INVITED))
        )
        return waiting(user, fields, now)
