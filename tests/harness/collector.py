"""A double of an OpenTelemetry collector: takes spans by OTLP over HTTP, and checks what a real one would."""

from __future__ import annotations

import enum
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site


class Mood(enum.Enum):
    """What a collector does with spans.

    :cvar TAKES: keeps them
    :cvar REFUSES: answers 400, so that they do not come again
    :cvar HANGS: reads the request and never answers
    :cvar STREAMS: answers 200, and goes on with an answer without end
    """

    TAKES = enum.auto()
    REFUSES = enum.auto()
    HANGS = enum.auto()
    STREAMS = enum.auto()


class Seen:
    """A span that arrived.

    :ivar service: which daemon it is of
    :ivar parent: the id of the span above it, empty for the first of a trace
    :ivar links: the (trace, span) of its links
    """

    def __init__(self, service: str, span: Span) -> None:
        self.service = service
        self.name = span.name
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.attributes = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.nanoseconds = span.end_time_unix_nano - span.start_time_unix_nano

    def __repr__(self) -> str:
        return f"<{self.service}: {self.name} {self.trace[:4]} {self.parent[:4]}>{self.id[:4]} {self.attributes}>"


class _Traces(Resource):
    isLeaf = True

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector

    def render_POST(self, request: Any) -> Any:
        """Take an export."""
        collector = self._collector
        collector.requests += 1
        if collector.mood is Mood.HANGS:
            return NOT_DONE_YET
        if collector.mood is Mood.STREAMS:
            self._stream(request)
            return NOT_DONE_YET
        if collector.mood is Mood.REFUSES:
            request.setResponseCode(400)
            return b""
        assert request.path == b"/v1/traces", request.path
        assert request.getHeader(b"content-type") == b"application/x-protobuf"
        collector.take(ExportTraceServiceRequest.FromString(request.content.read()))
        request.setHeader(b"content-type", b"application/x-protobuf")
        return ExportTraceServiceResponse().SerializeToString()

    def _stream(self, request: Any) -> None:
        class Endless:
            def resumeProducing(self) -> None:
                request.write(b"x" * 4096)

            def stopProducing(self) -> None:
                pass

        request.notifyFinish().addErrback(lambda _: None)
        request.registerProducer(Endless(), False)


class Collector:
    """A collector on a port of loopback.

    :ivar spans: those that arrived, in this order
    :ivar requests: how many exports arrived
    """

    def __init__(self, reactor: Any, mood: Mood = Mood.TAKES) -> None:
        self.mood = mood
        self.spans: list[Seen] = []
        self.requests = 0
        self.resources: list[dict[str, str]] = []
        site = Site(_Traces(self))
        site.displayTracebacks = True
        self._port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}"

    def take(self, export: ExportTraceServiceRequest) -> None:
        """Keep the spans of an export."""
        for of_one in export.resource_spans:
            resource = {one.key: one.value.string_value for one in of_one.resource.attributes}
            if resource not in self.resources:
                self.resources.append(resource)
            for scope in of_one.scope_spans:
                self.spans += [Seen(resource["service.name"], span) for span in scope.spans]

    def named(self, name: str) -> list[Seen]:
        """Return the spans with a name."""
        return [span for span in self.spans if span.name == name]

    def traces(self) -> dict[str, list[Seen]]:
        """Return the spans by the trace that they belong to."""
        found: dict[str, list[Seen]] = {}
        for span in self.spans:
            found.setdefault(span.trace, []).append(span)
        return found

    def stop(self) -> Deferred[None]:
        """Listen no more."""
        stopped: Deferred[None] = self._port.stopListening()
        return stopped
