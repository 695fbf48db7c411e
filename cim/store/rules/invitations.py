"""Who may invite whom to a group, and how many invitations may wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import frozen

from cim.errors import AccountMismatch, Conflict, Forbidden, NotFound
from cim.model import DECLINED_DAYS, MAX_INVITED, MAX_INVITED_BY, Invitation, Role
from cim.store.rules.groups import BANNED


@frozen
class InvitingFacts:
    """The facts that an invitation depends on.

    :param exists: whether there is such a group
    :param roles: the roles of the user and of all who invite it, as far as they are members
    :param blocked: whether the user blocks who invites it
    :param held: the user's invitations that count
    :param banned: whether the user is banned from the group
    """

    exists: bool
    roles: Mapping[int, Role]
    blocked: bool
    held: Sequence[Invitation]
    banned: bool = False


def invite(facts: InvitingFacts, wanted: Invitation) -> Invitation | None:
    """Return the invitation that waits from now on: the wanted one, or an earlier one; None if the user is a member.

    :raises AccountMismatch: the user blocks who invites it
    :raises NotFound: there is no such group
    :raises Forbidden: who invites it is not allowed to
    :raises Conflict: the user is banned, declined lately, or has too many invitations
    """
    if facts.blocked:
        raise AccountMismatch()
    if not facts.exists:
        raise NotFound()
    if facts.roles.get(wanted.by, Role.MEMBER) < Role.ADMIN:
        raise Forbidden()
    if wanted.user in facts.roles:
        return None
    if facts.banned:
        raise Conflict(BANNED)
    for held in facts.held:
        if held.group == wanted.group:
            if held.declined:
                raise Conflict(f"this user has declined: invite it again after {DECLINED_DAYS} days")
            if facts.roles.get(held.by, Role.MEMBER) >= Role.ADMIN:
                return held
    waiting = _others_waiting(facts.held, wanted)
    counts = Counter(held.by for held in waiting)
    if counts[wanted.by] >= MAX_INVITED_BY:
        raise Conflict(f"{MAX_INVITED_BY} of your invitations wait for this user: withdraw one, or try again later")
    if len(waiting) >= MAX_INVITED and counts[wanted.by] >= max(counts.values()):
        raise Conflict(f"{MAX_INVITED} invitations wait for this user: withdraw one of yours, or try again later")
    return wanted


def gives_way(held: Sequence[Invitation], wanted: Invitation) -> Invitation | None:
    """Return the invitation that goes when the wanted one begins to wait; None while there is room for both.

    It is the oldest of whoever has the most waiting for this user, so that nobody fills all the places and keeps the
    user's friends from inviting it.

    :param held: the user's invitations that count
    :param wanted: one that `invite` lets wait
    """
    waiting = _others_waiting(held, wanted)
    if len(waiting) < MAX_INVITED:
        return None
    counts = Counter(one.by for one in waiting)
    return min(waiting, key=lambda one: (-counts[one.by], one.at, one.group))


def _others_waiting(held: Sequence[Invitation], wanted: Invitation) -> list[Invitation]:
    return [one for one in held if not one.declined and one.group != wanted.group]
