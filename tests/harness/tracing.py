"""A tracer whose spans are kept, made by OpenTelemetry itself."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cim.daemon.otlp import beginning
from cim.daemon.tracing import Tracer
from cim.traces import Trace


class KeptSpans:
    """Spans that have ended.

    :param ratio: which part of what begins is traced
    :ivar chance: the next random number
    :ivar now: the time in seconds
    :ivar dropped: what was not traced although it was asked for
    """

    def __init__(self, ratio: float = 1.0) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.chance = 0.5
        self.now = 1000.0
        self.dropped: list[str] = []
        self.tracer = Tracer(
            ratio, random=lambda: self.chance, seconds=lambda: self.now, dropped=self.dropped.append, store="redis"
        )
        self.tracer.begin = beginning(provider)

    def take(self) -> list[ReadableSpan]:
        """Return the spans since the last call, in the order in which they ended."""
        spans = list(self._kept.get_finished_spans())
        self._kept.clear()
        return spans

    def tree(self, spans: list[ReadableSpan] | None = None) -> dict[str, Any]:
        """Return the names of spans, below each those of its children; of several of one name, one."""
        spans = self.take() if spans is None else spans

        def below(parent: ReadableSpan | None) -> dict[str, Any]:
            above = parent.context.span_id if parent is not None and parent.context is not None else None
            return {
                span.name: below(span)
                for span in spans
                if (span.parent.span_id if span.parent is not None else None) == above
            }

        return below(None)


def trace_of(span: ReadableSpan) -> Trace:
    """Return what a span is named by."""
    context = span.context
    assert context is not None
    return context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big")
