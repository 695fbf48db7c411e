"""Groups, their members, and who is invited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.model import (
        Ban,
        Group,
        GroupChange,
        Happened,
        Invitation,
        Listing,
        Member,
        Memberships,
        Restrictions,
        Role,
    )


class IGroups(Interface):
    """Groups and their members. Every method fails with StoreUnavailable when the store is unavailable.

    Methods that take an `actor` check the actor's rights in the same step and fail with Forbidden or NotFound.
    """

    def create(owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """Create a group whose only member is its owner.

        :param open: whether anyone may join
        :param history: whether members may read what was said before they joined
        """

    def group(id: int) -> Deferred[Group | None]:
        """Return the group with that id, if there is one."""

    def listed(*, after: str = "", limit: int) -> Deferred[Listing[Group]]:
        """Return some groups, as `IAccounts.listed` does accounts."""

    def edit(
        id: int, actor: int, *, name: str | None = None, open: bool | None = None, history: bool | None = None
    ) -> Deferred[Group]:
        """Change what a group is called, and who may join and read; None leaves it as it is.

        The actor must be an admin or an owner, or 0 for an operator. What a member could not read before it still
        cannot; and who joins once `history` is allowed reads what is said from then on, not what was said before.
        """

    def mute(id: int, actor: int, user: int, until: int | None) -> Deferred[None]:
        """Have `append` refuse what a member says (Muted), but for recalls; or end that.

        The actor must be an admin or an owner of a higher role than the member, or 0 for an operator; owners may end
        it for everybody. It outlasts the membership. Conflict if MAX_MUTED are muted.

        :param user: 0 for all members who are neither admins nor owners
        :param until: when it ends, ms since 1970 on the store's clock; 0 for never, None for now
        """

    def mutes(id: int) -> Deferred[Mapping[int, int]]:
        """Return which users are muted in a group, and until when, as `mute` has it."""

    def ban(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """End the membership of a user, if it is a member, and let nobody bring it back.

        Rights are those of `remove`. An invitation no longer waits then. Conflict if MAX_BANNED are banned.
        """

    def unban(id: int, actor: int, user: int) -> Deferred[bool]:
        """Let a user come back; False if it was not banned. The actor must be an admin or an owner, or 0.

        Forbidden if an operator banned it, and the actor is none.
        """

    def bans(id: int) -> Deferred[Sequence[Ban]]:
        """Return who is banned from a group, the last one first."""

    def restrictions(user: int) -> Deferred[Restrictions]:
        """Return where a user is muted or banned."""

    def dissolve(id: int, actor: int) -> Deferred[None]:
        """Let nobody come in or say anything any more; the actor must be an owner, or 0 for an operator.

        The group is gone once its members are removed, of whom nothing is told then.
        """

    def member(id: int, user: int) -> Deferred[Member | None]:
        """Return the user's membership in a group, or None if the user is not a member."""

    def members(id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """Return up to `limit` members with ids above `after`, sorted by id."""

    def memberships(user: int, version: int | None = None) -> Deferred[Memberships]:
        """Return the user's memberships by group, and the version of the change log that they reflect.

        :param version: a version that the log had before, if the caller knows one: it is returned then, without a read
        """

    def add(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """Make `user` a member; return None if they are one already. An invitation no longer waits then.

        Users may add themselves to an open group; otherwise the actor must be an admin or an owner, or 0 for an
        operator. Fails with Conflict if the group has MAX_MEMBERS members, the user is in MAX_GROUPS groups, or it is
        banned, whoever the actor is; Forbidden if it is itself.
        """

    def accept(id: int, user: int) -> Deferred[GroupChange | None]:
        """Make `user` a member by the invitation that waits; return None if they are one already.

        Forbidden if there is no invitation, it has expired, or who invites is no admin or owner any more. Otherwise it
        fails like `add`.
        """

    def remove(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """End the actor's own membership, or that of a member with a lower role; return None if there was none.

        The actor 0, an operator, may end any. A group without members is gone, with its messages. Fails with Conflict
        if the last owner would leave other members behind.
        """

    def set_role(id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """Give a member a role; the actor must be an owner, or 0 for an operator. A group may have several owners."""

    def happened(id: int, limit: int = 1000) -> Deferred[list[Happened]]:
        """Return what happened to a group and its members and is not in its log yet, in order.

        It is kept in the same step as the change itself, until `told`, and numbered in the group.
        """

    def told(id: int, number: int) -> Deferred[None]:
        """Note that what happened up to a number is in the group's log."""

    def changes(after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """Return the changes after a version, the log's current version, and whether some changes were trimmed."""


class IInvitations(Interface):
    """Invitations to groups. Every method fails with StoreUnavailable when the store is unavailable.

    They wait for INVITED_DAYS and are gone when the user becomes a member, by whatever way.
    """

    def invite(group: int, by: int, user: int) -> Deferred[Invitation | None]:
        """Invite a user; return the invitation that waits, which may be an earlier valid one, or None for a member.

        `by` must be an admin or an owner (Forbidden), whom the user does not block (AccountMismatch). Conflict if the
        user is banned, declined within DECLINED_DAYS, or MAX_INVITED_BY by the same one wait for it. Of more than
        MAX_INVITED that wait, the oldest of whoever has the most goes; Conflict if that is `by`.
        """

    def end(group: int, user: int, *, declined: bool) -> Deferred[bool]:
        """End an invitation that waits; False if none does.

        :param declined: the user declined it; otherwise it was withdrawn
        """

    def waiting(user: int) -> Deferred[Sequence[Invitation]]:
        """Return the invitations that wait for a user, the oldest first."""
