"""Values that the rules of groups work on: operations, their effects, and the facts that decide about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from attrs import evolve, field, frozen

from cim.model import Role

_T = TypeVar("_T")


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
class Edit:
    """Change the group's name, or who may join and read; None leaves it as it is.

    :param actor: 0 for an operator
    """

    actor: int
    name: str | None = None
    open: bool | None = None
    history: bool | None = None


@frozen
class Mute:
    """Let a user say nothing, or say something again.

    :param actor: 0 for an operator
    :param user: 0 for all who are neither admins nor owners
    :param until: ms since 1970; 0 for ever, None to end it
    """

    actor: int
    user: int
    until: int | None


@frozen
class Ban:
    """End the membership of `user`, and let it not come back.

    :param actor: 0 for an operator
    """

    actor: int
    user: int


@frozen
class Unban:
    """Let `user` come back.

    :param actor: 0 for an operator
    """

    actor: int
    user: int


@frozen
class Dissolve:
    """Let nobody come in or say anything any more.

    :param actor: 0 for an operator
    """

    actor: int


@frozen
class Depart:
    """End the membership of an account that is being deleted.

    :param heir: the other member with the lowest id, who becomes owner if the last owner goes; None if there is none
    """

    user: int
    heir: int | None


Operation = Add | Accept | Remove | SetRole | Edit | Mute | Ban | Unban | Dissolve | Depart


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


@frozen
class Muting:
    """A user, or with 0 all but admins and owners, may say nothing, or with None for `until` something again."""

    user: int
    until: int | None


@frozen
class Banning:
    """A user may not come back.

    :param by: who decided that; None to let it come back
    """

    user: int
    by: int | None


@frozen
class Editing:
    """A group's name, and who may join and read, are others now; None for what is as it was."""

    name: str | None
    open: bool | None
    history: bool | None


@frozen
class Ending:
    """Nobody comes in or says anything any more."""


Effect = RoleChange | Muting | Banning | Editing | Ending
#: The effects of an operation, in order.
Effects = tuple[Effect, ...]


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
    :param history: members may read what was said before they joined
    :param ended: it is being dissolved
    :param bans: the users who are banned, and who banned each: those that an Add or Accept names; all for a Ban
    :param muted: until when users are muted: all of them for a Mute
    """

    open: bool
    owners: int
    members: int
    roles: Mapping[int, Role]
    groups: Mapping[int, int]
    invited: Mapping[int, int] = field(factory=dict)
    history: bool = False
    ended: bool = False
    bans: Mapping[int, int] = field(factory=dict)
    muted: Mapping[int, int] = field(factory=dict)

    def after(self, effect: Effect) -> GroupFacts | None:
        """Return the facts after an effect, or None if the group no longer exists."""
        match effect:
            case RoleChange(user):
                members = self.members + effect.members
                roles = _with(self.roles, user, effect.after)
                groups = {**self.groups, user: self.groups.get(user, 0) + effect.members}
                if not members:
                    return None
                return evolve(self, owners=self.owners + effect.owners, members=members, roles=roles, groups=groups)
            case Muting(user, until):
                return evolve(self, muted=_with(self.muted, user, until)) if user else self
            case Banning(user, by):
                return evolve(self, bans=_with(self.bans, user, by), invited=_with(self.invited, user, None))
            case Editing(_, open, history):
                return evolve(
                    self,
                    open=self.open if open is None else open,
                    history=self.history if history is None else history,
                )
            case Ending():
                return evolve(self, ended=True)


def _with(held: Mapping[int, _T], user: int, value: _T | None) -> Mapping[int, _T]:
    others = {one: its for one, its in held.items() if one != user}
    return others if value is None else {**others, user: value}
