"""Who may do what in a group, what a change of its members tells them, and how large it and its users' lists may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from cim.errors import CIMError, Conflict, Forbidden, NotFound
from cim.model import MAX_GROUPS, MAX_MEMBERS, Happened, Happening, Role

MOST_GROUPS = f"a user can be in at most {MAX_GROUPS:,} groups"
MOST_MEMBERS = f"a group can have at most {MAX_MEMBERS:,} members"
LAST_OWNER = "make someone else an owner first"


@frozen
class Add:
    """Make `user` a member.

    :param actor: 0 for an operator
    """

    actor: int
    user: int


@frozen
class Accept:
    """Make `user`, for whom an invitation waits, a member."""

    user: int

    @property
    def actor(self) -> int:
        """Who does it."""
        return self.user


@frozen
class Remove:
    """End the membership of `user`.

    :param actor: 0 for an operator
    """

    actor: int
    user: int


@frozen
class SetRole:
    """Set the role of a member.

    :param actor: 0 for an operator
    """

    actor: int
    user: int
    role: Role


@frozen
class Rename:
    """Rename the group.

    :param actor: 0 for an operator
    """

    actor: int
    name: str


@frozen
class Depart:
    """End the membership of an account that is being deleted.

    :param heir: the other member with the lowest id, who becomes owner if the last owner goes; None if there is none
    """

    user: int
    heir: int | None


Operation = Add | Accept | Remove | SetRole | Rename | Depart


@frozen
class RoleChange:
    """A change of a user's role in a group; the role None means not a member."""

    user: int
    before: Role | None
    after: Role | None

    @property
    def members(self) -> int:
        """The change in the number of members."""
        return (self.after is not None) - (self.before is not None)

    @property
    def owners(self) -> int:
        """The change in the number of owners."""
        return (self.after == Role.OWNER) - (self.before == Role.OWNER)


#: The effects of an operation, in order; the new name of a Rename is separate.
Effects = tuple[RoleChange, ...]


@frozen
class GroupFacts:
    """The facts about a group that the rules depend on.

    :param open: anyone may join
    :param owners: the number of owners
    :param members: the number of members
    :param roles: the roles of the users that an operation names, and of those who invite them, as far as they are
        members
    :param groups: the number of groups of each user that an Add or Accept names
    :param invited: the users for whom an invitation waits, and who invites each
    """

    open: bool
    owners: int
    members: int
    roles: Mapping[int, Role]
    groups: Mapping[int, int]
    invited: Mapping[int, int] = field(factory=dict)

    def after(self, change: RoleChange) -> GroupFacts | None:
        """Return the facts after a change, or None if the group no longer exists."""
        members = self.members + change.members
        roles = {user: role for user, role in self.roles.items() if user != change.user}
        if change.after is not None:
            roles[change.user] = change.after
        groups = {**self.groups, change.user: self.groups.get(change.user, 0) + change.members}
        if not members:
            return None
        return GroupFacts(self.open, self.owners + change.owners, members, roles, groups, self.invited)


def users(operations: Iterable[Operation]) -> list[int]:
    """Return the users whose memberships the operations depend on, each once."""
    found: dict[int, None] = {}
    for operation in operations:
        match operation:
            case Rename(actor):
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
    :raises NotFound: there is no such group or member
    :raises Forbidden: the actor is not allowed to
    :raises Conflict: the group would lose its last owner, or the group or a user has as many as there may be
    """
    if facts is None:
        if isinstance(operation, Depart):
            return ()
        raise NotFound()
    match operation:
        case Add():
            return _add(facts, operation)
        case Accept():
            return _accept(facts, operation)
        case Remove():
            return _remove(facts, operation)
        case SetRole():
            return _set_role(facts, operation)
        case Rename():
            if operation.actor:
                _check_admin(facts, operation.actor)
            return ()
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
    if isinstance(operation, Rename):
        return [Happened(0, Happening.RENAMED, operation.actor, operation.actor, operation.name)]
    actor = 0 if isinstance(operation, Depart) else operation.actor
    told = []
    for effect in effects:
        user = effect.user
        match operation:
            case Accept() if facts is not None:
                told.append(Happened(0, Happening.ACCEPTED, user, facts.invited.get(user, 0)))
            case Add():
                told.append(Happened(0, Happening.JOINED if actor == user else Happening.ADDED, user, actor))
            case _ if effect.after is None:
                left = isinstance(operation, Depart) or actor == user
                told.append(Happened(0, Happening.LEFT if left else Happening.REMOVED, user, user if left else actor))
            case _ if effect.after != effect.before:
                told.append(Happened(0, Happening.ROLE, user, actor, effect.after.name.lower()))
    return told


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


def _is_last_owner(facts: GroupFacts, role: Role) -> bool:
    return role == Role.OWNER and facts.owners == 1


def _add(facts: GroupFacts, operation: Add) -> Effects:
    there = operation.user in facts.roles
    if operation.actor not in (0, operation.user):
        _check_admin(facts, operation.actor)
    elif operation.actor and not there and not facts.open:
        raise Forbidden()
    return () if there else _enter(facts, operation.user)


def _accept(facts: GroupFacts, operation: Accept) -> Effects:
    if operation.user in facts.roles:
        return ()
    by = facts.invited.get(operation.user)
    if by is None:
        raise Forbidden()
    _check_admin(facts, by)
    return _enter(facts, operation.user)


def _enter(facts: GroupFacts, user: int) -> Effects:
    if facts.members >= MAX_MEMBERS:
        raise Conflict(MOST_MEMBERS)
    check_groups(facts.groups[user])
    return (RoleChange(user, None, Role.MEMBER),)


def _remove(facts: GroupFacts, operation: Remove) -> Effects:
    role = facts.roles.get(operation.user)
    if operation.actor not in (0, operation.user):
        above = _check_admin(facts, operation.actor)
        if role is not None and above <= role:
            raise Forbidden()
    if role is None:
        return ()
    if _is_last_owner(facts, role) and facts.members > 1:
        raise Conflict(LAST_OWNER)
    return (RoleChange(operation.user, role, None),)


def _set_role(facts: GroupFacts, operation: SetRole) -> Effects:
    if operation.actor and facts.roles.get(operation.actor) != Role.OWNER:
        raise Forbidden()
    before = facts.roles.get(operation.user)
    if before is None:
        raise NotFound()
    if operation.role < Role.OWNER and _is_last_owner(facts, before):
        raise Conflict(LAST_OWNER)
    return (RoleChange(operation.user, before, operation.role),)


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
