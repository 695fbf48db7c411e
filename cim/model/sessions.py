"""Where sessions are, and where users are notified."""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

MAX_DEVICES = 16
#: How long a client has to connect after its login, in seconds.
RESERVATION_SECONDS = 30
#: The device of all guests, because they do not say which device they use.
GUEST = "guest"


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
    :param badge: how many messages of others are unread in the 1,000 conversations in which something was said last
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
