"""Pages of messages, and the reasons why a message is not appended; shared by both stores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from attrs import frozen

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
from cim.model import Entry, Page, Retention, Sanction
from cim.store.bounds import no_room
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT

#: The most bytes of bodies in a page, unless its first message alone has more.
PAGE_BYTES = 512 * 1024
#: How many messages to everyone are kept.
EVERYONE_KEPT = 200
#: How far the activity in the indexes may lag behind, in ms: not every message updates them.
LATE_MS = 1000
#: A client_id is remembered this long, and for this many messages of its conversation, whichever is less.
ONCE_SECONDS = 86400
ONCE_MESSAGES = 10_000
#: Unread messages are counted up to this number.
MAX_UNREAD = 999
#: About how many changes of groups the log keeps.
CHANGES_KEPT = 10_000
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


@frozen
class Found:
    """A stored message.

    :param recalled: whether it must still be blanked
    :param edit: the body of its last edit, or of its recall by an operator
    """

    position: str
    previous: str
    body: bytes
    recalled: bool = False
    edit: bytes | None = None


def readable(found: Found) -> Entry | None:
    """Return a message as readers get it, or None if it cannot be decoded."""
    try:
        if found.recalled:
            by_operator = found.edit is not None and native.parse_body(found.edit).by_operator
            return Entry(found.position, found.previous, native.blank(found.body, by_operator=by_operator))
        if found.edit is not None:
            return Entry(found.position, found.previous, native.edited(found.body, found.edit))
        native.parse_body(found.body)
        return Entry(found.position, found.previous, found.body)
    except BadFrame:
        return None


def without_edit(body: bytes) -> bytes:
    """Return a body as it is once the text that it refers to is gone or was recalled: an EDIT is blank."""
    try:
        return native.blank(body) if native.parse_body(body).kind == EDIT else body
    except BadFrame:
        return body


def _visible(entry: Entry, floor: positions.Position) -> bool:
    """Return whether a message says nothing about one that is at or before a floor."""
    return floor == positions.ZERO or not (ref := native.parse_body(entry.body).ref) or positions.parse(ref) > floor


def page_after(
    after: str, floor: str, last: str, upto: str, more: bool, expired: bool, found: Iterable[Found]
) -> tuple[Page, int]:
    """Return the messages that follow `after`, and how many could not be decoded.

    :param floor: messages up to here, and what refers to them, are left out
    :param last: the conversation's last position
    :param upto: the position up to which messages were read
    :param expired: whether any message on the way was left out because of its age
    """
    if positions.parse(after) > positions.parse(last):
        return Page((), last, False, reset=True), 0
    bottom = positions.parse(floor)
    late = bottom > positions.parse(after)
    start = floor if late else after
    entries: list[Entry] = []
    reset = late or expired
    first = True
    strange = 0
    for one in found:
        if first and positions.parse(one.previous) > positions.parse(start):
            reset = True
        first = False
        entry = readable(one)
        strange += entry is None
        if entry is not None and _visible(entry, bottom):
            # Messages that were skipped do not exist for the reader.
            before = entries[-1].position if entries else entry.previous if reset else start
            entries.append(Entry(entry.position, before, entry.body))
    if first and positions.parse(last) > positions.parse(start):
        reset = True
    return Page(tuple(entries), upto, more, reset), strange


def page_before(more: bool, floor: str, found: Sequence[Found]) -> tuple[Page, int]:
    """Return the messages before a position, given them newest first, and how many could not be decoded."""
    bottom = positions.parse(floor)
    decoded = [entry for one in found if (entry := readable(one)) is not None]
    entries = [entry for entry in reversed(decoded) if _visible(entry, bottom)]
    chained = [
        Entry(entry.position, entries[at - 1].position if at else entry.previous, entry.body)
        for at, entry in enumerate(entries)
    ]
    upto = chained[-1].position if chained else found[-1].position if more and found else ""
    return Page(tuple(chained), upto, more), len(found) - len(decoded)


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
