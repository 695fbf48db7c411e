"""JSON calls over HTTP, from clients to routes and from routes to upstream's servers, answered by upstream's envelope.

Callers must know what a failure means, so there are three kinds: Unreachable (nothing was sent), CallTimeout and any
other Unavailable (it may or may not have been done), and an envelope whose code is not 9000 (it was refused).
"""

from __future__ import annotations

import json
import os
from typing import Any

from attrs import field, frozen
from OpenSSL import SSL

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from cim.errors import CallTimeout, CIMError, InvalidField, Unavailable, Unreachable
from cim.named_host import NamedHost
from cim.wire.error_table import SUCCESS, of_envelope, row_of

#: The largest answer, in bytes.
MAX_BODY = 256 * 1024
#: The longest wait for a connection and for an answer, in seconds.
CONNECT_SECONDS = 3.0
CALL_SECONDS = 10.0


@frozen
class Envelope:
    """An answer of upstream's API (docs/http-api.md).

    :param data: `dataBody`, as parsed from JSON
    :param headers: those of the answer
    """

    code: str
    message: str
    data: Any = None
    headers: Headers = field(factory=Headers, eq=False)

    def result(self) -> Any:
        """Return the data of a call that succeeded.

        :raises CIMError: the class that belongs to the code, with the message of the envelope
        """
        if self.code == SUCCESS:
            return self.data
        raise of_envelope(self.code, self.message or None)


@frozen
class Answer:
    """The answer to a call."""

    status: int
    headers: Headers
    body: bytes


@frozen
@implementer(IStreamClientEndpoint)
class Secure:
    """An endpoint with TLS.

    Its context is made when it connects: an Agent asks for the endpoint of each request, also of those that go over a
    connection that is there.

    :param uri: whose host has to prove its name
    """

    _endpoint: IStreamClientEndpoint
    _policy: IPolicyForHTTPS
    _uri: URI

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        creator = self._policy.creatorForNetloc(self._uri.host, self._uri.port)
        connecting: Deferred[IProtocol] = wrapClientTLS(creator, self._endpoint).connect(factory)
        return connecting


@frozen
@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where an Agent connects for a URL."""

    _reactor: Any
    _policy: IPolicyForHTTPS

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint of an http or https URL."""
        endpoint = NamedHost(self._reactor, uri.host.decode("ascii"), uri.port, timeout=CONNECT_SECONDS)
        if uri.scheme == b"http":
            return endpoint
        if uri.scheme == b"https":
            return Secure(endpoint, self._policy, uri)
        raise SchemeNotSupported(f"{uri.scheme.decode('ascii', 'backslashreplace')} is neither http nor https")


class HTTPCalls:
    """Makes calls over a pool of its own, which keeps connections open for the next call.

    :param reactor: connects, and is the clock for timeouts
    :param agent: makes the requests instead of an Agent with a pool of its own
    :param policy: verifies servers for that Agent; by default against the roots of the machine
    :param timeout: the longest time from a call to the end of its answer, in seconds
    :param max_body: the largest answer, in bytes
    """

    def __init__(
        self,
        reactor: Any,
        *,
        agent: IAgent | None = None,
        policy: IPolicyForHTTPS | None = None,
        timeout: float = CALL_SECONDS,
        max_body: int = MAX_BODY,
    ) -> None:
        self._clock = reactor
        self._timeout = timeout
        self._max_body = max_body
        self._pool: HTTPConnectionPool | None = None
        if agent is None:
            self._pool = HTTPConnectionPool(reactor)
            self._pool.maxPersistentPerHost = 32
            # Shorter than servers keep them (Tomcat: 20 s), so that no call is lost on a connection that is closing.
            self._pool.cachedConnectionTimeout = 10
            policy = policy or BrowserLikePolicyForHTTPS()
            agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, policy), self._pool)
        self._agent = agent

    def close(self) -> Deferred[None]:
        """Close the idle connections; fires when they are gone."""
        if self._pool is None:
            return succeed(None)
        return self._pool.closeCachedConnections()

    def ask(self, method: str, url: str, obj: Any = None, token: str = "") -> Deferred[Answer]:
        """Send `obj` as JSON, or no body if it is None, and return the answer, whatever its status.

        :param token: sent as the caller's bearer token
        :raises InvalidField: `obj` holds a lone surrogate
        :raises Unreachable: there is no connection, so nothing was sent
        :raises CallTimeout: there was no answer in time: it may or may not have been done
        :raises Unavailable: the connection was lost: it may or may not have been done
        """

        def timed_out(_: object, seconds: float) -> Answer:
            raise CallTimeout(f"{_origin(url)} gave no answer within {seconds:g} s")

        return Deferred.fromCoroutine(self._exchange(method, url, obj, token)).addTimeout(
            self._timeout, self._clock, timed_out
        )

    async def _exchange(self, method: str, url: str, obj: Any, token: str) -> Answer:
        try:
            body = None if obj is None else json.dumps(obj, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidField("text", "must not contain lone surrogates")
        headers = Headers({} if body is None else {"Content-Type": ["application/json; charset=utf-8"]})
        if token:
            headers.setRawHeaders("Authorization", [f"Bearer {token}"])
        try:
            # No Accept-Encoding: a compressed answer of the largest size could take a thousand times as much memory.
            response = await self._agent.request(
                method.encode(), url.encode("ascii"), headers, None if body is None else Body(body)
            )
            return Answer(response.code, response.headers, await read_body(response, self._max_body))
        except ConnectingCancelledError:
            raise CancelledError()
        except (ConnectError, DNSLookupError) as error:
            raise Unreachable(f"{_origin(url)} cannot be reached: {reason(error)}")
        except ResponseFailed as error:
            why = error.reasons[0].value
            if isinstance(why, CancelledError):
                raise CancelledError()
            if isinstance(why, CIMError):
                raise why  # the policy's
            lost = reason(why) if why is not None else ""
            raise Unavailable(f"the connection to {_origin(url)} was lost before the answer: {lost}")


class JSONCalls(HTTPCalls):
    """Makes calls that are answered with an envelope."""

    def post(self, url: str, obj: Any) -> Deferred[Envelope]:
        """Send `obj` as JSON and return the envelope, whatever its code.

        Fails as `ask` does, and with Unavailable if the answer is not an envelope.
        """
        return self.ask("POST", url, obj).addCallback(_envelope, url)

    def get(self, url: str) -> Deferred[Envelope]:
        """Make a GET call; the rest is as for `post`."""
        return self.ask("GET", url).addCallback(_envelope, url)


def reason(error: BaseException) -> str:
    """Return why a connection failed, in a few words."""
    if isinstance(error, SSL.Error):
        words = ", ".join(one[-1] for one in error.args[0]) if error.args and isinstance(error.args[0], list) else ""
        return f"it does not speak TLS as it should ({words or 'no reason given'})"
    number = getattr(error, "osError", None)
    return os.strerror(number) if number else str(error).rstrip(".") or type(error).__name__


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _envelope(answer: Answer, url: str) -> Envelope:
    try:
        loaded = json.loads(answer.body)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict) or not ("code" in loaded or answer.status == 200):
        raise Unavailable(f"{url} answered HTTP {answer.status} without an envelope")
    # Upstream sends no code with an error that it made from only a text.
    code, message = loaded.get("code"), loaded.get("message")
    return Envelope(
        str(code) if code is not None else row_of(CIMError()).envelope,
        str(message) if message is not None else "",
        loaded.get("dataBody"),
        answer.headers,
    )


@implementer(IBodyProducer)
class Body:
    """A request's body, written at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body was already written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body was already written."""

    def stopProducing(self) -> None:
        """Do nothing: the body was already written."""


class _Reading(Protocol):
    """Collects an answer's body up to a bound, and drops the connection if there is more."""

    def __init__(self, max_body: int) -> None:
        self._room = max_body
        self._parts: list[bytes] = []
        self.done: Deferred[bytes] = Deferred(lambda _: self._abandon(CancelledError()))

    def dataReceived(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self._abandon(Unavailable("an answer is larger than allowed"))
        else:
            self._parts.append(data)

    def _abandon(self, error: Exception) -> None:
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()
        if not self.done.called:
            self.done.errback(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(ResponseFailed([reason]))


def read_body(response: IResponse, max_body: int) -> Deferred[bytes]:
    """Return an answer's body; cancelling it drops the connection.

    :raises Unavailable: it has more than `max_body` bytes
    :raises ResponseFailed: the connection was lost before its end
    """
    answer = _Reading(max_body)
    response.deliverBody(answer)
    return answer.done
