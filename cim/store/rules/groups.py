"""Who may do what in a group, what a change of it tells its members, and how large it and its users' lists may be."""

from __future__ import annotations

from collections.abc import Iterable

from cim.errors import CIMError, Conflict, Forbidden, NotFound
from cim.model import MAX_BANNED, MAX_GROUPS, MAX_MEMBERS, MAX_MUTED, Happened, Happening, Role
from cim.store.rules.group_values import (
    Accept,
    Add,
    Ban,
    Banning,
    Depart,
    Dissolve,
    Edit,
    Editing,
    Effects,
    Ending,
    GroupFacts,
    Mute,
    Muting,
    Operation,
    Remove,
    RoleChange,
    SetRole,
    Unban,
)

MOST_GROUPS = f"a user can be in at most {MAX_GROUPS:,} groups"
MOST_MEMBERS = f"a group can have at most {MAX_MEMBERS:,} members"
MOST_BANNED = f"at most {MAX_BANNED:,} users can be banned from a group: end the ban of somebody first"
MOST_MUTED = f"at most {MAX_MUTED:,} users can be muted in a group: end that of somebody first"
LAST_OWNER = "make someone else an owner first"
BANNED = "this user is banned from the group: end the ban first"
BANNED_BY_OPERATOR = "an operator has banned this user from the group: ask one of them"
ENDED = "the group is being dissolved"


def users(operations: Iterable[Operation]) -> list[int]:
    """Return the users whose memberships the operations depend on, each once."""
    found: dict[int, None] = {}
    for operation in operations:
        match operation:
            case Edit(actor) | Dissolve(actor):
                found[actor] = None
            case Depart(user, heir):
                found.update(dict.fromkeys((user,) if heir is None else (user, heir)))
            case _:
                found.update(dict.fromkeys((operation.actor, operation.user)))
    found.pop(0, None)
    return list(found)


def decide(facts: GroupFacts | None, operation: Operation) -> Effects:
    """Return the effects of an operation, which are empty if nothing changes.

    :param facts: None if there is no such group
    :raises NotFound: there is no such group or member, or the group is being dissolved
    :raises Forbidden: the actor is not allowed to
    :raises Conflict: the group would lose its last owner, or the group or a user has as many as there may be
    """
    if facts is None:
        if isinstance(operation, Depart):
            return ()
        raise NotFound()
    if facts.ended and not isinstance(operation, Remove | Depart | Dissolve):
        raise NotFound(ENDED)
    match operation:
        case Add():
            return _add(facts, operation)
        case Accept():
            return _accept(facts, operation)
        case Remove():
            return _remove(facts, operation)
        case SetRole():
            return _set_role(facts, operation)
        case Edit():
            return _edit(facts, operation)
        case Mute():
            return _mute(facts, operation)
        case Ban():
            return _ban(facts, operation)
        case Unban():
            return _unban(facts, operation)
        case Dissolve(actor):
            if actor and facts.roles.get(actor) != Role.OWNER:
                raise Forbidden("only an owner can dissolve the group")
            return () if facts.ended else (Ending(),)
        case Depart():
            return _depart(facts, operation)


def decide_all(
    facts: GroupFacts | None, operations: Iterable[Operation]
) -> tuple[list[Effects | CIMError], GroupFacts | None]:
    """Decide about operations one after another; return the effects of each, and the facts at the end."""
    outcomes: list[Effects | CIMError] = []
    for operation in operations:
        try:
            effects = decide(facts, operation)
        except CIMError as error:
            outcomes.append(error)
            continue
        for effect in effects:
            facts = facts.after(effect) if facts is not None else None
        outcomes.append(effects)
    return outcomes, facts


def happened(facts: GroupFacts | None, operation: Operation, effects: Effects) -> list[Happened]:
    """Return what the effects of an operation tell the members; the numbers are still 0."""
    if facts is not None and facts.ended:
        return []
    actor = 0 if isinstance(operation, Depart) else operation.actor
    told = []
    for effect in effects:
        match effect:
            case RoleChange():
                told += _told_of_role(facts, operation, actor, effect)
            case Muting(user, None):
                told.append(Happened(0, Happening.UNMUTED, user, actor))
            case Muting(user, until):
                told.append(Happened(0, Happening.MUTED, user, actor, str(until)))
            case Banning(user, by):
                told.append(Happened(0, Happening.UNBANNED if by is None else Happening.BANNED, user, actor))
            case Editing(name, open, history):
                if name is not None:
                    told.append(Happened(0, Happening.RENAMED, actor, actor, name))
                for what, now in ((Happening.OPEN, open), (Happening.HISTORY, history)):
                    if now is not None:
                        told.append(Happened(0, what, actor, actor, "yes" if now else "no"))
            case Ending():
                told.append(Happened(0, Happening.DISSOLVED, actor, actor))
    return told


def _told_of_role(facts: GroupFacts | None, operation: Operation, actor: int, effect: RoleChange) -> list[Happened]:
    user = effect.user
    match operation:
        case Accept() if facts is not None:
            return [Happened(0, Happening.ACCEPTED, user, facts.invited.get(user, 0))]
        case Add():
            return [Happened(0, Happening.JOINED if actor == user else Happening.ADDED, user, actor)]
        case _ if effect.after is None:
            left = isinstance(operation, Depart) or actor == user
            return [Happened(0, Happening.LEFT if left else Happening.REMOVED, user, user if left else actor)]
        case _ if effect.after != effect.before:
            return [Happened(0, Happening.ROLE, user, actor, effect.after.name.lower())]
    return []


def check_groups(count: int) -> None:
    """Check that a user in that many groups may join another one.

    :raises Conflict: the user is in too many
    """
    if count >= MAX_GROUPS:
        raise Conflict(MOST_GROUPS)


def _check_admin(facts: GroupFacts, actor: int) -> Role:
    role = facts.roles.get(actor, Role.MEMBER)
    if role < Role.ADMIN:
        raise Forbidden()
    return role


def _check_above(facts: GroupFacts, actor: int, user: int) -> None:
    """Check that an actor is an operator, or an admin of a higher role than a user."""
    if actor:
        above, role = _check_admin(facts, actor), facts.roles.get(user)
        if role is not None and above <= role:
            raise Forbidden()


def _is_last_owner(facts: GroupFacts, role: Role) -> bool:
    return role == Role.OWNER and facts.owners == 1


def _add(facts: GroupFacts, operation: Add) -> Effects:
    there = operation.user in facts.roles
    if operation.actor not in (0, operation.user):
        _check_admin(facts, operation.actor)
    elif operation.actor and not there and not facts.open:
        raise Forbidden()
    if not there and operation.user in facts.bans:
        if operation.actor == operation.user:
            raise Forbidden("you are banned from this group")
        raise Conflict(BANNED)
    return () if there else _enter(facts, operation.user)


def _accept(facts: GroupFacts, operation: Accept) -> Effects:
    if operation.user in facts.roles:
        return ()
    by = facts.invited.get(operation.user)
    if by is None or operation.user in facts.bans:
        raise Forbidden()
    _check_admin(facts, by)
    return _enter(facts, operation.user)


def _enter(facts: GroupFacts, user: int) -> Effects:
    if facts.members >= MAX_MEMBERS:
        raise Conflict(MOST_MEMBERS)
    check_groups(facts.groups[user])
    return (RoleChange(user, None, Role.MEMBER),)


def _remove(facts: GroupFacts, operation: Remove) -> Effects:
    if operation.actor != operation.user:
        _check_above(facts, operation.actor, operation.user)
    return _leave(facts, operation.user)


def _leave(facts: GroupFacts, user: int) -> Effects:
    role = facts.roles.get(user)
    if role is None:
        return ()
    if _is_last_owner(facts, role) and facts.members > 1:
        raise Conflict(LAST_OWNER)
    return (RoleChange(user, role, None),)


def _set_role(facts: GroupFacts, operation: SetRole) -> Effects:
    if operation.actor and facts.roles.get(operation.actor) != Role.OWNER:
        raise Forbidden()
    before = facts.roles.get(operation.user)
    if before is None:
        raise NotFound()
    if operation.role < Role.OWNER and _is_last_owner(facts, before):
        raise Conflict(LAST_OWNER)
    return (RoleChange(operation.user, before, operation.role),)


def _edit(facts: GroupFacts, operation: Edit) -> Effects:
    if operation.actor:
        _check_admin(facts, operation.actor)
    open = operation.open if operation.open != facts.open else None
    history = operation.history if operation.history != facts.history else None
    if operation.name is None and open is None and history is None:
        return ()
    return (Editing(operation.name, open, history),)


def _mute(facts: GroupFacts, operation: Mute) -> Effects:
    actor, user, until = operation.actor, operation.user, operation.until
    if not user:
        if actor:
            _check_admin(facts, actor)
        return (Muting(0, until),)
    ends = until is None
    # An owner who was muted as an admin can end that.
    if not ends or facts.roles.get(actor) != Role.OWNER:
        _check_above(facts, actor, user)
    if not ends and user not in facts.roles:
        raise NotFound("this user is not a member of the group")
    if ends:
        return (Muting(user, None),) if user in facts.muted else ()
    if len(facts.muted) >= MAX_MUTED and user not in facts.muted:
        raise Conflict(MOST_MUTED)
    return (Muting(user, until),)


def _ban(facts: GroupFacts, operation: Ban) -> Effects:
    if operation.actor == operation.user:
        raise Forbidden()
    _check_above(facts, operation.actor, operation.user)
    left = _leave(facts, operation.user)
    by = facts.bans.get(operation.user)
    # That of an operator takes the place of another one, which the group's admins could end.
    if by is not None and (operation.actor or not by):
        return left
    if by is None and len(facts.bans) >= MAX_BANNED:
        raise Conflict(MOST_BANNED)
    return (*left, Banning(operation.user, operation.actor))


def _unban(facts: GroupFacts, operation: Unban) -> Effects:
    if operation.actor:
        _check_admin(facts, operation.actor)
    by = facts.bans.get(operation.user)
    if by is None:
        return ()
    if operation.actor and not by:
        raise Forbidden(BANNED_BY_OPERATOR)
    return (Banning(operation.user, None),)


def _depart(facts: GroupFacts, operation: Depart) -> Effects:
    role = facts.roles.get(operation.user)
    if role is None:
        return ()
    left = RoleChange(operation.user, role, None)
    if not _is_last_owner(facts, role) or facts.members == 1:
        return (left,)
    if operation.heir is None or operation.heir not in facts.roles:
        raise Conflict("its members have changed: name another heir")
    return RoleChange(operation.heir, facts.roles[operation.heir], Role.OWNER), left
