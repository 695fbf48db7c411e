"""Frozen values that the layers hand each other."""

from __future__ import annotations

import enum
import json
import unicodedata
from typing import Any, Self

from attrs import define, field, frozen

from cim.errors import InvalidField

#: Account ids stay below this, so that JavaScript can hold them.
ID_LIMIT = 1 << 53
MAX_MEMBERS = 100_000
MAX_GROUPS = 1_000
MAX_DEVICES = 16
#: The device of guests: nobody knows whether two of them are the same one.
GUEST = "guest"
MAX_NAME = 64


def check_name(name: str, field_name: str = "userName") -> str:
    """Return `name` when it can be a user's name: 1 to 64 characters, no controls, no surrogates.

    :raises InvalidField: names `field_name` and says what is wrong
    """
    if not name or name.isspace():
        raise InvalidField(field_name, "must not be blank")
    if len(name) > MAX_NAME:
        raise InvalidField(field_name, f"must have at most {MAX_NAME} characters, has {len(name)}")
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidField(field_name, "must not contain control characters or lone surrogates")
    return name


def check_id(value: int, field_name: str) -> int:
    """Return `value` when it can be an id: 1 to 2^53 - 1.

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


def _split_address(text: str, what: str) -> tuple[str, int, int]:
    parts = text.split(":")
    if len(parts) != 3 or not parts[0]:
        raise InvalidField(what, f"must be host:port:port, is {text[:80]!r}")
    ports = []
    for part in parts[1:]:
        if not (part.isascii() and part.isdigit() and len(part) <= 5 and 0 < int(part) < 65536):
            raise InvalidField(what, f"must be host:port:port, is {text[:80]!r}")
        ports.append(int(part))
    return parts[0], ports[0], ports[1]


@frozen(order=True)
class ServerAddress:
    """Where a server is reached; its text form is its name in the registry (docs/upstream.md, ZooKeeper)."""

    host: str
    tcp_port: int
    http_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:tcp:http`.

        :raises InvalidField: when it is anything else
        """
        return cls(*_split_address(text, "server address"))

    def __str__(self) -> str:
        return f"{self.host}:{self.tcp_port}:{self.http_port}"


@frozen(order=True)
class RouteAddress:
    """Where a route is reached; its text form is its name in the registry."""

    host: str
    http_port: int
    link_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:http:link`.

        :raises InvalidField: when it is anything else
        """
        return cls(*_split_address(text, "route address"))

    def __str__(self) -> str:
        return f"{self.host}:{self.http_port}:{self.link_port}"


@frozen
class NodeData:
    """What our own nodes say of themselves in the registry; upstream's carry no data."""

    version: str
    incarnation: str
    websocket: str = ""

    def encode(self) -> bytes:
        """The node's value: a JSON object."""
        return json.dumps(
            {"cim": self.version, "incarnation": self.incarnation, "websocket": self.websocket}, sort_keys=True
        ).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self | None:
        """Read a node's value; None when it is not one of ours."""
        try:
            loaded: Any = json.loads(value)
            return cls(str(loaded["cim"]), str(loaded["incarnation"]), str(loaded.get("websocket", "")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


@frozen
class Place:
    """A server during one run of its process: what a session record is valid with.

    :param server: the server's registry name
    :param incarnation: empty for a server that is upstream's
    """

    server: str
    incarnation: str = ""

    def __str__(self) -> str:
        return f"{self.server}/{self.incarnation}"


@frozen
class SessionRecord:
    """What the store knows of a user's session or reservation.

    :param owner: the token of the login that made it; only its holder may change or remove the record
    :param live: False for a reservation that nobody claimed yet
    :param since: when it was reserved or claimed, ms since 1970 on the store's clock
    """

    user: int
    place: Place
    owner: str
    live: bool
    since: int
    device: str = GUEST


class LoginPolicy(enum.StrEnum):
    """What a login does with the user's sessions on other devices (docs/architecture.md, Logins)."""

    REJECT = "reject"
    REPLACE = "replace"
    MANY = "many"


@frozen
class Reserved:
    """What came of asking for a reservation.

    :param in_the_way: live records that refuse it; nothing was changed when there are any
    :param replaced: live records whose place it took: whoever asked has their sessions ended
    """

    in_the_way: tuple[SessionRecord, ...] = ()
    replaced: tuple[SessionRecord, ...] = ()


@frozen
class LinkPeer:
    """Who is at the other end of a link.

    :param name: its registry name: `host:tcp:http` for a server, `host:http:link` for a route
    """

    name: str
    incarnation: str
    websocket: str = ""

    @property
    def place(self) -> Place:
        """The peer as a place where sessions live."""
        return Place(self.name, self.incarnation)


@frozen
class Candidate:
    """A server that a login may be sent to.

    :param sessions: how many sessions it holds, as far as the route knows
    """

    server: str
    sessions: int = 0


@define
class Health:
    """What `/health` answers: the parts by name, each with "" when well or a sentence saying what is wrong."""

    parts: dict[str, str] = field(factory=dict)
    facts: dict[str, Any] = field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every part is well."""
        return not any(self.parts.values())


@frozen
class Append:
    """A message on its way into a conversation.

    :param conversation: its name, `p:...` or `g:...`
    :param client_id: with sender and conversation, what makes a repetition the same message
    :param digest: of what the sender said; the same client_id with another digest is a conflict
    :param body: a serialized `Deliver` without conversation, position and previous
    :param sent_at: ms since 1970, on the route's clock; also the time of activity in the indexes
    :param counts: whether it counts as unread for the others
    :param after: the client_id of the sender's message that must be stored before it; empty: none
    :param refers: the position of the text that it changes or reacts to, which must be there; empty: none
    :param recalls: the position of the text that it blanks; empty: none
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


@frozen
class Appended:
    """Where a message stands in its conversation.

    :param previous: the last position before it, empty for the first message
    :param repeated: it was there already; `sent_at` and `body` are those of the first time
    :param version: of the group's members when it was appended; 0 for two people
    """

    position: str
    previous: str
    sent_at: int
    body: bytes
    repeated: bool = False
    version: int = 0


@frozen
class Entry:
    """A message as it is read: `body` is blanked when it was recalled."""

    position: str
    previous: str
    body: bytes


@frozen
class Page:
    """A piece of a conversation, oldest first.

    :param upto: the position that the reader holds everything up to, after it took the entries
    :param more: whether there is more in the direction that was asked for
    :param reset: the reader must take `upto` as held although it did not get everything before: trimmed, joined
        late, or its own position is of a tail that the store lost
    """

    entries: tuple[Entry, ...]
    upto: str
    more: bool
    reset: bool = False


@frozen
class ConversationHead:
    """What someone needs to know of one conversation: positions, and how many messages of others are unread (to 999).

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
    """Conversations with something new, newest first.

    :param more: what to give as `after` for the next page; empty at the end
    :param as_of: when they were read, ms since 1970 on the store's clock
    """

    heads: tuple[ConversationHead, ...]
    more: str
    as_of: int


@frozen
class Mark:
    """A receipt.

    :param device: whose received mark it moves; None moves the user's read mark
    :param floor: the position before which this user cannot read: from where a member joined
    """

    user: int
    device: str | None
    conversation: str
    position: str
    floor: str = ""


class Role(enum.IntEnum):
    """What a member may do in a group; each may all that the ones below may."""

    MEMBER = 0
    ADMIN = 1
    OWNER = 2


@frozen
class Group:
    """A group of users.

    :param open: anyone may join; else one is invited by an admin or the owner
    :param history: members may read what was said before they joined
    :param version: counts the changes of its members
    """

    id: int
    name: str
    open: bool
    history: bool
    members: int
    version: int


@frozen
class Member:
    """Someone in a group.

    :param floor: the group's last position when they joined; empty when they may read everything
    """

    group: int
    user: int
    role: Role
    floor: str


@frozen
class Memberships:
    """The groups that a user is in, as of a version of the log of changes; at most MAX_GROUPS."""

    version: int
    members: tuple[Member, ...]


@frozen
class GroupChange:
    """A change of who is in a group, as the change log has it.

    :param version: of the log, which counts over all groups
    :param group_version: of the group's members
    """

    version: int
    group: int
    user: int
    added: bool
    group_version: int = 0


@frozen
class Credential:
    """How an account proves itself.

    :param password: the argon2 hash
    :param valid_from: tokens issued before this are void, ms since 1970
    """

    password: str
    valid_from: int


#: How long marks of a device are kept that neither logs in nor receives anything.
_DEVICE_SECONDS = 90 * 86400


@frozen
class Retention:
    """How long messages are kept: for that many days, and that many of each conversation, whichever is less.

    :ivar ms: the days in ms
    :ivar device_ms: how long a device's marks are kept: never less than messages are
    """

    days: float = 30
    count: int = 10_000
    ms: int = field(init=False)
    device_ms: int = field(init=False)

    @ms.default
    def _ms(self) -> int:
        return int(self.days * 86_400_000)

    @device_ms.default
    def _device_ms(self) -> int:
        return max(self.ms, _DEVICE_SECONDS * 1000)
