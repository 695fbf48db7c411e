"""How a client's history is written: in batches, while the next one gathers, and never in anybody's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.iclient import IHistory
from cim.client.values import Message, Waiting

#: Messages of one transaction, at the most.
BATCH = 500


class Journal:
    """Writes to a history; what fails is logged, and the messages come again in the next run.

    :param kept: called with the places that are on disk
    """

    _log = Logger()

    def __init__(self, history: IHistory, kept: Callable[[dict[str, str]], object]) -> None:
        self.history = history
        self._kept = kept
        self._messages: list[tuple[Message | None, str, str]] = []
        self._writing = False
        # Conversations in which something could not be written.
        self._broken: set[str] = set()
        self._idle: list[Deferred[None]] = []
        self._waiting_writes = 0

    @property
    def backlog(self) -> int:
        """How many messages are not written yet."""
        return len(self._messages)

    def add(self, message: Message | None, conversation: str, place: str) -> None:
        """Keep a message, or none, and move the place of its conversation, at the next `write`."""
        self._messages.append((message, conversation, place))

    def write(self) -> None:
        """Write what was added since the last time, in one transaction."""
        if self._messages and not self._writing:
            self._write()

    def put_waiting(self, waiting: Waiting) -> None:
        """Keep a message to be sent."""
        self._do(lambda: self.history.put_waiting(waiting))

    def drop_waiting(self, client_id: str) -> None:
        """Forget a message to be sent: it was answered."""
        self._do(lambda: self.history.drop_waiting(client_id))

    def set_fact(self, name: str, value: str) -> None:
        """Keep a small thing under a name."""
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
                # What is lost there comes again in the next run: no later place may stand for it.
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
