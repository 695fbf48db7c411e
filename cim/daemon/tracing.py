"""Spans of what daemons do for a message or a request, and how they are named (docs/tracing.md).

Names and attributes are OpenTelemetry's, of its conventions for messaging, HTTP and databases; those of our own begin
with `cim.`. They never have what users said or are called, nor ids, addresses or paths that were asked for. This module
does not need OpenTelemetry: `cim.daemon.otlp` gives a Tracer what begins a span.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from cim.limits import Buckets, Limit
from cim.traces import UNTRACED, Trace, read_traceparent
from cim.wire.conversations import EVERYONE
from cim.wire.error_table import row_of

if TYPE_CHECKING:
    import opentelemetry.trace

#: How many requests are traced because whoever sent them traces them: anyone can say so.
ASKED = Limit(50, 500)
#: The most links of a span, as OpenTelemetry bounds them.
MAX_LINKS = 128
Attributes = Mapping[str, str | int]


class Begin(Protocol):
    """Begins a span of OpenTelemetry."""

    def __call__(
        self, name: str, kind: str, attributes: Attributes, parent: Trace, links: Sequence[Trace]
    ) -> opentelemetry.trace.Span:
        """Begin a span now.

        :param kind: the name of its SpanKind
        :param parent: empty for the first one of a new trace
        """


class Span:
    """A span that has begun.

    :ivar trace: what names it in what it leads to
    """

    __slots__ = ("_span", "trace")

    def __init__(self, span: opentelemetry.trace.Span) -> None:
        said = span.get_span_context()
        self._span = span
        # OpenTelemetry can be told in its own ways to trace nothing.
        known = said.is_valid
        self.trace: Trace = said.trace_id.to_bytes(16, "big") + said.span_id.to_bytes(8, "big") if known else UNTRACED

    def note(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Say that it failed, and by which kind of error; what kinds there are is known beforehand."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, error: BaseException | None = None) -> None:
        """End it, now; whatever is said of it later is ignored.

        :param error: what it failed with
        """
        self.answered_with(row_of(error).problem if error is not None else "")

    def answered_with(self, code: str) -> None:
        """End that of a session's message.

        :param code: of the failure that a route answered with; empty for none
        """
        if self._span.is_recording():
            if code:
                self.fail(code)
            self._span.end()

    def answered(self, status: int, errors: int = 500) -> None:
        """End that of an HTTP request, with the status of the answer.

        :param errors: the lowest status that is an error; for whoever asked it is 400
        """
        self._span.set_attribute("http.response.status_code", status)
        if status >= errors:
            self.fail(str(status))
        self._span.end()


def _messaging(operation: str, name: str, conversation: str) -> dict[str, str | int]:
    """Return the attributes of a span about a message; of its conversation only what kind that is."""
    where = "g:0" if conversation == EVERYONE else "g:{group}" if conversation.startswith("g:") else "p:{user}:{user}"
    return {
        "messaging.system": "cim",
        "messaging.operation.type": operation,
        "messaging.operation.name": name,
        "messaging.destination.template": where,
    }


class Tracer:
    """Decides what is traced, and begins its spans.

    Whatever begins in a daemon is traced with the chance `ratio`. What belongs to a trace already is traced, and what
    somebody else decided not to trace is not.

    :param ratio: 0 to 1
    :param random: returns evenly distributed numbers from 0 to 1
    :param seconds: the time on a monotonic clock
    :param dropped: counts what was not traced although it was asked for
    :param store: what OpenTelemetry calls the store's system
    :ivar begin: begins a span; None while nobody takes them
    """

    def __init__(
        self,
        ratio: float,
        *,
        random: Callable[[], float],
        seconds: Callable[[], float],
        dropped: Callable[[str], object],
        store: str = "",
    ) -> None:
        self._ratio = ratio
        self._random = random
        self._seconds = seconds
        self._dropped = dropped
        self._store = store
        self._asked = Buckets(ASKED)
        self.begin: Begin | None = None

    def _begun(
        self, name: str, kind: str, attributes: Attributes, parent: Trace = UNTRACED, links: Sequence[Trace] = ()
    ) -> Span | None:
        begin = self.begin
        return Span(begin(name, kind, attributes, parent, links)) if begin is not None else None

    def _chosen(self) -> bool:
        return self.begin is not None and self._random() < self._ratio

    def request(self, method: str, path: str, scheme: str, headers: Sequence[bytes] | None) -> Span | None:
        """Begin the span of an HTTP request that arrived; None if it is not traced.

        :param path: as its call is declared, with names in the place of values
        :param headers: those of its headers that are called `traceparent`
        """
        named = read_traceparent(headers[0]) if headers is not None and len(headers) == 1 else None
        parent = UNTRACED
        if named is None:
            if not self._chosen():
                return None
        else:
            parent, asked = named
            if not asked:
                return None
            if not self._asked.take("", self._seconds(), 1):
                self._dropped("traces")
                return None
        said = {"http.request.method": method, "http.route": path, "url.scheme": scheme}
        return self._begun(f"{method} {path}", "SERVER", said, parent)

    def send(self, conversation: str) -> Span | None:
        """Begin the span of a message that a session has sent, at its server; None if it is not traced."""
        if not self._chosen():
            return None
        said = _messaging("send", "send", conversation)
        return self._begun(f"send {said['messaging.destination.template']}", "SERVER", said)

    def publish(self, conversation: str, parent: Trace) -> Span | None:
        """Begin the span of a message at its route, from its checks until it is stored or refused."""
        said = _messaging("send", "publish", conversation)
        return self._begun(f"publish {said['messaging.destination.template']}", "PRODUCER", said, parent)

    def append(self, traces: Sequence[Trace], messages: int) -> Span | None:
        """Begin the span of a call that stores a batch: below its first traced message, with links to the others.

        :param traces: those of its messages that are traced, at least one
        :param messages: how many are stored
        """
        said: Attributes = {
            "db.system.name": self._store,
            "db.operation.name": "append",
            "db.operation.batch.size": messages,
        }
        return self._begun("append", "CLIENT", said, traces[0], traces[1 : 1 + MAX_LINKS])

    def deliver(self, parent: Trace) -> Span | None:
        """Begin the span of a message's push to the sessions of a server."""
        said = {"messaging.system": "cim", "messaging.operation.type": "process", "messaging.operation.name": "deliver"}
        return self._begun("deliver", "CONSUMER", said, parent)

    def call(self, method: str, host: str, port: int, parent: Trace = UNTRACED) -> Span | None:
        """Begin the span of an HTTP request that is sent; None if it is not traced."""
        if not parent and not self._chosen():
            return None
        said: Attributes = {"http.request.method": method, "server.address": host, "server.port": port}
        return self._begun(method, "CLIENT", said, parent)
