"""Requests to routes that are not answered yet: what this server asks for itself, and what its sessions ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import define, field

from twisted.internet.defer import Deferred

from cim.errors import CIMError
from cim.interfaces import ILink
from cim.server.sessions.table import Connection
from cim.wire import packed
from cim.wire.link_pb2 import OpenOutcome, Outcome, Reply
from cim.wire.native import failure_packet

Answer = Reply | OpenOutcome | Outcome


class Asker(Protocol):
    """A session whose requests go up."""

    connection: Connection

    @property
    def asker(self) -> bytes:
        """Who it is, as all of its requests begin."""

    @property
    def live(self) -> bool:
        """Whether it can be told something."""

    def told(self, packets: Iterable[bytes]) -> None:
        """Tell it the Packets that answer a request of it, or say that there is no answer."""

    def asked(self, weight: int = 1) -> None:
        """A request of it went up, which counts for so many."""

    def answered(self, weight: int = 1) -> None:
        """A request of it was answered or failed."""


@define(eq=False)
class Pending:
    """A request that is not answered yet.

    :ivar key: what picks its link: a conversation, or a user's id
    :ivar deadline: when it has failed, seconds on the clock
    :ivar link: where it went
    """

    key: str
    deadline: float
    link: ILink | None = field(default=None, init=False)

    def item(self, call: int) -> bytes:
        """Return what goes up."""
        raise NotImplementedError

    def answered(self, answer: Answer) -> None:
        """Give the answer to whoever waits for it."""
        raise NotImplementedError

    def failed(self, error: CIMError) -> None:
        """Tell whoever waits for it that no answer will come."""
        raise NotImplementedError


@define(eq=False)
class Question(Pending):
    """What this server asks for itself.

    :ivar made: the item
    """

    made: bytes
    fate: Deferred[Answer]

    def item(self, call: int) -> bytes:
        """See Pending."""
        return self.made

    def answered(self, answer: Answer) -> None:
        """See Pending."""
        self.fate.callback(answer)

    def failed(self, error: CIMError) -> None:
        """See Pending."""
        self.fate.errback(error)


@define(eq=False)
class ClientRequest(Pending):
    """What a session asks, mostly what its client said, which a route answers with packets.

    :ivar conversation: what it is about; empty when it is about none
    :ivar packet: as the client said it
    :ivar weight: for how many of its session's unanswered requests it counts
    :ivar quiet: its client is not told when no answer comes
    """

    session: Asker
    conversation: str
    packet: bytes
    weight: int = 1
    quiet: bool = False

    def item(self, call: int) -> bytes:
        """See Pending."""
        return packed.request(call, self.session.asker, self.conversation, self.packet)

    def answered(self, answer: Answer) -> None:
        """See Pending."""
        assert isinstance(answer, Reply)
        session = self.session
        if session.live:
            session.told(answer.packets)
        session.answered(self.weight)

    def failed(self, error: CIMError) -> None:
        """See Pending."""
        session = self.session
        if session.live and not self.quiet:
            session.told((failure_packet(error, conversation=self.conversation),))
        session.answered(self.weight)
