"""Batches: messages that one call sent together, and that guests get in one frame.

A route pushes the messages of a batch in one run over a link. Native sessions get each as it arrives; guests' sessions
wait for the end of the run, so that consecutive messages can be written together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cim.interfaces import ILink
from cim.server.sessions.shared_packet import SharedPacket

#: Called once with whether something was written; None when nobody asks.
Done = Callable[[bool], None] | None


class Waiter(Protocol):
    """A session that gets the messages of a batch together."""

    def push_batch(self, pushed: list[tuple[SharedPacket, Done]]) -> None:
        """Take those messages of a batch that are for this session."""


class Batch:
    """A run of messages on a link.

    :ivar packets: the messages that arrived, in order
    :ivar whole: whether the last one arrived with nothing in between
    :ivar for_guests: what the first guest's session made of all of them, for reuse by the others
    """

    __slots__ = ("_waiting", "for_guests", "packets", "whole")

    def __init__(self) -> None:
        self.packets: list[SharedPacket] = []
        self.whole = False
        self.for_guests: Any = None
        self._waiting: dict[Waiter, list[tuple[SharedPacket, Done]]] = {}

    def wait(self, session: Waiter, packet: SharedPacket, done: Done) -> None:
        """Give a session a message of the run when the run has ended."""
        self._waiting.setdefault(session, []).append((packet, done))

    def end(self) -> None:
        """End the run: give waiting sessions their messages."""
        waiting, self._waiting = self._waiting, {}
        for session, pushed in waiting.items():
            session.push_batch(pushed)


class Batches:
    """The runs under way.

    :ivar under_way: link -> the batch on it, and how many of its messages are still to come
    """

    def __init__(self) -> None:
        self.under_way: dict[ILink, tuple[Batch, int]] = {}

    def take(self, link: ILink, packet: SharedPacket, left: int) -> None:
        """Note that a packet arrived over a link.

        :param left: how many messages of its batch are still to come, this one included; 0 when it is in no batch
        """
        run = self.under_way.get(link)
        if run is not None and run[1] != left:
            self.interrupt(link)
            run = None
        if left:
            batch = run[0] if run is not None else Batch()
            self.under_way[link] = batch, left - 1
            batch.packets.append(packet)
            packet.batch = batch

    def finish(self, link: ILink) -> None:
        """End a link's run as whole: its last message was pushed to the sessions that it is for."""
        self.under_way[link][0].whole = True
        self.interrupt(link)

    def interrupt(self, link: ILink) -> None:
        """End the run that a link is in, if any: the rest of it will not come."""
        run = self.under_way.pop(link, None)
        if run is not None:
            run[0].end()
