"""Names of conversations: `p:<lower id>:<higher id>` for two people, `g:<id>` for a group.

A conversation has exactly one name, so that names can be compared, hashed and used as keys directly. Names from outside
are therefore parsed strictly.
"""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from cim.errors import InvalidField
from cim.model import ID_LIMIT, check_id

_NAME = re.compile(r"p:([1-9][0-9]{0,15}):([1-9][0-9]{0,15})|g:(0|[1-9][0-9]{0,15})")


@frozen
class PrivateConversation:
    """The conversation of two people."""

    low: int
    high: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"p:{self.low}:{self.high}"

    def involves(self, user: int) -> bool:
        """Whether `user` is one of the two."""
        return user in (self.low, self.high)

    def other(self, user: int) -> int:
        """Return the one whom `user`, who must be one of the two, talks to."""
        return self.high if user == self.low else self.low


@frozen
class GroupConversation:
    """The conversation of a group; group 0 is everyone."""

    id: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"g:{self.id}"


Conversation = PrivateConversation | GroupConversation

#: The group conversation that needs no membership.
EVERYONE = "g:0"


@lru_cache(16384)
def private(one: int, other: int) -> str:
    """Return the name of the conversation of two people.

    :raises InvalidField: the two are the same, or one is not an id; names `user`
    """
    check_id(one, "user")
    check_id(other, "user")
    if one == other:
        raise InvalidField("user", "must be someone else")
    return f"p:{one}:{other}" if one < other else f"p:{other}:{one}"


def group(id: int) -> str:
    """Return the name of a group's conversation.

    :raises InvalidField: `id` is neither an id nor 0; names `group`
    """
    if id:
        check_id(id, "group")
    return f"g:{id}"


@lru_cache(maxsize=8192)
def parse(name: str) -> Conversation:
    """Parse the name of a conversation.

    :raises InvalidField: it is not the one name of a possible conversation; names `conversation`
    """
    match = _NAME.fullmatch(name)
    if match is not None:
        low, high, id = match.groups()
        if id is not None:
            if int(id) < ID_LIMIT:
                return GroupConversation(int(id))
        elif int(low) < int(high) < ID_LIMIT:
            return PrivateConversation(int(low), int(high))
    raise InvalidField("conversation", "must be p:<lower id>:<higher id> or g:<group id>")


def involves(name: str, user: int) -> bool:
    """Return whether a name is that of a private conversation of a user."""
    try:
        conversation = parse(name)
    except InvalidField:
        return False
    return isinstance(conversation, PrivateConversation) and conversation.involves(user)
