"""Changes of sessions and groups in all stores: a rule decides each change, and the store carries it out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred

from cim.model import GUEST, Group, GroupChange, LoginPolicy, Place, Reserved, Role, SessionRecord
from cim.store.rules import sessions as rules
from cim.store.rules.group_values import (
    Accept,
    Add,
    Ban,
    Dissolve,
    Edit,
    Mute,
    Operation,
    Remove,
    SetRole,
    Unban,
)
from cim.store.rules.sessions import Held, SessionChange, SessionFacts

T = TypeVar("T")


class DecidedSessions:
    """The changes of ISessions."""

    def change(
        self,
        name: str,
        user: int,
        decide: Callable[[SessionFacts], SessionChange[T]],
        *,
        by_end: bool = False,
        owner: str = "",
    ) -> Deferred[T]:
        """Carry out what `decide` returns for a user's records, atomically, and return its result.

        :param name: the name of the operation for `IStore.observe`
        :param by_end: whether the decision depends on a recent end of the user
        :param owner: the owner that the decision must know to be barred or not; not together with `by_end`
        """
        raise NotImplementedError

    def reserve(
        self,
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Deferred[Reserved]:
        """See ISessions."""

        def decide(facts: SessionFacts) -> SessionChange[Reserved]:
            record = SessionRecord(user, place, owner, live, facts.now, device)
            expires = 0 if live else facts.now + max(1, round(seconds * 1000))
            return rules.reserve(facts.records, Held(record, policy != LoginPolicy.MANY, expires), policy, expected)

        return self.change("reserve", user, decide)

    def claim(self, user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self.change(
            "claim",
            user,
            lambda facts: rules.claim(facts, SessionRecord(user, place, owner, True, facts.now, device)),
            owner=owner,
        )

    def release(self, user: int, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self.change("release", user, lambda facts: rules.release(facts.records, owner))

    def end(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self.change("end", user, rules.end, by_end=True)

    def expel(
        self, user: int, *, device: str | None = None, kept: str = "", known: Collection[str] = ()
    ) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self.change("expel", user, lambda facts: rules.expel(facts.records, device, kept, known))


@frozen
class GroupChanged:
    """The result of an operation.

    :param group: the group, or None if it no longer exists
    :param changes: the changes of its members, as logged
    :param done: whether anything changed
    """

    group: Group | None
    changes: Sequence[GroupChange]
    done: bool = True


class DecidedGroups:
    """The changes of IGroups."""

    def change(self, name: str, id: int, operation: Operation) -> Deferred[GroupChanged]:
        """Carry out what the rules decide about an operation on a group, atomically.

        :param name: the name of the operation for `IStore.observe`
        """
        raise NotImplementedError

    def add(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self.change("add_member", id, Add(actor, user)).addCallback(_only_change)

    def accept(self, id: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self.change("accept_invitation", id, Accept(user)).addCallback(_only_change)

    def remove(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self.change("remove_member", id, Remove(actor, user)).addCallback(_only_change)

    def set_role(self, id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """See IGroups."""
        return self.change("set_role", id, SetRole(actor, user, role)).addCallback(lambda _: None)

    def edit(
        self, id: int, actor: int, *, name: str | None = None, open: bool | None = None, history: bool | None = None
    ) -> Deferred[Group]:
        """See IGroups."""
        return self.change("edit_group", id, Edit(actor, name, open, history)).addCallback(_the_group)

    def mute(self, id: int, actor: int, user: int, until: int | None) -> Deferred[None]:
        """See IGroups."""
        return self.change("mute_member", id, Mute(actor, user, until)).addCallback(lambda _: None)

    def ban(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self.change("ban_member", id, Ban(actor, user)).addCallback(_only_change)

    def unban(self, id: int, actor: int, user: int) -> Deferred[bool]:
        """See IGroups."""
        return self.change("unban_member", id, Unban(actor, user)).addCallback(lambda changed: changed.done)

    def dissolve(self, id: int, actor: int) -> Deferred[None]:
        """See IGroups."""
        return self.change("dissolve_group", id, Dissolve(actor)).addCallback(lambda _: None)


def _the_group(changed: GroupChanged) -> Group:
    assert changed.group is not None
    return changed.group


def _only_change(changed: GroupChanged) -> GroupChange | None:
    return changed.changes[0] if changed.changes else None
