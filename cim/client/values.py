"""The values that the client library passes to applications (docs/client.md)."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable

from attrs import field, frozen


class State(enum.Enum):
    """The state of a client."""

    CONNECTING = "connecting"
    READY = "ready"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Kind(enum.Enum):
    """The kind of a message; `Kind("TEXT")`, as `/v1` calls it, and `Kind("text")` are the same, and so its `name`."""

    TEXT = "text"
    RECALL = "recall"
    EDIT = "edit"
    REACTION = "reaction"

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        return cls.__members__.get(value) if isinstance(value, str) else None


@frozen
class Password:
    """An account with a password.

    :param create: create the account if the name is new
    :param invitation: the code of an invitation, for systems that require one for a new account; or a function that is
        called with a sentence for the user when one is required, and returns the code, or an empty text to give up
    :param ask: called with a sentence for the user when `password` is not that of the account, and returns the right
        one, or an empty text to give up
    """

    name: str
    password: str = field(repr=False)
    create: bool = False
    invitation: str | Callable[[str], Awaitable[str]] = field(default="", repr=False)
    ask: Callable[[str], Awaitable[str]] | None = field(default=None, repr=False)


@frozen
class Token:
    """An account that somebody else vouches for: a back end by a token that it made, or an issuer by a JWT.

    :param fresh: the token or JWT; or a function that returns one, and is called whenever one is needed: at first, and
        when the session and the token that it led to have ended
    :param name: what to call the user until it is known
    """

    fresh: str | Callable[[], Awaitable[str]] = field(repr=False)
    name: str = "you"


@frozen
class Guest:
    """An account of upstream's API: anyone who knows the name can log in, and there is no history to read."""

    name: str


Credentials = Password | Token | Guest


@frozen
class User:
    """A user.

    :param id: 0 if it is unknown
    """

    id: int
    name: str


@frozen
class Message:
    """A message as the application sees it: once, in the order of its conversation.

    :param conversation: `p:<lower id>:<higher id>`, `g:<group id>`, or `g:0` for everyone
    :param position: its position there; empty for messages of upstream's servers, which have no positions
    :param sender: who said it; its name is `user <id>` if it was erased since
    :param sent_at: in ms since 1970, by the route's clock
    :param text: what it says: of a TEXT as it stands, of an EDIT the new text, of a REACTION the reaction, else empty
    :param data: bytes that go with it
    :param content_type: the type of `data`, such as `image/png`
    :param kind: a TEXT, or what became of one
    :param client_id: what its sender called it, as `send` returned it
    :param group: the group's id; 0 for a private message
    :param ref: the position of the message that this one recalls, edits or reacts to
    :param mine: whether the client's own user sent it, here or on another device
    :param edited: whether the text is that of a later EDIT
    :param by_operator: whether it is a RECALL by an operator, or empty because of one, as far as routes tell: the local
        history does not
    """

    conversation: str
    position: str
    sender: User
    sent_at: int
    text: str
    data: bytes = b""
    content_type: str = ""
    kind: Kind = Kind.TEXT
    ref: str = ""
    client_id: str = ""
    group: int = 0
    mine: bool = False
    edited: bool = False
    by_operator: bool = False


@frozen
class Sent:
    """A message that was accepted and stored."""

    client_id: str
    conversation: str
    position: str
    sent_at: int


@frozen
class Receipt:
    """Somebody has read a conversation up to a position; it may be the user, on another device."""

    conversation: str
    reader: int
    position: str


@frozen
class Typing:
    """Somebody is typing."""

    conversation: str
    who: int


@frozen
class Presence:
    """A watched user came or went."""

    user: int
    online: bool


@frozen
class Conversation:
    """An entry in a list of conversations.

    :param title: the other user's name, or the group's
    :param unread: others' messages after the read mark, up to 999
    :param latest: the position of the last known message
    :param read: the user's own read mark
    :param muted_until: until when the user mutes it, ms since 1970; 0 if it is not muted, `FOREVER` if for good
    """

    name: str
    title: str
    unread: int
    latest: str
    read: str
    muted_until: int = 0


@frozen
class Group:
    """A group of users.

    :param open: anyone may join
    :param history: members may read what was said before they joined, since that was last allowed
    :param muted: until when only admins and owners may write, ms since 1970; 0 until somebody ends it, None if all may
    """

    id: int
    name: str
    open: bool
    history: bool
    members: int
    muted: int | None = None


@frozen
class Mute:
    """The user has muted or unmuted a conversation, here or on another device.

    :param until: until when, ms since 1970; 0 if it is not muted any more
    """

    conversation: str
    until: int


@frozen
class Invitation:
    """An invitation to a group.

    :param name: the group's name
    :param by: who invites
    :param at: ms since 1970
    """

    group: int
    name: str
    by: User
    at: int


@frozen
class Change:
    """What happened to a group or one of its members.

    :param what: joined, accepted (an invitation by `by`), added, left, removed, banned, unbanned, role, muted, unmuted,
        renamed, open (anyone may join), history (who comes may read what was said before) or dissolved; later releases
        have others
    :param user: whom it happened to, or who changed the group; 0 for an operator, and if all but admins are muted
    :param by: who did it; 0 for an operator, or nobody
    :param text: the new role, the new name, yes or no, or until when, ms since 1970, 0 until somebody ends it
    """

    what: str
    user: int
    by: int
    text: str = ""


@frozen
class Members:
    """What happened to a group and its members, as its log tells it.

    :param at: ms since 1970
    """

    group: int
    conversation: str
    position: str
    at: int
    changes: tuple[Change, ...]


@frozen
class Member:
    """A member of a group.

    :param role: owner, admin or member
    :param muted: until when it may not write, ms since 1970; 0 until somebody ends it, None if it may
    """

    user: User
    role: str
    muted: int | None = None


@frozen
class Ban:
    """That a user may not come back into a group.

    :param by: who banned it; None for an operator
    :param at: ms since 1970
    """

    user: User
    by: User | None
    at: int


@frozen
class Outcome:
    """What became of one of many changes of members.

    :param what: added, invited, present, removed, withdrawn, absent or refused
    :param reason: why it was refused, for people
    """

    user: int
    what: str
    reason: str = ""


@frozen
class Removed:
    """The user is no longer in a group.

    :param what: removed, banned, left (on another device) or dissolved
    :param by: who did it; 0 for an operator, or nobody
    """

    group: int
    what: str
    by: int


@frozen
class Waiting:
    """A message that is not accepted yet, as it is kept across reconnections.

    :param user: its receiver; 0 if it is for a group
    """

    client_id: str
    user: int
    group: int
    text: str
    data: bytes = b""
    content_type: str = ""
    kind: Kind = Kind.TEXT
    ref: str = ""
