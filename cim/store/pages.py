"""Pages of messages, and the reasons why a message is not appended; shared by both stores."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field

from cim.errors import (
    AccountMismatch,
    BadFrame,
    CIMError,
    Conflict,
    Forbidden,
    InvalidField,
    Muted,
    NotFound,
    OutOfOrder,
    Refused,
    Undecided,
)
from cim.model import Page, Retention, Sanction
from cim.store.bounds import no_room
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT

#: The most bytes of bodies in a page, unless its first message alone has more.
PAGE_BYTES = 512 * 1024
#: How many messages to everyone are kept.
EVERYONE_KEPT = 200
#: How far the activity in the indexes may lag behind, in ms: not every message updates them.
LATE_MS = 1000
#: From so long before is looked for what may have come since a time, in ms: steady time, too, goes back by up to two
#: minutes when a process dies whose clock, or whose store's, is behind (docs/architecture.md, Clocks).
BEFORE_MS = LATE_MS + 150_000
#: A client_id is remembered this long, and for this many messages of its conversation, whichever is less.
ONCE_SECONDS = 86400
ONCE_MESSAGES = 10_000
#: Unread messages are counted up to this number.
MAX_UNREAD = 999
#: About how many changes of groups the log keeps.
CHANGES_KEPT = 100_000
#: Why a message is not appended.
REFUSALS: dict[str, Callable[[], CIMError]] = {
    "conflict": Conflict,
    "forbidden": Forbidden,
    "blocked": AccountMismatch,
    "not-found": NotFound,
    "out-of-order": OutOfOrder,
    "undecided": Undecided,
    "gone": partial(NotFound, "the message that `ref` names does not exist"),
    "recalled": partial(NotFound, "the message that `ref` names was recalled"),
    "no-text": partial(Forbidden, "`ref` must name a text message"),
}
#: Who keeps somebody from saying anything: an operator, or the group's admins, who muted this member or all others.
_BY = {
    "operator": "an operator",
    "group": "the admins of this group",
    "all": "the admins of this group, who alone may write there now",
}
#: How many conversations are read for one page of heads.
MAX_LOOKED = 100
DEFAULT = Retention()


def muted_by(until: int, by: str, reason: str = "") -> Muted:
    """Return the refusal of what is said by somebody who may say nothing.

    :param until: ms since 1970; 0 for ever
    :param by: a key of `_BY`
    """
    return Muted.of(Sanction(until, reason), _BY[by], "for good" if by == "operator" else "until somebody ends it,")


def refused(line: str) -> CIMError:
    """Return the refusal of a message.

    :param line: a key of REFUSALS; or `refused` and why a policy did; or `muted`, by whom, until when and why; or what
        `no_room` takes
    """
    word, _, rest = line.partition(" ")
    if word == "refused":
        return Refused(rest)
    if word == "muted":
        by, until, reason = rest.split(" ", 2)
        return muted_by(int(until), by, reason)
    return no_room(word, int(rest)) if rest else REFUSALS[word]()


@define
class Found:
    """Stored messages, oldest first.

    :param before: the position before the first one
    :param revised: which of them are read otherwise than they are stored: whether they must still be blanked, and the
        body of their last edit, or of their recall by an operator
    """

    before: str
    positions: list[str]
    bodies: list[bytes]
    revised: dict[int, tuple[bool, bytes | None]] = field(factory=dict)


def readable(body: bytes, recalled: bool = False, edit: bytes | None = None) -> bytes | None:
    """Return the body of a message as readers get it, or None if it cannot be decoded.

    :param recalled: whether it must still be blanked
    :param edit: the body of its last edit, or of its recall by an operator
    """
    try:
        if recalled:
            by_operator = edit is not None and native.parse_body(edit).by_operator
            return native.blank(body, by_operator=by_operator)
        if edit is not None:
            return native.edited(body, edit)
        native.parse_body(body)
        return body
    except BadFrame:
        return None


def without_edit(body: bytes) -> bytes:
    """Return a body as it is once the text that it refers to is gone or was recalled: an EDIT is blank."""
    try:
        return native.blank(body) if native.parse_body(body).kind == EDIT else body
    except BadFrame:
        return body


def page_after(
    after: str, floor: str, last: str, upto: str, more: bool, expired: bool, found: Found
) -> tuple[Page, int]:
    """Return the messages that follow `after`, and how many could not be decoded.

    :param floor: messages up to here, and what refers to them, are left out
    :param last: the conversation's last position
    :param upto: the position up to which messages were read
    :param expired: whether any message on the way was left out because of its age
    """
    if positions.parse(after) > positions.parse(last):
        return Page("", (), (), last, False, reset=True), 0
    bottom = positions.parse(floor)
    late = bottom > positions.parse(after)
    start = floor if late else after
    reset = late or expired or positions.parse(found.before if found.positions else last) > positions.parse(start)
    before, places, bodies, strange = _read(found, bottom)
    return Page(before if reset else start, places, bodies, upto, more, reset), strange


def page_before(more: bool, floor: str, found: Found) -> tuple[Page, int]:
    """Return the messages before a position, and how many could not be decoded."""
    before, places, bodies, strange = _read(found, positions.parse(floor))
    upto = places[-1] if places else found.positions[0] if more and found.positions else ""
    return Page(before, places, bodies, upto, more), strange


def _read(found: Found, floor: positions.Position) -> tuple[str, Sequence[str], Sequence[bytes], int]:
    """Return what readers get of messages, as `Page` has it, and how many could not be decoded.

    What says something about a message that is at or before `floor` is left out.
    """
    bodies = found.bodies
    if floor == positions.ZERO and not found.revised and native.are_bodies(bodies):
        return found.before, found.positions, bodies, 0
    places = found.positions
    read = [readable(body, *found.revised.get(at, ())) for at, body in enumerate(bodies)]
    kept = [(at, body) for at, body in enumerate(read) if body is not None and _visible(body, floor)]
    before = places[kept[0][0] - 1] if kept and kept[0][0] else found.before
    return before, [places[at] for at, _ in kept], [body for _, body in kept], read.count(None)


def _visible(body: bytes, floor: positions.Position) -> bool:
    """Return whether a message says nothing about one that is at or before a floor."""
    return floor == positions.ZERO or not (ref := native.parse_body(body).ref) or positions.parse(ref) > floor


def cursor_of(after: str) -> int:
    """Return the id where a list goes on.

    :raises InvalidField: it is not what a call returned
    """
    if after and not re.fullmatch("[1-9][0-9]{0,15}", after):
        raise InvalidField("after", "must be the `more` of the previous page")
    return int(after or 0)


_CURSOR = re.compile(r"(0|[1-9][0-9]{0,15}) (.+)")


def parse_cursor(text: str) -> tuple[int, str]:
    """Parse the cursor of a page of heads: the activity and the name of the last conversation that was read.

    :raises InvalidField: it is not a cursor
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidField("after", "must be the `more` of the previous page")
    conversations.parse(match[2])
    return int(match[1]), match[2]
