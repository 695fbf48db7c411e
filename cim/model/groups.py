"""Groups, their members, and what happens to them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from attrs import field, frozen

MAX_MEMBERS = 100_000
MAX_GROUPS = 1_000
#: How many users may be banned from a group, and how many muted in it, at a time.
MAX_BANNED = MAX_MUTED = 1_000
#: How many invitations may wait for one user, and how many of these may be by the same one.
MAX_INVITED = 100
MAX_INVITED_BY = 10
#: How long an invitation waits, and how long after one was declined there may be no other to the same group, in days.
INVITED_DAYS = 30
DECLINED_DAYS = 7


@frozen
class Invitation:
    """An invitation of a user to a group.

    :param by: the user who invites
    :param at: when it was made, or declined, in ms since 1970 on the store's clock
    :param declined: whether it was declined; then it is only kept so that there is not soon another one
    """

    group: int
    user: int
    by: int
    at: int
    declined: bool = False

    def valid(self, now: int) -> bool:
        """Return whether it still counts at a time, in ms since 1970."""
        return now - self.at < 86_400_000 * (DECLINED_DAYS if self.declined else INVITED_DAYS)


class Role(enum.IntEnum):
    """What a member may do in a group; each role may do everything that the lower ones may."""

    MEMBER = 0
    ADMIN = 1
    OWNER = 2


@frozen
class Group:
    """A group of users.

    :param open: whether anyone may join; otherwise an admin or an owner must add them
    :param history: whether members may read what was said before they joined, since that was last allowed
    :param version: counts the changes to its members
    :param muted: until when all but its admins and owners may say nothing, ms since 1970 on the store's clock; 0 until
        somebody ends it, None if they may
    :param ended: whether it is being dissolved: nobody comes in or says anything any more
    """

    id: int
    name: str
    open: bool
    history: bool
    members: int
    version: int
    muted: int | None = None
    ended: bool = False


@frozen
class Member:
    """A member of a group.

    :param floor: the group's last position when they joined; empty if they may read everything
    """

    group: int
    user: int
    role: Role
    floor: str


@frozen
class Ban:
    """That a user may not come back into a group.

    :param by: who banned it; 0 for an operator
    :param at: when, in ms since 1970 on the store's clock
    """

    group: int
    user: int
    by: int
    at: int


@frozen
class Restrictions:
    """What the admins of groups keep a user from.

    :param muted: until when it may say nothing, by group, ms since 1970; 0 until somebody ends it
    :param bans: the groups that it may not come back into
    """

    muted: Mapping[int, int]
    bans: Sequence[Ban]


@frozen
class Memberships:
    """The groups that a user is in, at most MAX_GROUPS, as of a version of the change log.

    :param epoch: the store's, with whose versions this one compares; 0 if that does not matter
    """

    version: int
    members: tuple[Member, ...]
    epoch: int = 0


@frozen
class GroupChange:
    """A change to a group's members, as recorded in the change log.

    :param version: the version of the log, which counts over all groups
    :param group_version: the version of the group's members
    :param floor: that of a member who was added (see Member)
    :param previous: the version before this one, if it is not the number before; 0 if it is, or is not known
    """

    version: int
    group: int
    user: int
    added: bool
    group_version: int = 0
    floor: str = ""
    previous: int = field(default=0, eq=False)


class Happening(enum.StrEnum):
    """What happened to a group or one of its members."""

    JOINED = "joined"
    ACCEPTED = "accepted"
    ADDED = "added"
    LEFT = "left"
    REMOVED = "removed"
    ROLE = "role"
    RENAMED = "renamed"
    #: `text` is "yes" or "no".
    OPEN = "open"
    HISTORY = "history"
    #: `text` is until when, ms since 1970, or 0; `user` is 0 for all but admins.
    MUTED = "muted"
    UNMUTED = "unmuted"
    BANNED = "banned"
    UNBANNED = "unbanned"
    DISSOLVED = "dissolved"


@frozen
class Happened:
    """Something that happened to a group, and is not in its log yet.

    :param number: counts up in the group
    :param by: who did it, or for ACCEPTED, who invited; 0 for an operator, or nobody
    :param text: the new role or name
    """

    number: int
    what: Happening
    user: int
    by: int
    text: str = ""
