"""Frozen values that the layers pass to each other."""

from __future__ import annotations

import base64
import enum
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from cim.errors import InvalidField
from cim.traces import UNTRACED, Trace

T = TypeVar("T")

#: Account ids stay below this, so that a JavaScript number can hold them exactly.
ID_LIMIT = 1 << 53
MAX_MEMBERS = 100_000
MAX_GROUPS = 1_000
#: How many users may be banned from a group, and how many muted in it, at a time.
MAX_BANNED = MAX_MUTED = 1_000
#: How many others a user may block.
MAX_BLOCKED = 1_000
#: How many conversations a user may mute, and until when one is muted that is muted for good, ms since 1970.
MAX_MUTED_CONVERSATIONS = 1_000
FOREVER = ID_LIMIT - 1
#: How many invitations may wait for one user, and how many of these may be by the same one.
MAX_INVITED = 100
MAX_INVITED_BY = 10
#: How long an invitation waits, and how long after one was declined there may be no other to the same group, in days.
INVITED_DAYS = 30
DECLINED_DAYS = 7
MAX_DEVICES = 16
#: How long a client has to connect after its login, in seconds.
RESERVATION_SECONDS = 30
#: The device of all guests, because they do not say which device they use.
GUEST = "guest"
MAX_NAME = 64


def check_name(name: str, field_name: str = "userName") -> str:
    """Return `name` if it can be a user's name: 1 to 64 characters, without control characters or surrogates.

    :raises InvalidField: names `field_name` and says what is wrong
    """
    if not name or name.isspace():
        raise InvalidField(field_name, "must not be blank")
    if len(name) > MAX_NAME:
        raise InvalidField(field_name, f"must have at most {MAX_NAME} characters, not {len(name)}")
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidField(field_name, "must not contain control characters or lone surrogates")
    return name


def check_id(value: int, field_name: str) -> int:
    """Return `value` if it can be an id: 1 to 2^53 - 1.

    :raises InvalidField: names `field_name`
    """
    if not 0 < value < ID_LIMIT:
        raise InvalidField(field_name, f"must be between 1 and {ID_LIMIT - 1}")
    return value


@frozen
class Account:
    """Someone who can log in."""

    id: int
    name: str


@frozen
class Sanction:
    """That an operator bans or mutes a user.

    :param until: when it ends, in ms since 1970 of the store's steady time; 0 for never
    :param reason: why, for the user; empty if nobody said
    :param since: when it was made, likewise
    """

    until: int = 0
    reason: str = ""
    since: int = 0

    def holds(self, now: int) -> bool:
        """Return whether it has not ended at a time."""
        return not self.until or now < self.until


@frozen
class ListedAccount:
    """An account in a list.

    :param password: whether it has a password; guests have none
    :param ban: what keeps it from logging in
    """

    account: Account
    password: bool
    ban: Sanction | None = None


@frozen
class Listing(Generic[T]):
    """A part of all that a store has of something; how it is sorted is up to the store.

    :param more: where to go on; empty at the end
    """

    items: Sequence[T]
    more: str = ""


@frozen
class Place:
    """A server during one run of its process; a session record is valid only for one place.

    :param server: the server's registry name
    :param incarnation: identifies the run; empty for one of upstream's servers
    """

    server: str
    incarnation: str = ""

    def __str__(self) -> str:
        return f"{self.server}/{self.incarnation}"


@frozen
class SessionRecord:
    """What the store knows about a user's session or reservation.

    :param owner: the token of the login that made it; only its holder may change or remove the record
    :param live: False for a reservation that has not been claimed yet
    :param since: when it was reserved or claimed, ms since 1970 on the store's clock
    """

    user: int
    place: Place
    owner: str
    live: bool
    since: int
    device: str = GUEST


class LoginPolicy(enum.StrEnum):
    """What a login does to the user's sessions on other devices (docs/architecture.md, Logins)."""

    REJECT = "reject"
    REPLACE = "replace"
    MANY = "many"


@frozen
class Reserved:
    """The result of a request for a reservation.

    :param in_the_way: live records that prevent it; if there are any, nothing was changed
    :param replaced: live records that it replaced; the caller must end their sessions
    """

    in_the_way: tuple[SessionRecord, ...] = ()
    replaced: tuple[SessionRecord, ...] = ()


@frozen
class LinkPeer:
    """The peer at the other end of a link.

    :param name: its registry name: `host:tcp:http` for a server, `host:http:link` for a route
    :param websocket: where a server takes clients' WebSockets, a URL
    :param tls_name: whom clients verify on a server's TCP port; empty where they do not use TLS
    """

    name: str
    incarnation: str
    websocket: str = ""
    tls_name: str = ""

    @property
    def place(self) -> Place:
        """The peer as a place where sessions live."""
        return Place(self.name, self.incarnation)


@frozen
class Candidate:
    """A server that a login may be directed to.

    :param sessions: how many sessions it holds, as far as the route knows
    """

    server: str
    sessions: int = 0


@define
class Health:
    """The answer of `/health`: each part by name, with "" when it is well or a sentence that says what is wrong."""

    parts: dict[str, str] = field(factory=dict)
    facts: dict[str, Any] = field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every part is well."""
        return not any(self.parts.values())

    def with_facts(self, facts: Mapping[str, Any]) -> Health:
        """Return the same with more facts."""
        return Health(self.parts, {**self.facts, **facts})


class Charge(enum.StrEnum):
    """What an entry counts to (docs/limits.md, History)."""

    #: The bounds of its conversation, and the quota of its sender.
    USER = "user"
    #: The bounds of its conversation alone.
    LOG = "log"
    #: Nothing: the store adds it by itself, as it does changes of members.
    NONE = "none"


class Fate(enum.StrEnum):
    """What is to become of a message that may be stored or refused only once (docs/architecture.md, Policies)."""

    STORED = "stored"
    #: Nothing yet: the answer says what has become of it.
    ASKED = "asked"
    REFUSED = "refused"


@frozen
class Append:
    """A message on its way into a conversation.

    :param conversation: its name, `p:...` or `g:...`
    :param client_id: the sender's id for it; a repetition has the same one in the same conversation
    :param digest: a digest of what the sender said; the same client_id with another digest is a conflict
    :param body: a serialized `Deliver` without conversation, position and previous
    :param sent_at: ms since 1970 on the route's clock; also the time of activity in the indexes
    :param counts: whether it counts as unread for the others
    :param after: the client_id of the sender's message that must be stored before it; empty for none
    :param refers: the position of the text that it changes or reacts to, which must exist; empty for none
    :param recalls: the position of the text that it blanks; empty for none
    :param past_blocks: whether it is stored even if its receiver blocks its sender
    :param charge: what it counts to
    :param edits: whether readers get it as the content of the text that it refers to
    :param by_operator: whether it is an operator who recalls a text
    :param fate: REFUSED if a policy refused it, for the reason that is the body then
    :param trace: what it is traced by, if it is
    """

    conversation: str
    sender: int
    client_id: str
    digest: bytes
    body: bytes
    sent_at: int
    counts: bool = True
    after: str = ""
    refers: str = ""
    recalls: str = ""
    past_blocks: bool = False
    charge: Charge = Charge.USER
    edits: bool = False
    fate: Fate = Fate.STORED
    trace: Trace = UNTRACED
    by_operator: bool = False


@frozen
class Appended:
    """Where a message stands in its conversation.

    :param previous: the last position before it; empty for the first message
    :param repeated: whether it was stored already; then `sent_at` and `body` are those of the first time
    :param version: the version of the group's members when it was appended; 0 in a conversation of two people
    :param changed: whether `body` says something else than its sender did
    """

    position: str
    previous: str
    sent_at: int
    body: bytes
    repeated: bool = False
    version: int = 0
    changed: bool = False


@frozen
class Followed:
    """Where a follower of the logs is in a conversation.

    :param position: up to where it has all
    :param failures: how often it failed in a row with what is next
    :param since: the first of those times, in ms since 1970; 0 without one
    """

    conversation: str
    position: str
    failures: int = 0
    since: int = 0


@frozen
class Following:
    """How a follower of the logs fares.

    :param late: how many conversations are due to be looked at
    :param stopped: whether it has stopped altogether
    :param count: in how many conversations it has stopped
    :param conversations: some of those, and when it stopped there, in ms since 1970
    """

    late: int
    stopped: bool
    count: int
    conversations: Mapping[str, int]


@frozen
class Entry:
    """A message as it is read; `body` is blanked if the message was recalled."""

    position: str
    previous: str
    body: bytes


@frozen
class Page:
    """A page of a conversation, oldest message first.

    :param upto: the position up to which the reader holds everything once it has the entries
    :param more: whether there is more in the direction that was asked for
    :param reset: the reader must treat everything up to `upto` as held although it did not get all of it: messages
        were trimmed, the user joined later, or the store lost the tail that the reader's own position is in
    """

    entries: tuple[Entry, ...]
    upto: str
    more: bool
    reset: bool = False


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


@frozen
class ConversationHead:
    """A user's view of one conversation: positions, and the number of unread messages of others, at most 999.

    :param active: when something was last said there, ms since 1970
    """

    conversation: str
    latest: str
    received: str
    read: str
    unread: int
    active: int


@frozen
class HeadsPage:
    """A page of conversations with something new, newest first.

    :param more: the `after` of the next page; empty at the end
    :param as_of: when they were read, ms since 1970 on the store's clock
    :param invited: on the first page, the invitations that wait for the user
    """

    heads: tuple[ConversationHead, ...]
    more: str
    as_of: int
    invited: tuple[Invitation, ...] = ()


@frozen
class Mark:
    """A receipt: a mark to move forward.

    :param device: the device whose received mark it moves; None to move the user's read mark
    :param floor: the position up to which this user may not read, set when a member joined
    """

    user: int
    device: str | None
    conversation: str
    position: str
    floor: str = ""


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


#: In the place of a password's hash: the account is the system user, and no password is right.
SYSTEM = "system"


@frozen
class Credential:
    """How an account authenticates.

    :param password: the argon2 hash, or SYSTEM
    :param valid_from: tokens issued before this are void, ms since 1970
    :param ban: what keeps it from logging in
    """

    password: str
    valid_from: int
    ban: Sanction | None = None


@frozen
class Report:
    """That a user reported a message to the operators, with a copy of what it said then.

    :param position: where the message is in the conversation
    :param sender: who said it, and when (ms since 1970)
    :param text: what it said; the beginning, if it is longer than a copy may be
    :param cut: whether it said more
    :param size: bytes of data that went with the text, of which there is no copy
    :param reason: why, by the reporter
    :param at: when it was made, ms since 1970 of the store's steady time, as all that follows
    :param closed: when an operator closed it; 0 while it is open
    :param by: the name of the API key with which it was closed
    :param note: what the operator noted
    """

    reporter: int
    conversation: str
    position: str
    sender: int
    sender_name: str
    sent_at: int
    text: str
    cut: bool = field(converter=bool)
    content_type: str
    size: int
    reason: str
    id: int = 0
    at: int = 0
    closed: int = 0
    by: str = ""
    note: str = ""


@frozen
class Reported:
    """The result of reporting a message.

    :param repeated: whether the reporter had reported it before; then that report stands
    """

    report: Report
    repeated: bool


@frozen
class Registration:
    """Where one of a user's devices is notified of messages while it has no session (docs/push.md).

    :param kind: which pusher serves it, such as `webpush`
    :param address: where that sends to: an endpoint's URL, or a token; whoever has it can send there
    :param keys: what else that needs, as JSON
    :param at: when it was made or renewed last, in ms since 1970 on the store's clock
    :param ends: when the token ends that it was made with, likewise; 0 if nothing bounds that
    :param token: the id of the token of a back end that it goes back to; empty for none
    """

    user: int
    kind: str
    address: str = field(repr=False)
    device: str
    keys: str = field(default="", repr=False)
    at: int = 0
    ends: int = 0
    token: str = ""

    @property
    def id(self) -> str:
        """Its name, which does not tell its address."""
        return hashlib.sha256(f"{self.kind} {self.address}".encode()).hexdigest()[:32]


@frozen
class Notice:
    """What a user is notified of: that something was said, or that it has been read elsewhere meanwhile.

    :param position: of the last message that it is about
    :param sender: who said that
    :param sender_name: its name; empty where names are left out, and so is `group_name`
    :param group_name: that of the group; empty in a conversation of two people
    :param text: what it says; empty where texts are left out
    :param badge: how many messages of others are unread in all conversations together
    :param read: the user has read it elsewhere: what was shown goes
    :param at: when it was made, ms since 1970; repetitions have the same
    """

    conversation: str
    position: str = ""
    sender: int = 0
    sender_name: str = ""
    group_name: str = ""
    text: str = ""
    badge: int = 0
    read: bool = False
    at: int = 0

    @property
    def topic(self) -> str:
        """Names the conversation for services in the middle, by 32 letters, digits, `-` and `_`: the newest replaces
        those before it."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.conversation.encode()).digest())[:32].decode()

    def shown(self) -> dict[str, Any]:
        """Return it as a JSON value, without what is empty."""
        shown = {
            "conversation": self.conversation,
            "position": self.position,
            "sender": self.sender,
            "sender_name": self.sender_name,
            "group_name": self.group_name,
            "text": self.text,
            "read": self.read,
        }
        return {**{name: value for name, value in shown.items() if value}, "badge": self.badge}


class Pushed(enum.StrEnum):
    """What became of a notification."""

    DONE = "done"
    #: The address is no longer one: its registration goes.
    GONE = "gone"
    #: It may be tried again.
    LATER = "later"
    #: It was not taken, and will not be.
    REFUSED = "refused"


#: How long the marks of a device are kept that neither logs in nor receives anything.
_DEVICE_SECONDS = 90 * 86400


@frozen
class Retention:
    """How long messages are kept, and how many (docs/limits.md, History).

    :param count: messages of a conversation, beyond which what nothing protects is trimmed
    :param bytes: bytes of a conversation, likewise
    :param user_bytes: bytes that the store holds of one user, beyond which no more is taken; 0 for no limit
    :ivar ms: the days in ms
    :ivar device_ms: how long a device's marks are kept, in ms; never less than messages are
    """

    days: float = 30
    count: int = 10_000
    bytes: int = 64 << 20
    user_bytes: int = 1 << 30
    ms: int = field(init=False)
    device_ms: int = field(init=False)

    @ms.default
    def _ms(self) -> int:
        return int(self.days * 86_400_000)

    @device_ms.default
    def _device_ms(self) -> int:
        return max(self.ms, _DEVICE_SECONDS * 1000)
