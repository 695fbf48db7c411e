"""Writes a client's history in the background, in batches: while one is written, the next one gathers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.iclient import IHistory
from cim.client.values import Message, Waiting

#: The most messages in one transaction.
BATCH = 500


class Journal:
    """Writes to a history; failures are logged, and the messages arrive again in the next run.

    :param kept: called with the places that are on disk
    """

    _log = Logger()

    def __init__(self, history: IHistory, kept: Callable[[dict[str, str]], object]) -> None:
        self.history = history
        self._kept = kept
        self._messages: list[tuple[Message | None, str, str]] = []
        self._writing = False
        # Conversations with a failed write.
        self._broken: set[str] = set()
        self._idle: list[Deferred[None]] = []
        self._waiting_writes = 0

    @property
    def backlog(self) -> int:
        """The number of messages that are not written yet."""
        return len(self._messages)

    def add(self, message: Message | None, conversation: str, place: str) -> None:
        """Store a message, if any, and move the place of its conversation, with the next `write`."""
        self._messages.append((message, conversation, place))

    def write(self) -> None:
        """Write everything added since the last call, in one transaction."""
        if self._messages and not self._writing:
            self._write()

    def put_waiting(self, waiting: Waiting) -> None:
        """Store a message to be sent."""
        self._do(lambda: self.history.put_waiting(waiting))

    def drop_waiting(self, client_id: str) -> None:
        """Delete a message to be sent, since it was answered."""
        self._do(lambda: self.history.drop_waiting(client_id))

    def set_fact(self, name: str, value: str) -> None:
        """Store a fact under a name."""
        self._do(lambda: self.history.set_fact(name, value))

    def flush(self) -> Deferred[None]:
        """Write, and fire when nothing waits to be written."""
        self.write()
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._settle()
        return idle

    def _do(self, write: Callable[[], Deferred[None]]) -> None:
        self._waiting_writes += 1

        def done(result: Any) -> None:
            self._waiting_writes -= 1
            if isinstance(result, Failure):
                self._log.failure("The history could not be written", result)
            self._settle()

        try:
            write().addBoth(done)
        except Exception:
            done(Failure())

    def _write(self) -> None:
        self._writing = True
        batch, self._messages = self._messages[:BATCH], self._messages[BATCH:]
        messages = [message for message, _, _ in batch if message is not None]
        places = {conversation: place for _, conversation, place in batch if conversation not in self._broken}

        def done(result: Any) -> None:
            if isinstance(result, Failure):
                self._log.failure("The history could not be written", result)
                # The lost messages arrive again in the next run, unless a later place says that they were received.
                self._broken.update(conversation for _, conversation, _ in batch)
            else:
                self._kept(places)
            self._writing = False
            if self._messages:
                self._write()
            self._settle()

        try:
            self.history.add(messages, places).addBoth(done)
        except Exception:
            done(Failure())

    def _settle(self) -> None:
        if not self._messages and not self._writing and not self._waiting_writes:
            idle, self._idle = self._idle, []
            for one in idle:
                one.callback(None)
