"""Who may do what in a group, and whom a login replaces: the same rules for every store.

The rules are functions on values and know nothing of stores. A store reads the facts, lets a rule decide, and writes
the decision, either in one transaction or only if the facts are unchanged (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

from cim.errors import AccountMismatch, CIMError, Conflict, Forbidden, NotFound, RateLimited, RepeatedEnd
from cim.model import (
    DECLINED_DAYS,
    GUEST,
    MAX_BLOCKED,
    MAX_DEVICES,
    MAX_GROUPS,
    MAX_INVITED,
    MAX_INVITED_BY,
    MAX_MEMBERS,
    RESERVATION_SECONDS,
    Happened,
    Happening,
    Invitation,
    LoginPolicy,
    Reserved,
    Role,
    SessionRecord,
)

T = TypeVar("T")

MOST_GROUPS = f"a user can be in at most {MAX_GROUPS:,} groups"
MOST_MEMBERS = f"a group can have at most {MAX_MEMBERS:,} members"
LAST_OWNER = "make someone else an owner first"

# Groups


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
    """End the membership of `user`."""

    actor: int
    user: int


@frozen
class SetRole:
    """Set the role of a member."""

    actor: int
    user: int
    role: Role


@frozen
class Rename:
    """Rename the group."""

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
                left = actor in (0, user)
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


def check_blocked(count: int) -> None:
    """Check that a user who blocks that many others may block another one.

    :raises Conflict: the user blocks too many
    """
    if count >= MAX_BLOCKED:
        raise Conflict(f"a user can block at most {MAX_BLOCKED:,} others: unblock one of them first")


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
    if operation.actor != operation.user:
        above = _check_admin(facts, operation.actor)
        if role is not None and above <= role:
            raise Forbidden()
    if role is None:
        return ()
    if _is_last_owner(facts, role) and facts.members > 1:
        raise Conflict(LAST_OWNER)
    return (RoleChange(operation.user, role, None),)


def _set_role(facts: GroupFacts, operation: SetRole) -> Effects:
    if facts.roles.get(operation.actor) != Role.OWNER:
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


# Invitations


@frozen
class InvitingFacts:
    """The facts that an invitation depends on.

    :param exists: whether there is such a group
    :param roles: the roles of the user and of all who invite it, as far as they are members
    :param blocked: whether the user blocks who invites it
    :param held: the user's invitations that count
    """

    exists: bool
    roles: Mapping[int, Role]
    blocked: bool
    held: Sequence[Invitation]


def invite(facts: InvitingFacts, wanted: Invitation) -> Invitation | None:
    """Return the invitation that waits from now on: the wanted one, or an earlier one; None if the user is a member.

    :raises AccountMismatch: the user blocks who invites it
    :raises NotFound: there is no such group
    :raises Forbidden: who invites it is not allowed to
    :raises Conflict: the user declined lately, or has too many invitations
    """
    if facts.blocked:
        raise AccountMismatch()
    if not facts.exists:
        raise NotFound()
    if facts.roles.get(wanted.by, Role.MEMBER) < Role.ADMIN:
        raise Forbidden()
    if wanted.user in facts.roles:
        return None
    for held in facts.held:
        if held.group == wanted.group:
            if held.declined:
                raise Conflict(f"this user has declined: invite it again after {DECLINED_DAYS} days")
            if facts.roles.get(held.by, Role.MEMBER) >= Role.ADMIN:
                return held
    waiting = [held for held in facts.held if not held.declined and held.group != wanted.group]
    if len(waiting) >= MAX_INVITED:
        raise Conflict(f"{MAX_INVITED} invitations wait for this user: try again later")
    if sum(held.by == wanted.by for held in waiting) >= MAX_INVITED_BY:
        raise Conflict(f"{MAX_INVITED_BY} of your invitations wait for this user: withdraw one, or try again later")
    return wanted


# Sessions


@frozen
class Held:
    """A session record with facts that only the rules need.

    :param alone: its login allows no other live device
    :param expires: when the reservation expires, in ms since 1970; 0 for a live session
    """

    record: SessionRecord
    alone: bool
    expires: int = 0

    @property
    def at_upstream(self) -> bool:
        """Whether it is a session at one of upstream's servers, which have no incarnation."""
        return self.record.live and not self.record.place.incarnation


#: A user's records, the newest last.
Records = tuple[Held, ...]


def unexpired(records: Iterable[Held], now: int) -> Records:
    """Return the records that are valid at a time, in ms since 1970."""
    return tuple(held for held in records if not held.expires or held.expires > now)


@frozen
class SessionFacts:
    """The facts about a user that the rules depend on.

    :param records: the valid records
    :param ended: whether an end of the user was handled within REPEATED_WITHIN_MS
    :param now: the time in ms since 1970 by the store's clock
    :param barred: whether the owner that the change is about was expelled
    """

    records: Records
    ended: bool
    now: int
    barred: bool = False


@frozen
class SessionChange(Generic[T]):
    """The effect of a change.

    :param records: the valid records from now on
    :param ends: whether it is an end of the user
    :param bars: owners that may not claim a record any more
    """

    records: Records
    result: T
    ends: bool = False
    bars: Collection[str] = ()


#: An end is taken for a repetition if the newest record is younger than YOUNG_MS and another end was handled within
#: REPEATED_WITHIN_MS, both in ms: upstream's clients send theirs two or three times.
YOUNG_MS = 1000
REPEATED_WITHIN_MS = 3000
#: How long an owner that was expelled stays barred, and how many of a user; of more the first are forgotten.
BARRED_SECONDS = 86_400
MOST_BARRED = 100


def reserve(records: Records, wanted: Held, policy: LoginPolicy, dead: Collection[str]) -> SessionChange[Reserved]:
    """Reserve a place for a login; nothing changes if live records are in the way.

    :param dead: owners of live records that are known to be dead
    :raises RateLimited: MAX_DEVICES others are reserved, and none of them is live
    """
    device = wanted.record.device
    kept: list[Held] = []
    replaced: list[SessionRecord] = []
    in_the_way: list[SessionRecord] = []
    for held in records:
        record = held.record
        same = record.device == device
        if record.live and record.owner in dead:
            continue
        if record.live:
            # There is no telling whether two guests are the same device.
            gives_way = policy == LoginPolicy.REPLACE or (same and device != GUEST)
        else:
            gives_way = policy != LoginPolicy.MANY or same
        if not gives_way:
            kept.append(held)
            if record.live and (same or policy == LoginPolicy.REJECT):
                in_the_way.append(record)
        elif record.live:
            replaced.append(record)
    if not in_the_way and len(kept) >= MAX_DEVICES:
        in_the_way = [held.record for held in kept if held.record.live]
        if not in_the_way:
            raise RateLimited("too many devices are logging in at once: try again later", RESERVATION_SECONDS)
    if in_the_way:
        return SessionChange(records, Reserved(tuple(in_the_way)))
    return SessionChange((*kept, wanted), Reserved(replaced=tuple(replaced)))


def claim(facts: SessionFacts, live: SessionRecord) -> SessionChange[bool]:
    """Make a session live; if another login holds its place or it was expelled, change nothing and return False."""
    records = facts.records
    if facts.barred:
        return SessionChange(records, False)
    others: list[Held] = []
    held = None
    newer = False
    for one in records:
        if one.record.device == live.device:
            held = one
        else:
            others.append(one)
            newer = newer or one.alone
    if held is None:
        # A login that allows no other live device is the newer one.
        return SessionChange(records if newer else (*others, Held(live, False)), not newer)
    if held.record.owner != live.owner or held.record.live:
        return SessionChange(records, held.record.owner == live.owner)
    return SessionChange((*others, Held(live, held.alone)), True)


def release(records: Records, owner: str) -> SessionChange[bool]:
    """Remove an owner's record; return False if there is none."""
    left = tuple(held for held in records if held.record.owner != owner)
    found = len(left) < len(records)
    return SessionChange(left if found else records, found, ends=found)


def end(facts: SessionFacts) -> SessionChange[Sequence[SessionRecord]]:
    """Remove all records.

    :raises RepeatedEnd: it repeats an end that was already handled
    """
    records = [held.record for held in facts.records]
    if records and facts.ended and facts.now - records[-1].since < YOUNG_MS:
        raise RepeatedEnd()
    return SessionChange((), records, ends=True)


def expel(
    records: Records, device: str | None, kept: str, known: Collection[str]
) -> SessionChange[Sequence[SessionRecord]]:
    """Remove the records of a device, or with None of all, but not that of the owner `kept`; bar their owners.

    :param known: further owners to bar, of sessions that may have no record
    """
    gone = [held.record for held in records if device in (None, held.record.device) and held.record.owner != kept]
    left = tuple(held for held in records if held.record not in gone)
    bars = {*known, *(record.owner for record in gone)} - {kept}
    return SessionChange(left if gone else records, gone, ends=bool(gone), bars=bars)


def shown(records: Records) -> Held | None:
    """Return the record that upstream's servers get to see: the newest live one, or else the newest."""
    for held in reversed(records):
        if held.record.live:
            return held
    return records[-1] if records else None
