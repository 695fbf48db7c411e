"""Messages, what is read of them, and what is kept."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import define, field, frozen

from cim.model.accounts import ID_LIMIT
from cim.model.groups import Invitation
from cim.traces import UNTRACED, Trace

#: How many conversations a user may mute, and until when one is muted that is muted for good, ms since 1970.
MAX_MUTED_CONVERSATIONS = 1_000
FOREVER = ID_LIMIT - 1


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


@define
class Append:
    """A message on its way into a conversation.

    Nobody changes one; to make a frozen one for each message would take three times as long.

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


@define
class Appended:
    """Where a message stands in its conversation. Nobody changes one (see Append).

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


class Entry(NamedTuple):
    """A message as it is read; `body` is blanked if the message was recalled."""

    position: str
    previous: str
    body: bytes


@frozen
class Page:
    """A page of a conversation, oldest message first; in columns, because most pages are only passed on.

    :param before: the position that the first message names as the one before it; the others name the one before them
        here, for what was left out does not exist for the reader
    :param positions: of its messages
    :param bodies: of its messages, as they are read
    :param upto: the position up to which the reader holds everything once it has the entries
    :param more: whether there is more in the direction that was asked for
    :param reset: the reader must treat everything up to `upto` as held although it did not get all of it: messages
        were trimmed, the user joined later, or the store lost the tail that the reader's own position is in
    """

    before: str
    positions: Sequence[str]
    bodies: Sequence[bytes]
    upto: str
    more: bool
    reset: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its messages."""
        return tuple(map(Entry, self.positions, (self.before, *self.positions), self.bodies))


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
