"""What routes ask one another, by way of servers (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from google.protobuf.message import DecodeError

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import CIMError, LinkLost, RateLimited, Unavailable
from cim.interfaces import ILink
from cim.route.presence.calls import LinkCalls
from cim.route.presence.presence import Online, Presence
from cim.wire.link_pb2 import Answer, Item, Known, Question, Relay, Relayed

#: By how many servers one question is tried.
ATTEMPTS = 2

#: Answers the route of that name.
Answering = Callable[[str, Any], Coroutine[Any, Any, Answer]]


class Peers:
    """Calls from route to route.

    :ivar answering: what answers each kind of Question
    """

    _log = Logger()

    def __init__(self, presence: Presence, calls: LinkCalls) -> None:
        self._presence = presence
        self._calls = calls
        self._turn = count()
        self.answering: dict[str, Answering] = {}

    def names(self) -> list[str]:
        """Return the other routes that servers share users among."""
        hosts = self._presence.hosts.values()
        names = {name for host in hosts if host.shares is not None for name in host.shares.sharing}
        return sorted(names - {self._presence.route})

    async def ask(self, route: str, question: Question) -> Answer:
        """Ask another route.

        :raises Unavailable: no server passes it on, or no answer comes
        """
        ways = [
            host.link
            for host in self._presence.hosts.values()
            if host.link is not None and host.shares is not None and route in host.shares.sharing
        ]
        asked = question.SerializeToString()
        for _ in range(min(ATTEMPTS, len(ways))):
            link = ways[next(self._turn) % len(ways)]
            try:
                relayed = await self._calls.relay(link, route, asked)
            except (LinkLost, RateLimited):
                continue
            if not relayed.code:
                return Answer.FromString(relayed.answer)
        raise Unavailable("another route does not answer: try again later")

    def asked(self, link: ILink, relay: Relay) -> None:
        """Answer another route."""
        answering = Deferred.fromCoroutine(self._answer(link, relay))
        answering.addErrback(lambda failure: self._log.failure("another route was not answered", failure))

    async def _answer(self, link: ILink, relay: Relay) -> None:
        code, answer = "unavailable", b""
        try:
            question = Question.FromString(relay.question)
            kind = question.WhichOneof("question")
            if kind is not None:
                answered = await self.answering[kind](relay.route, getattr(question, kind))
                code, answer = "", answered.SerializeToString()
        except (CIMError, DecodeError, KeyError):
            pass
        finally:
            link.send(Item(relayed=Relayed(call=relay.call, code=code, answer=answer)))


def known(online: Online) -> Known:
    """Return what another route is told of a session."""
    place = online.host.place
    return Known(
        user=online.user,
        session=online.session,
        owner=online.owner,
        device=online.device,
        name=online.name,
        server=place.server,
        incarnation=place.incarnation,
    )
