"""Links over TCP: routes accept them, servers dial every route in the registry (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.addresses import counted
from cim.errors import InvalidField
from cim.interfaces import ROUTES, ILinkUser, IRegistry
from cim.limits import Waiting
from cim.link.handshake import HIGHEST_VERSION, AcceptorHandshake, DialerHandshake
from cim.link.protocol import LinkParts, LinkProtocol
from cim.link.version1 import old_routes, old_servers
from cim.model import LinkPeer
from cim.nodes import RouteAddress

#: The most connections that are not authenticated yet, together and from one address; for a further one the oldest is
#: closed.
MAX_UNPROVEN = 64
MAX_UNPROVEN_OF_ONE = 32
#: Seconds between two log lines about refused connections, so that a stranger cannot fill the log.
REFUSAL_LOG_SECONDS = 10
#: Seconds before the first attempt to dial again, and the most before any attempt; jitter takes off up to half. A route
#: that comes back is dialed well before it gives up waiting for its servers' snapshots and answers without them.
FIRST_RETRY = 0.2
MAX_RETRY = 2.0
#: A link that lived less long does not reset the delay: two servers with one name would replace each other endlessly.
STEADY_SECONDS = 5


def _facts(parts: LinkParts, unsealed: list[str]) -> dict[str, Any]:
    return {"accepts_unsealed_links": True, "unsealed_links": unsealed} if parts.accept_unsealed else {}


class LinkAcceptor(Factory):
    """A route's end: makes links from the connections of servers that authenticate.

    A server's name has at most one live link: a second one replaces the first once it is authenticated.

    :param own: this route, as the registry lists it
    :param key: the key derived for "link"
    :param user: told of all links
    :param observe: called as observe("in" or "out", items, bytes) for every batch
    :param dropped: called for every item that is dropped because a queue is full
    :param refused: called for every connection that ends unauthenticated
    :param highest: the highest version of the items to agree to
    :param accept_unsealed: whether servers of older releases, which cannot seal what they say, will do
    :param time_of_day: the time in seconds since 1970, to be compared with the servers'
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        *,
        own: LinkPeer,
        key: bytes,
        user: ILinkUser,
        reactor: IReactorTime,
        random_bytes: Callable[[int], bytes],
        observe: Callable[[str, int, int], None] | None = None,
        dropped: Callable[[], None] | None = None,
        refused: Callable[[], None] | None = None,
        highest: int = HIGHEST_VERSION,
        accept_unsealed: bool = False,
        time_of_day: Callable[[], float] | None = None,
    ) -> None:
        self._parts = LinkParts(
            own=own,
            key=key,
            user=user,
            old_user=old_servers(user),
            reactor=reactor,
            random_bytes=random_bytes,
            observe=observe,
            dropped=dropped,
            highest=highest,
            accept_unsealed=accept_unsealed,
            time_of_day=time_of_day,
        )
        self._refused = refused
        self._unproven: Waiting[LinkProtocol] = Waiting(MAX_UNPROVEN, MAX_UNPROVEN_OF_ONE)
        self._links: dict[str, LinkProtocol] = {}
        self._ending: set[LinkProtocol] = set()
        self._closed = False
        self._unlogged = 0
        self._log_again = reactor.seconds()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Return the link for a connection; None, which closes it, if the route stops."""
        if self._closed:
            return None
        parts = self._parts
        handshake = AcceptorHandshake(
            parts.key,
            parts.own,
            parts.random_bytes,
            highest=parts.highest,
            accept_unsealed=parts.accept_unsealed,
        )
        link = LinkProtocol(parts, self, handshake)
        link.factory = self
        oldest = self._unproven.put(link, counted(getattr(addr, "host", "")))
        if oldest is not None:
            oldest.abort("too many connections are not authenticated yet")
            self._note_refusal(oldest.address, "too many connections are not authenticated yet")
        return link

    def unsealed(self) -> list[str]:
        """Return the names of the servers whose links are not sealed."""
        return sorted(name for name, link in self._links.items() if link.up and not link.sealed)

    def skews(self) -> dict[str, float]:
        """Return how many seconds our clock is ahead of those of servers, by name, as far as they tell the time."""
        return {name: link.skew for name, link in self._links.items() if link.up and link.skew is not None}

    def facts(self) -> dict[str, Any]:
        """Return what `/health` shows of the links."""
        return _facts(self._parts, self.unsealed())

    def lose_all(self, reason: str) -> Deferred[None]:
        """End all links, still trying to write what was sent, and accept no more; fires when all are gone."""
        self._closed = True
        links = [*self._unproven, *self._links.values(), *self._ending]
        gone = gatherResults([link.when_gone() for link in links])
        for link in links:
            link.lose(reason)
        return gone.addCallback(lambda _: None)

    def link_proven(self, link: LinkProtocol) -> None:
        """Let the link replace the former one of that name."""
        self._unproven.remove(link)
        name = link.peer.name
        before = self._links.get(name)
        self._links[name] = link
        if before is not None:
            self._ending.add(before)
            before.replace("replaced by a newer link")

    def link_refused(self, link: LinkProtocol, reason: str) -> None:
        """Count the refusal, and log it at a bounded rate."""
        self._note_refusal(link.address, reason)

    def link_gone(self, link: LinkProtocol) -> None:
        """Forget the link."""
        self._unproven.remove(link)
        self._ending.discard(link)
        for name in [name for name, known in self._links.items() if known is link]:
            del self._links[name]

    def _note_refusal(self, address: object, reason: str) -> None:
        if self._refused is not None:
            self._refused()
        now = self._parts.reactor.seconds()
        if now < self._log_again:
            self._unlogged += 1
            return
        self._log.warn(
            "Refused a link from {address}: {reason} ({unlogged} more were refused since this was last logged)",
            address=address,
            reason=reason,
            unlogged=self._unlogged,
        )
        self._unlogged = 0
        self._log_again = now + REFUSAL_LOG_SECONDS


class LinkDialers(Service):
    """A server's end: keeps one link to every route in the registry.

    A route that leaves the list keeps its link until the link drops, because a registry may list too little.

    :param own: this server, as the registry lists it
    :param key: the key derived for "link"
    :param user: told of all links
    :param endpoint_for: returns the endpoint at which a route accepts links
    :param random: returns a number in [0, 1), for jitter
    :param observe: called as observe("in" or "out", items, bytes) for every batch
    :param dropped: called for every item that is dropped because a queue is full
    :param highest: the highest version of the items to offer
    :param accept_unsealed: whether routes of older releases, which cannot seal what they say, will do
    :param time_of_day: the time in seconds since 1970, to be compared with the routes'
    """

    _log = Logger()

    def __init__(
        self,
        *,
        own: LinkPeer,
        key: bytes,
        user: ILinkUser,
        registry: IRegistry,
        reactor: IReactorTime,
        endpoint_for: Callable[[RouteAddress], IStreamClientEndpoint],
        random: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        observe: Callable[[str, int, int], None] | None = None,
        dropped: Callable[[], None] | None = None,
        highest: int = HIGHEST_VERSION,
        accept_unsealed: bool = False,
        time_of_day: Callable[[], float] | None = None,
    ) -> None:
        self._parts = LinkParts(
            own=own,
            key=key,
            user=user,
            old_user=old_routes(user),
            reactor=reactor,
            random_bytes=random_bytes,
            observe=observe,
            dropped=dropped,
            highest=highest,
            accept_unsealed=accept_unsealed,
            time_of_day=time_of_day,
        )
        self._registry = registry
        self._endpoint_for = endpoint_for
        self._random = random
        self._unwatch: Callable[[], None] | None = None
        self._listed: frozenset[str] = frozenset()
        self._dials: dict[str, _Dial] = {}
        self._ending: set[_Dial] = set()

    def startService(self) -> None:
        """Watch the registry, and dial the routes that it lists."""
        super().startService()
        self._unwatch = self._registry.watch(ROUTES, self._changed)

    def stopService(self) -> Deferred[None]:
        """End all links, still trying to write what was sent; fires when all connections are gone."""
        super().stopService()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._ending.update(self._dials.values())
        self._dials.clear()
        return gatherResults([dial.stop("the server is stopping") for dial in self._ending]).addCallback(lambda _: None)

    def unsealed(self) -> list[str]:
        """Return the names of the routes whose links are not sealed."""
        return sorted(name for name, dial in self._dials.items() if dial.linked and not dial.sealed)

    def skews(self) -> dict[str, float]:
        """Return how many seconds our clock is ahead of those of routes, by name, as far as they tell the time."""
        return {name: dial.skew for name, dial in self._dials.items() if dial.linked and dial.skew is not None}

    def facts(self) -> dict[str, Any]:
        """Return what `/health` shows of the links."""
        troubles = {name: dial.trouble for name, dial in sorted(self._dials.items()) if dial.trouble}
        facts: dict[str, Any] = {"routes_not_linked": troubles} if troubles else {}
        return facts | _facts(self._parts, self.unsealed())

    def _changed(self, routes: Mapping[str, bytes]) -> None:
        self._listed = frozenset(routes)
        for name in sorted(routes):
            if name not in self._dials:
                self._dial(name)
        for name, dial in list(self._dials.items()):
            if name not in routes and not dial.linked:
                self._end(name)

    def _dial(self, name: str) -> None:
        try:
            endpoint = self._endpoint_for(RouteAddress.parse(name))
        except InvalidField as error:
            self._log.warn("The registry lists a route that cannot be dialed: {reason}", reason=error.message)
            return
        dial = _Dial(self._parts, name, endpoint, self._random, self._lost)
        self._dials[name] = dial
        dial.start()

    def _lost(self, dial: _Dial) -> None:
        if self._dials.get(dial.name) is dial and dial.name not in self._listed:
            self._end(dial.name)

    def _end(self, name: str) -> None:
        dial = self._dials.pop(name)
        self._ending.add(dial)
        dial.stop("the route left the registry").addCallback(lambda _: self._ending.discard(dial))


@implementer(IStreamClientEndpoint)
class _Dial(Factory):
    """Keeps a link to one route."""

    noisy = False
    _log = Logger()

    def __init__(
        self,
        parts: LinkParts,
        name: str,
        endpoint: IStreamClientEndpoint,
        random: Callable[[], float],
        lost: Callable[[_Dial], None],
    ) -> None:
        self.name = name
        self._parts = parts
        self._random = random
        self._lost = lost
        self._link: LinkProtocol | None = None
        self._failures = 0
        self._up_since = 0.0
        self._refusal = ""
        self._endpoint = endpoint
        self._service = ClientService(self, self, retryPolicy=self._delay, clock=parts.reactor)

    @property
    def linked(self) -> bool:
        """Whether the link is alive."""
        return self._link is not None and self._link.up

    @property
    def sealed(self) -> bool:
        """Whether the link is sealed; holds while it is alive."""
        return self._link is not None and self._link.sealed

    @property
    def skew(self) -> float | None:
        """How many seconds our clock is ahead of the route's; None if that is unknown."""
        return self._link.skew if self._link is not None else None

    @property
    def trouble(self) -> str:
        """Why there is no link; empty if there is one, or nothing is known yet."""
        return "" if self.linked else self._refusal

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the route, as an endpoint does."""
        # Whatever an endpoint raises, such as for want of descriptors, would end the service's own loop.
        connecting: Deferred[IProtocol] = maybeDeferred(self._endpoint.connect, factory)
        return connecting.addErrback(self._unreachable)

    def _unreachable(self, failure: Failure) -> Failure:
        if failure.check(CancelledError) is None:
            self._no_link(f"cannot connect: {failure.getErrorMessage()}")
        return failure

    def start(self) -> None:
        """Dial, and dial again whenever the link is lost."""
        self._service.startService()

    def stop(self, reason: str) -> Deferred[None]:
        """End the link, still trying to write what was sent, and stop dialing; fires when the connection is gone."""
        stopped: Deferred[None] = Deferred()

        def stop_service(_: object) -> None:
            self._service.stopService().chainDeferred(stopped)

        if self._link is None:
            stop_service(None)
        else:
            self._link.when_gone().addCallback(stop_service)
            self._link.lose(reason)
        return stopped

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the link for a connection."""
        parts = self._parts
        handshake = DialerHandshake(
            parts.key,
            parts.own,
            parts.random_bytes,
            self.name,
            highest=parts.highest,
            accept_unsealed=parts.accept_unsealed,
        )
        link = LinkProtocol(parts, self, handshake)
        link.factory = self
        self._link = link
        return link

    def link_proven(self, link: LinkProtocol) -> None:
        """Remember when the link came up."""
        self._refusal = ""
        self._up_since = self._parts.reactor.seconds()

    def link_refused(self, link: LinkProtocol, reason: str) -> None:
        """Log the reason, and delay the next attempt."""
        self._no_link(reason)

    def _no_link(self, reason: str) -> None:
        """Log why there is no link, once while it stays the same."""
        if reason != self._refusal:
            self._refusal = reason
            self._log.warn("No link to route {route}: {reason}", route=self.name, reason=reason)

    def link_gone(self, link: LinkProtocol) -> None:
        """Forget the link; ClientService dials again."""
        self._link = None
        if self._up_since and self._parts.reactor.seconds() - self._up_since >= STEADY_SECONDS:
            self._failures = 0
        self._up_since = 0.0
        self._lost(self)

    def _delay(self, attempt: int) -> float:
        # Not ClientService's count of attempts, which takes a connection as a success; here the handshake must succeed.
        delay = min(MAX_RETRY, FIRST_RETRY * 2 ** min(self._failures, 10))
        self._failures += 1
        return delay * (1 - self._random() / 2)
