"""Unanswered requests to routes: this server's own, and those of its sessions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import define, field

from twisted.internet.defer import Deferred

from cim.errors import CIMError
from cim.interfaces import Asking, ILink
from cim.server.sessions.table import Connection
from cim.wire.link_pb2 import OpenOutcome, Outcome, Reply
from cim.wire.native import failure_packet

Answer = Reply | OpenOutcome | Outcome


class Asker(Asking, Protocol):
    """A session that makes requests."""

    connection: Connection

    @property
    def live(self) -> bool:
        """Whether the session can be sent packets."""

    def told(self, packets: Iterable[bytes]) -> None:
        """Send the Packets that answer one of its requests, or say that there is no answer."""

    def asked(self, weight: int = 1) -> None:
        """Count a request of the session that went up; it counts as `weight` requests."""

    def answered(self, weight: int = 1) -> None:
        """Count a request of the session as answered or failed."""


@define(eq=False)
class Pending:
    """An unanswered request.

    :ivar key: a conversation or a user's id, by which its link is chosen
    :ivar deadline: when it fails if it is still unanswered, seconds on the clock
    :ivar link: the link that it was sent over
    """

    key: str
    deadline: float
    link: ILink | None = field(default=None, init=False)

    def send(self, link: ILink, call: int) -> bool:
        """Send it over a link; return what the link returns.

        :param call: the number by which the answer will name it
        """
        raise NotImplementedError

    def answered(self, answer: Answer) -> None:
        """Pass the answer to whoever waits for it."""
        raise NotImplementedError

    def failed(self, error: CIMError) -> None:
        """Tell whoever waits for it that no answer will come."""
        raise NotImplementedError


@define(eq=False)
class Question(Pending):
    """A request of this server's own.

    :ivar made: the item to send
    """

    made: bytes
    fate: Deferred[Answer]

    def send(self, link: ILink, call: int) -> bool:
        """See Pending."""
        return link.send_packed(self.made, False)

    def answered(self, answer: Answer) -> None:
        """See Pending."""
        self.fate.callback(answer)

    def failed(self, error: CIMError) -> None:
        """See Pending."""
        self.fate.errback(error)


@define(eq=False)
class ClientRequest(Pending):
    """A request of a session, mostly a packet of its client, that a route answers with packets.

    :ivar conversation: the conversation that it concerns; empty for none
    :ivar packet: the packet as the client sent it
    :ivar weight: how many unanswered requests of its session it counts as
    :ivar quiet: whether its client is not told when no answer comes
    """

    session: Asker
    conversation: str
    packet: bytes
    weight: int = 1
    quiet: bool = False

    def send(self, link: ILink, call: int) -> bool:
        """See Pending."""
        return link.send_request(call, self.session, self.conversation, self.packet)

    def answered(self, answer: Answer) -> None:
        """See Pending."""
        assert not isinstance(answer, OpenOutcome | Outcome)
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
