"""The schemas that several calls of `/v1` share (docs/http-api.md)."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.errors import InvalidField
from cim.model import GUEST
from cim.route.http.passwords import MAX_BYTES, MIN_BYTES
from cim.web.schema import Boolean, Choice, Id, Integer, Name, Nullable, Object, Schema, Text, string
from cim.wire import conversations, positions
from cim.wire.native import MAX_CLIENT_ID

MAX_DEVICE = 64
#: The most items on a page, where nothing else bounds it.
MAX_PAGE = 500
PAGE = 100
_LAST_MS = (1 << 63) - 1


@frozen
class Device(Schema):
    """The name of one of a user's devices.

    :param new: it must be one that a browser can name in a path, so that its session can be ended from the page
    """

    about: str = "A device, by 1 to 64 printable characters; not `guest`, which is reserved."
    new: bool = False

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        device = string(name, value)
        if not 0 < len(device) <= MAX_DEVICE or not device.isprintable() or device.isspace():
            raise InvalidField(name, f"must have 1 to {MAX_DEVICE} printable characters")
        if device == GUEST:
            raise InvalidField(name, f"must not be `{GUEST}`, which is reserved for guests")
        if self.new and device in (".", ".."):
            raise InvalidField(name, "must not be `.` or `..`, which browsers take for folders in a path")
        return device

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return {"description": self.about, "type": "string", "minLength": 1, "maxLength": MAX_DEVICE}


@frozen
class ConversationName(Schema):
    """The name of a conversation."""

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        conversations.parse(string(name, value))
        return value

    def document(self) -> dict[str, Any]:
        """See Schema."""
        pattern = "^(p:[1-9][0-9]{0,15}:[1-9][0-9]{0,15}|g:(0|[1-9][0-9]{0,15}))$"
        about = "`p:<lower id>:<higher id>` for two people, `g:<group id>` for a group, `g:0` for everyone."
        return {"description": about, "type": "string", "pattern": pattern, "examples": ["g:0"]}


@frozen
class Position(Schema):
    """The position of a message."""

    about: str = "A position such as `1700000000000-1`."
    empty: bool = False

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        if positions.parse(string(name, value), name) == positions.ZERO and not self.empty:
            raise InvalidField(name, "must be a position such as 1700000000000-1")
        return value

    def document(self) -> dict[str, Any]:
        """See Schema."""
        number = "(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})"
        pattern = f"^({number})?$" if self.empty else f"^{number}$"
        return {"description": self.about, "type": "string", "pattern": pattern}


PASSWORD = Text(MAX_BYTES, MIN_BYTES, "The password.")
CLIENT_ID = Text(MAX_CLIENT_ID, 1, "A repetition with the same id is the same message.")
WHEN = Integer(0, _LAST_MS, "ms since 1970.")
ROLE = Choice(("member", "admin", "owner"), "What a member may do.")
#: In answers, a missing position is an empty string.
SOME_POSITION = Position("A position; empty if there is none.", empty=True)
#: Where a page of a list begins that only the store knows the order of, and where the next one does.
WHERE = Text(1024, about="`more` of the previous page.")
MORE = Nullable(Text(1024, about="The `after` of the next page; null at the end."))
MORE_NAME = Nullable(Text(1024, about="The `after` of the next page; null at the end."))
MORE_ID = Nullable(Id(about="The `after` of the next page; null at the end."))

USER_ID = Id(about="The id of a user.")
GROUP_ID = Id(about="The id of a group.")
ACCOUNT = Object({"id": USER_ID, "name": Name()}, "Account")
#: Until when somebody may say nothing in a group.
MUTED = Nullable(
    Integer(0, _LAST_MS, "Until when, ms since 1970; 0 until somebody ends it; null, or in the past, if not.")
)
GROUP = Object(
    {
        "id": GROUP_ID,
        "name": Name(),
        "open": Boolean("Anyone may join."),
        "history": Boolean("Members may read messages from before they joined, since that was last allowed."),
        "muted": Nullable(MUTED.item, "Until when only admins and owners may write there, likewise."),
        "members": Integer(0, 1 << 53, "The number of members."),
    },
    "Group",
)


def limit(high: int = MAX_PAGE) -> Integer:
    """Return the schema of a page's limit."""
    return Integer(1, high, "The most items to return.")
