"""Messages that one call said at once, and that guests are to get in one frame.

A route pushes them in one run over a link. Native sessions get each as it comes; guests' sessions wait for the run to
end, so that what follows on one another can be written together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cim.interfaces import ILink
from cim.server.sessions.shared_packet import SharedPacket

#: Told once whether something was written; None when nobody asks.
Done = Callable[[bool], None] | None


class Waiter(Protocol):
    """A session that gets the messages of a batch at once."""

    def push_batch(self, pushed: list[tuple[SharedPacket, Done]]) -> None:
        """Take the messages of a batch that are for it."""


class Batch:
    """A run of messages.

    :ivar packets: those that came, in order
    :ivar whole: the last one came, and nothing between
    :ivar for_guests: what one session made of all of them for all sessions
    """

    __slots__ = ("_waiting", "for_guests", "packets", "whole")

    def __init__(self) -> None:
        self.packets: list[SharedPacket] = []
        self.whole = False
        self.for_guests: Any = None
        self._waiting: dict[Waiter, list[tuple[SharedPacket, Done]]] = {}

    def wait(self, session: Waiter, packet: SharedPacket, done: Done) -> None:
        """Give a session a message of it when the run has ended."""
        self._waiting.setdefault(session, []).append((packet, done))

    def end(self) -> None:
        """Nothing more comes."""
        waiting, self._waiting = self._waiting, {}
        for session, pushed in waiting.items():
            session.push_batch(pushed)


class Batches:
    """The runs that have begun.

    :ivar runs: link -> the run there, and how many of its messages are still to come
    """

    def __init__(self) -> None:
        self.runs: dict[ILink, tuple[Batch, int]] = {}

    def take(self, link: ILink, packet: SharedPacket, left: int) -> None:
        """Note that a packet came over a link.

        :param left: of a batch: how many of its messages are still to come, with this one; else 0
        """
        run = self.runs.get(link)
        if run is not None and run[1] != left:
            self.interrupt(link)
            run = None
        if left:
            batch = run[0] if run is not None else Batch()
            self.runs[link] = batch, left - 1
            batch.packets.append(packet)
            packet.batch = batch

    def finish(self, link: ILink) -> None:
        """The last of a batch was pushed to whom it is for."""
        self.runs[link][0].whole = True
        self.interrupt(link)

    def interrupt(self, link: ILink) -> None:
        """Nothing more comes of the batch that a link was in."""
        run = self.runs.pop(link, None)
        if run is not None:
            run[0].end()
