"""What is unread, as far as the terminal knows: the routes' counts, and what has come and was read since."""

from __future__ import annotations

from collections.abc import Iterable

from cim.client.values import Conversation, Kind, Message
from cim.wire import positions

#: A position before every message.
BEGINNING = "0-1"


class Unread(dict[str, int]):
    """How many messages of others are unread, by conversation, without zeros."""

    def __init__(self) -> None:
        super().__init__()
        # By conversation: up to where messages are counted, and the user's read mark.
        self._latest: dict[str, str] = {}
        self._marks: dict[str, str] = {}

    def mark(self, conversation: str) -> str:
        """Return up to where the user has read a conversation."""
        return self._marks.get(conversation) or BEGINNING

    def listed(self, conversations: Iterable[Conversation]) -> None:
        """Take the counts of the routes instead."""
        self.clear()
        for one in conversations:
            self._latest[one.name], self._marks[one.name] = one.latest, one.read
            if one.unread:
                self[one.name] = one.unread

    def came(self, message: Message) -> None:
        """Count a message of somebody else, unless the routes have."""
        name = message.conversation
        if message.position and reaches(self._latest.get(name, ""), message.position):
            return
        if message.position:
            self._latest[name] = message.position
        if message.kind is Kind.TEXT:
            self[name] = self.get(name, 0) + 1
        elif message.kind is Kind.RECALL and not reaches(self._marks.get(name, ""), message.ref):
            self._set(name, self.get(name, 0) - 1)

    def read(self, conversation: str) -> None:
        """All of a conversation was read."""
        self.read_to(conversation, self._latest.get(conversation, ""), 0)

    def read_to(self, conversation: str, position: str, left: int) -> None:
        """A conversation was read up to a position; so many are unread after that."""
        self._marks[conversation] = position
        self._set(conversation, left)

    def read_elsewhere(self, conversation: str, position: str) -> bool:
        """A conversation was read on another device; return whether to the end, or else only the routes can count."""
        self._marks[conversation] = position
        whole = reaches(position, self._latest.get(conversation, ""))
        if whole:
            self._set(conversation, 0)
        return whole

    def _set(self, conversation: str, count: int) -> None:
        if count > 0:
            self[conversation] = count
        else:
            self.pop(conversation, None)


def reaches(mark: str, position: str) -> bool:
    """Return whether a mark is at a position or behind it."""
    return positions.parse(mark) >= positions.parse(position)
