"""Gives spans to an OpenTelemetry collector, over OTLP and HTTP (docs/tracing.md).

OpenTelemetry is an extra, `cim-im[otel]`, and imported only when `--trace` is given. Its exporter has a thread of its
own, so the reactor waits for nothing. Spans wait for it in a queue that is bounded here, because OpenTelemetry's own
does not say what it drops.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.usage import UsageError

import cim
from cim.daemon.config import DaemonOptions, ratio
from cim.daemon.lifecycle import within
from cim.daemon.metrics import Metrics
from cim.daemon.runtime import command
from cim.daemon.tracing import Attributes, Begin, Tracer
from cim.plain import quoted
from cim.traces import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

#: The most spans that wait to be exported or are being exported, those in one export, and the longest time from the
#: end of a span to its export when all goes well, in seconds.
QUEUE, BATCH, DELAY = 4096, 256, 1.0
#: How long an export may take, with its repetitions; and how long a daemon that stops waits for the last, in seconds.
EXPORT_SECONDS, LAST_SECONDS = 5.0, 2.0
#: How much of a collector's answer is read, in bytes.
MAX_ANSWER = 1 << 16
#: A small part, so that tracing can be left on.
RATIO = 0.01
MISSING = "--trace needs OpenTelemetry, which is not installed: pip install 'cim-im[otel]'"


def collector(text: str) -> str:
    """Read where a collector takes traces: an http or https URL, by default with the path that collectors have."""
    try:
        url = urlsplit(text)
        known = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port)
    except ValueError:
        known = False
    if not known or not re.fullmatch(r"[!-~]{1,1000}", text) or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(
            "must be the URL of a collector's OTLP/HTTP port, such as http://127.0.0.1:4318, without a password, is "
            + quoted(text)
        )
    return text if url.path.strip("/") else text.rstrip("/") + "/v1/traces"


class TraceOptions(DaemonOptions):
    """Adds `--trace` and `--trace-ratio`."""

    optParameters = [
        [
            "trace",
            None,
            None,
            "URL of an OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318 [default: no tracing].",
            collector,
        ],
        ["trace-ratio", None, RATIO, "Which part of what begins here is traced, 0 to 1.", ratio],
    ]


def traced_by(
    root: MultiService, options: Any, reactor: Any, metrics: Metrics, instance: str, store: str = ""
) -> Tracer | None:
    """Return a tracer for a daemon by its options, which works while `root` runs; None if nothing is to be traced.

    :param instance: tells this process from others
    :param store: as `--store` names it; empty for none
    :raises UsageError: OpenTelemetry is not installed
    """
    if not options["trace"]:
        return None
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        raise UsageError(MISSING) from None
    tracer = Tracer(
        options["trace-ratio"],
        random=random.random,
        seconds=reactor.seconds,
        dropped=metrics.dropped,
        store="redis" if store.startswith("redis") else store.partition(":")[0],
    )
    Tracing(tracer, options["trace"], reactor, metrics, command(options.daemon), instance).setServiceParent(root)
    return tracer


class Tracing(Service):
    """Gives a tracer's spans to a collector while it runs.

    :param url: where the collector takes them
    :param service: what the daemon is called there
    :param exporting: returns what sends spans there, which is done in another thread
    """

    _log = Logger()

    def __init__(
        self,
        tracer: Tracer,
        url: str,
        reactor: Any,
        metrics: Metrics,
        service: str,
        instance: str,
        exporting: Callable[[str], SpanExporter] | None = None,
    ) -> None:
        self.tracer = tracer
        self._exporting = exporting or _exporter
        self._url = url
        self._reactor = reactor
        self._metrics = metrics
        self._called = {
            "service.name": service,
            "service.version": cim.__version__,
            "service.instance.id": instance,
        }
        self._close: Callable[[], object] = lambda: None
        self._give_up: Callable[[], object] = lambda: None

    def startService(self) -> None:
        """Begin; not earlier, because a daemon that goes to the background leaves all threads behind."""
        super().startService()
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        exporter = self._exporting(self._url)
        told = _Told(exporter, self._failed, self._recovered, self._reactor.callFromThread)
        provider = TracerProvider(ALWAYS_ON, Resource.create(self._called), shutdown_on_exit=False)
        provider.add_span_processor(_counted(told, lambda: self._metrics.dropped("spans")))
        self.tracer.begin = beginning(provider)
        self._close, self._give_up = provider.shutdown, exporter.shutdown
        self._log.info("traces go to the collector at {url}", url=self._url)

    def _failed(self, spans: int, first: bool, why: str) -> None:
        self._metrics.dropped("spans", spans)
        if first:
            self._log.warn("the collector at {url} takes no traces: {why}", url=self._url, why=why)

    def _recovered(self) -> None:
        self._log.info("the collector at {url} takes traces again", url=self._url)

    def stopService(self) -> Deferred[None]:
        """Give the collector what still waits, for a short while."""
        super().stopService()
        self.tracer.begin = None
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        closed: Deferred[None] = Deferred()

        def close() -> None:
            self._close()
            self._reactor.callFromThread(closed.callback, None)

        # No thread of the reactor's, which would be waited for.
        Thread(target=close, name="last traces", daemon=True).start()
        if not await within(closed, LAST_SECONDS, self._reactor, self._log, "giving the last traces to the collector"):
            self._give_up()


def _exporter(url: str) -> SpanExporter:
    """Return what sends spans to a collector; it follows no redirections, and takes nothing from the environment that
    is not OpenTelemetry's."""
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Bounded(requests.Session):
        """A session that does not read an answer without end."""

        def request(self, *arguments: Any, **named: Any) -> requests.Response:
            """See requests.Session."""
            response = super().request(*arguments, **{**named, "stream": True})
            with response:
                response.raw.read(MAX_ANSWER)
            return response

    session = Bounded()
    session.trust_env, session.max_redirects = False, 0
    return OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS, session=session)


class _FirstWords(logging.Handler):
    """Keeps the first that OpenTelemetry says of an export, the reason why it failed, which it would log for each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.words = self.words or record.getMessage()


class _Told:
    """An exporter (SpanExporter) that tells the reactor's thread what becomes of spans.

    :param failed: called with how many spans were lost, whether that is news, and the reason
    :param recovered: called when a collector takes spans that did not
    :param tell: calls a function in the reactor's thread
    :ivar done: how many spans were exported, well or not
    """

    def __init__(
        self,
        exporter: SpanExporter,
        failed: Callable[[int, bool, str], object],
        recovered: Callable[[], object],
        tell: Callable[..., object],
    ) -> None:
        self._exporter = exporter
        self._failed = failed
        self._recovered = recovered
        self._tell = tell
        self._well = True
        self._said = _FirstWords()
        self.done = 0
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self._said], False

    def export(self, spans: Sequence[Any]) -> Any:
        """See SpanExporter."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._said.words = ""
        result = self._exporter.export(spans)
        well = result is SpanExportResult.SUCCESS
        if not well:
            self._tell(self._failed, len(spans), self._well, self._said.words)
        elif not self._well:
            self._tell(self._recovered)
        self._well = well
        self.done += len(spans)
        return result

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """See SpanExporter."""
        return True


def _counted(told: _Told, dropped: Callable[[], object]) -> SpanProcessor:
    """Return what has spans exported by batches, and drops and counts those that would be too many."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Counted(BatchSpanProcessor):
        """Counts what it takes and what it drops."""

        ended = 0

        def on_end(self, span: ReadableSpan) -> None:
            """See SpanProcessor."""
            # Each of the two numbers is written by one thread.
            if self.ended - told.done >= QUEUE:
                dropped()
            else:
                self.ended += 1
                super().on_end(span)

    return Counted(
        told,  # type: ignore[arg-type]  # as a SpanExporter, which is no protocol
        max_queue_size=QUEUE + 1,
        schedule_delay_millis=DELAY * 1000,
        max_export_batch_size=BATCH,
    )


def beginning(provider: TracerProvider) -> Begin:
    """Return what begins the spans that OpenTelemetry provides for."""
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, set_span_in_context

    tracer = provider.get_tracer("cim", cim.__version__)
    sampled, nothing = TraceFlags(TraceFlags.SAMPLED), Context()

    def context_of(trace: Trace) -> SpanContext:
        return SpanContext(int.from_bytes(trace[:16], "big"), int.from_bytes(trace[16:24], "big"), True, sampled)

    def begin(name: str, kind: str, attributes: Attributes, parent: Trace, links: Sequence[Trace]) -> Span:
        return tracer.start_span(
            name,
            set_span_in_context(NonRecordingSpan(context_of(parent)), nothing) if parent else nothing,
            SpanKind[kind],
            attributes,
            [Link(context_of(link)) for link in links],
        )

    return begin
