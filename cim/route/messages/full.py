"""Tells operators of conversations that are full of what must be kept (docs/limits.md, History)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: How long a conversation counts as full after the last refusal, in seconds.
SECONDS = 3600.0
#: So many are remembered.
KEPT = 1000


class FullConversations:
    """The conversations that were full lately, the one that was refused most recently last."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._seen)

    def note(self, conversation: str) -> None:
        """Note that a message was refused because its conversation is full for everybody."""
        self._forget()
        if conversation not in self._seen:
            self._log.warn(
                "{conversation} is full: it holds four times as much as it may, all of it unread or younger than a day."
                " Nobody can say anything there until some of it is read or a day old",
                conversation=conversation,
            )
        self._seen[conversation] = self._clock.seconds()
        self._seen.move_to_end(conversation)
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)

    def _forget(self) -> None:
        oldest = self._clock.seconds() - SECONDS
        while self._seen and next(iter(self._seen.values())) < oldest:
            self._seen.popitem(last=False)

    def facts(self) -> dict[str, Any]:
        """Return the facts for `/health`, which anybody may see: a number, no names."""
        return {"full_conversations": len(self)} if len(self) else {}
