"""Sends HTTP requests to strangers, whose names, answers and patience are not to be trusted (docs/security.md).

A name is resolved for each connection, all of its addresses are checked, and the connection goes to one that was
checked. The Agent is used by itself: what libraries above it do for their callers (they follow redirections, keep
cookies, ask for gzip and decode it, spell URLs anew) is what must not be done here. No proxy is taken from the
environment.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from OpenSSL import SSL
from service_identity import VerificationError

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IHostResolution, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from cim.daemon.tracing import Tracer
from cim.errors import CallTimeout, CIMError, RateLimited, Unavailable, Unreachable, Untrusted
from cim.outgoing.guard import Guard, check_url
from cim.traces import UNTRACED, Trace, traceparent
from cim.web.calling import Answer, Body, Secure, read_body, reason

#: The longest wait for a connection to one address, in seconds, and how many addresses of a name are tried.
CONNECT_SECONDS = 3.0
MAX_TRIED = 4
#: The most addresses of a name that are looked at.
MAX_ADDRESSES = 64
#: Names that are looked up at a time: a lookup that hangs holds one of the few threads that look up all names.
MAX_LOOKUPS = 2
#: The largest answer that a caller may ask for, and the most of an answer's head, in bytes.
MAX_ANSWER = 1 << 20
MAX_HEAD = 1 << 16
#: Seconds for which an idle connection is kept: less than servers keep one, so that few requests meet one that closes.
KEPT_SECONDS = 4
#: Requests to one host that wait for their turn.
MAX_WAITING = 1000


class Outgoing:
    """Sends requests to strangers, over connections of its own.

    :param reactor: connects, resolves, and is the clock for deadlines
    :param guard: says which addresses may be reached
    :param policy: verifies who answers by TLS; by default against the roots of the machine
    :param per_host: the most requests, so also the most connections, to one host and port at a time
    :param tracer: traces requests, and tells the strangers by which trace; None if they are to know nothing of it
    """

    def __init__(
        self,
        reactor: Any,
        guard: Guard,
        *,
        policy: IPolicyForHTTPS | None = None,
        per_host: int = 8,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._clock = reactor
        self._per_host = per_host
        self._turns: dict[str, DeferredSemaphore] = {}
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = per_host
        self._pool.cachedConnectionTimeout = KEPT_SECONDS
        endpoints = _Endpoints(reactor, guard, policy or BrowserLikePolicyForHTTPS(), DeferredSemaphore(MAX_LOOKUPS))
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, self._pool)

    def close(self) -> Deferred[None]:
        """Close the idle connections; fires when they are gone."""
        return self._pool.closeCachedConnections()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = 10.0,
        most: int = 1 << 16,
        https: bool = False,
        trace: Trace = UNTRACED,
    ) -> Deferred[Answer]:
        """Send a request and return the answer, whatever its status; a redirection is an answer like any other.

        :param seconds: the longest time from the call to the end of the answer, its turn included
        :param most: the largest body of an answer, in bytes, at most MAX_ANSWER
        :param https: whether only https will do
        :param trace: that of what it is sent for; without one it may begin one itself
        :raises InvalidField: the URL is none that something may be sent to
        :raises RateLimited: too many requests to this host wait already
        :raises OutgoingRefused: the host leads to an address that may not be reached; nothing was sent
        :raises Untrusted: the host did not prove its name; nothing was sent
        :raises Unreachable: there is no connection; nothing was sent
        :raises CallTimeout: there was no whole answer in time: it may or may not have been done
        :raises Unavailable: the connection was lost, or the answer is too large: it may or may not have been done
        """
        origin = "/".join(url.split("/")[:3])
        said = dict(headers or {})

        async def send() -> Answer:
            check_url(url, https=https)
            sent = Headers({name: [value] for name, value in said.items()})
            turns = self._turns.setdefault(origin, DeferredSemaphore(self._per_host))
            if len(turns.waiting) >= MAX_WAITING:
                raise RateLimited(f"{MAX_WAITING} requests to {origin} wait already")
            try:
                await turns.acquire()
                try:
                    return await self._exchange(method, url, origin, sent, body, min(most, MAX_ANSWER))
                finally:
                    turns.release()
            finally:
                if turns.tokens == turns.limit:
                    self._turns.pop(origin, None)

        def timed_out(_: object, seconds: float) -> Answer:
            raise CallTimeout(f"{origin} gave no whole answer within {seconds:g} s")

        sending = self._traced(method, url, trace, said, send) if self._tracer is not None else send()
        return Deferred.fromCoroutine(sending).addTimeout(seconds, self._clock, timed_out)

    async def _traced(
        self, method: str, url: str, trace: Trace, said: dict[str, str], send: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> Answer:
        """Send within a span, which a header of the request names."""
        check_url(url)
        there = urlsplit(url)
        host, port = there.hostname or "", there.port or (443 if there.scheme == "https" else 80)
        span = self._tracer.call(method, host, port, trace) if self._tracer is not None else None
        if span is None:
            return await send()
        said["traceparent"] = traceparent(span.trace)
        try:
            answer = await send()
        except Exception as error:
            span.end(CallTimeout() if isinstance(error, CancelledError) else error)
            raise
        span.answered(answer.status, errors=400)
        return answer

    async def _exchange(
        self, method: str, url: str, origin: str, headers: Headers, body: bytes | None, most: int
    ) -> Answer:
        try:
            response = await self._agent.request(
                method.encode("ascii"), url.encode("ascii"), headers, None if body is None else Body(body)
            )
            return Answer(response.code, response.headers, await read_body(response, most))
        except ConnectingCancelledError:
            raise CancelledError()
        except ConnectError as error:
            raise Unreachable(f"{origin} cannot be reached: {reason(error)}")
        except ResponseFailed as error:
            why = next((one.value for one in error.reasons if one.value is not None), None)
            if isinstance(why, CancelledError):
                raise CancelledError()
            if isinstance(why, CIMError):
                raise why  # the policy's
            if isinstance(why, SSL.Error | VerificationError):
                raise Untrusted(f"{origin} does not prove its name by TLS: {reason(why)}")
            lost = reason(why) if why is not None else ""
            raise Unavailable(f"the connection to {origin} was lost before the answer: {lost}")


@frozen
@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where the Agent connects for a URL."""

    _reactor: Any
    _guard: Guard
    _policy: IPolicyForHTTPS
    _lookups: DeferredSemaphore

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint of a URL whose form was checked."""
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint = _Checked(self._reactor, self._guard, self._lookups, host, uri.port)
        if uri.scheme == b"https":
            endpoint = Secure(endpoint, self._policy, uri)
        return _Bounded(endpoint)


@frozen
@implementer(IStreamClientEndpoint)
class _Checked:
    """A port of a host, all of whose addresses are checked before one of them is connected to."""

    _reactor: Any
    _guard: Guard
    _lookups: DeferredSemaphore
    _host: str
    _port: int

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the first address that answers."""
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._resolved()
        addresses = [str(getattr(one, "host", "")) for one in found]
        if not addresses:
            raise Unreachable(f"{self._host} cannot be reached: there is no such host")
        self._guard.check_addresses(self._host, addresses)
        failed: ConnectError | None = None
        for address in addresses[:MAX_TRIED]:
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            try:
                return await kind(self._reactor, address, self._port, CONNECT_SECONDS).connect(factory)
            except ConnectingCancelledError:
                raise
            except ConnectError as error:
                failed = error
        assert failed is not None
        raise failed

    async def _resolved(self) -> list[IAddress]:
        """Look the host up. The turn is given back when the lookup ends, whoever still waits for it."""
        await self._lookups.acquire()
        looking = _Lookup(self._lookups.release)
        self._reactor.nameResolver.resolveHostName(looking, self._host, portNumber=self._port)
        return await looking.done


class _Lookup:
    """Takes the addresses of a host (IResolutionReceiver, which Twisted does not ask to be declared).

    :param over: called when the lookup ends
    """

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self._found: list[IAddress] = []
        self.done: Deferred[list[IAddress]] = Deferred()

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Do nothing: a lookup cannot be stopped."""

    def addressResolved(self, address: IAddress) -> None:
        """Keep an address."""
        if len(self._found) < MAX_ADDRESSES:
            self._found.append(address)

    def resolutionComplete(self) -> None:
        """Hand over what was found."""
        self._over()
        self.done.callback(self._found)


@frozen
@implementer(IStreamClientEndpoint)
class _Bounded:
    """Connections that end when more comes, in answer to one request, than an answer may have: the Agent itself would
    take a head without end."""

    _endpoint: IStreamClientEndpoint

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        wrapping = WrappingFactory(factory)
        wrapping.protocol = _Metered
        connecting: Deferred[Any] = self._endpoint.connect(wrapping)
        return connecting.addCallback(lambda metered: metered.wrappedProtocol)


class _Metered(ProtocolWrapper):
    """Counts what came since something was last sent."""

    _came = 0

    def write(self, data: bytes) -> None:
        self._came = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        self._came = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > MAX_HEAD + MAX_ANSWER:
            self.abortConnection()
        else:
            super().dataReceived(data)
