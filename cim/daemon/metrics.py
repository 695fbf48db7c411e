"""A daemon's metrics, for Prometheus (docs/operations.md lists the names).

Counting is plain integer arithmetic, cheap enough to do for each message. The metric families are built only when
someone asks for them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import ILogObserver, LogEvent, LogPublisher
from zope.interface import implementer

from cim.daemon.clock import monotonic

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Distribution:
    """A histogram: how many observations were at or below each bound.

    :param bounds: upper bounds, ascending
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts by upper bound, as Prometheus expects them."""
        bounds = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(bounds, (float(count) for count in accumulate(self.counts)), strict=True))


class Distributions(dict[tuple[str, ...], Distribution]):
    """Histograms of one kind, by the values of their labels.

    :param bounds: see Distribution
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self._bounds = bounds

    def of(self, *labelled: str) -> Distribution:
        """Return the histogram with these values of the labels; it is made if it is not there."""
        return self.get(labelled) or self._new(labelled)

    def _new(self, labelled: tuple[str, ...]) -> Distribution:
        made = self[labelled] = Distribution(self._bounds)
        return made


class Metrics:
    """The counters of one daemon, in a registry of their own.

    :ivar messages_in: messages accepted from users or back ends; callers add to it
    :ivar messages_out: messages written to users' sessions; callers add to it
    :ivar internal_errors: unexpected exceptions; CountingErrors adds to it
    :ivar sessions: returns the number of sessions by wire generation; a daemon that has sessions sets it
    :ivar parts: returns which parts of the daemon are well; whoever knows its health sets it
    :ivar seconds: returns the seconds of the clock by which calls are timed
    """

    def __init__(self, daemon: str, version: str = "") -> None:
        self.daemon = daemon
        self.version = version
        self.messages_in = 0
        self.messages_out = 0
        self.internal_errors = 0
        self.sessions: Callable[[], Mapping[str, int]] = dict
        self.parts: Callable[[], Mapping[str, bool]] = dict
        self.seconds: Callable[[], float] = monotonic
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        #: By how many seconds the clock of this machine is ahead of others', by whose they are.
        self.clock_skews: Callable[[], Mapping[str, float]] = dict
        self._logins: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._pushes: Counter[tuple[str, str]] = Counter()
        self._webhooks: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._http = Distributions(LATENCY_BOUNDS)
        self._deliveries = Distributions(LATENCY_BOUNDS)
        self._link_bytes: Counter[str] = Counter()
        self._link_batches = Distributions(SIZE_BOUNDS)
        self._store = Distributions(LATENCY_BOUNDS)
        self._policy_answers: Counter[tuple[str, str]] = Counter()
        self._policy_seconds = Distributions(LATENCY_BOUNDS)
        self._registry: CollectorRegistry | None = None

    def login(self, outcome: str) -> None:
        """Count a login by its outcome: `ok`, or the reason why it failed."""
        self._logins[outcome] += 1

    def refused(self, kind: str) -> None:
        """Count refused input from outside; `kind` is one of a fixed few words, never the input itself."""
        self._refused[kind] += 1

    def dropped(self, what: str, items: int = 1) -> None:
        """Count items that were dropped because a limit was reached."""
        self._dropped[what] += items

    def pushed(self, kind: str, outcome: str) -> None:
        """Count a notification that a pusher of a kind was given, by what became of it."""
        self._pushes[kind, outcome] += 1

    def webhook(self, name: str, outcome: str) -> None:
        """Count an event for a webhook, by what the operator calls that, and by what became of it: `sent`, `failed`
        (which of the logs are sent again) or `dropped`."""
        self._webhooks[name, outcome] += 1

    def link_batch(self, direction: str, items: int, size: int) -> None:
        """Count a batch of `items` items and `size` bytes on a link; `direction` is `in` or `out`."""
        self._link_batches.of(direction).observe(items)
        self._link_bytes[direction] += size

    def store_call(self, operation: str, seconds: float) -> None:
        """Count a finished store call; fits `IStore.observe`."""
        self._store.of(operation).observe(seconds)

    def policy(self, name: str, outcome: str, seconds: float | None) -> None:
        """Count what a policy answered.

        :param name: what the operator calls it
        :param outcome: one of a fixed few words
        :param seconds: how long the answer took; None if nothing was asked
        """
        self._policy_answers[name, outcome] += 1
        if seconds is not None:
            self._policy_seconds.of(name).observe(seconds)

    def http_request(self, method: str, path: str, status: int, seconds: float | None = None) -> None:
        """Count an answered request.

        :param method: one that the path has; empty for a path that is none
        :param path: a declared path, or one of a few words such as `other`
        :param seconds: how long the answer took, if that is of interest
        """
        self._requests[method, path, status] += 1
        if seconds is not None:
            self._http.of(method, path).observe(seconds)

    def delivered(self, seconds: float) -> None:
        """Count how long after it was sent a message was written to sessions."""
        self._deliveries.of().observe(seconds)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge `cim_<name>` whose value is `value()` at the time of each scrape.

        :param text: its help text
        """
        self._gauges[name] = (text, value)

    @property
    def registry(self) -> CollectorRegistry:
        """A registry of our own with these metrics and the process's; never the global one."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry, ProcessCollector

            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            self._registry.register(self)
        return self._registry

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def figures(self) -> dict[str, list[dict[str, Any]]]:
        """Return each of these metrics by the name that `render` gives it: the labels and the value of its samples.

        A value that is no finite number is None.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for family in self.collect():
            for sample in family.samples:
                value = sample.value if math.isfinite(sample.value) else None
                found.setdefault(sample.name, []).append({"labels": dict(sample.labels), "value": value})
        return found

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families; the registry calls this."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        build = GaugeMetricFamily("cim_build_info", "The daemon and its version.", labels=("daemon", "version"))
        build.add_metric((self.daemon, self.version), 1)
        yield build

        sessions = GaugeMetricFamily("cim_sessions", "Open user sessions.", labels=("generation",))
        for generation, number in self.sessions().items():
            sessions.add_metric((generation,), number)
        yield sessions

        parts = GaugeMetricFamily("cim_healthy", "Whether a part is well, as /health has it.", labels=("part",))
        for part, well in self.parts().items():
            parts.add_metric((part,), well)
        yield parts

        skew = GaugeMetricFamily(
            "cim_clock_skew_seconds", "How far the clock of this machine is ahead of another.", labels=("peer",)
        )
        for peer, seconds in self.clock_skews().items():
            skew.add_metric((peer,), seconds)
        yield skew

        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(f"cim_{name}", text, value=value())

        messages = CounterMetricFamily("cim_messages", "Messages accepted and delivered.", labels=("direction",))
        messages.add_metric(("in",), self.messages_in)
        messages.add_metric(("out",), self.messages_out)
        yield messages
        yield CounterMetricFamily("cim_internal_errors", "Unexpected exceptions.", value=self.internal_errors)

        for counter, name, text, label in (
            (self._logins, "cim_logins", "Logins by outcome.", "outcome"),
            (self._refused, "cim_refused", "Refused input by kind.", "kind"),
            (self._dropped, "cim_dropped", "What was dropped because a limit was reached.", "what"),
            (self._link_bytes, "cim_link_bytes", "Bytes sent and received over links.", "direction"),
        ):
            family = CounterMetricFamily(name, text, labels=(label,))
            for key, count in counter.items():
                family.add_metric((key,), count)
            yield family

        pushes = CounterMetricFamily("cim_pushes", "Notifications of users.", labels=("kind", "outcome"))
        for outcome, count in self._pushes.items():
            pushes.add_metric(outcome, count)
        yield pushes

        webhooks = CounterMetricFamily("cim_webhook_events", "Events for webhooks.", labels=("webhook", "outcome"))
        for of_webhook, count in self._webhooks.items():
            webhooks.add_metric(of_webhook, count)
        yield webhooks

        requests = CounterMetricFamily(
            "cim_http_requests", "HTTP requests answered.", labels=("method", "path", "status")
        )
        for (method, path, status), count in self._requests.items():
            requests.add_metric((method, path, str(status)), count)
        yield requests

        policies = CounterMetricFamily(
            "cim_policy_answers", "What policies and hooks answered.", labels=("policy", "outcome")
        )
        for answered, count in self._policy_answers.items():
            policies.add_metric(answered, count)
        yield policies

        for distributions, name, text, labels in (
            (self._link_batches, "cim_link_batch_items", "Items in a batch on a link.", ("direction",)),
            (self._store, "cim_store_seconds", "How long store calls took.", ("operation",)),
            (self._policy_seconds, "cim_policy_seconds", "How long policies and hooks took to answer.", ("policy",)),
            (self._http, "cim_http_seconds", "How long HTTP calls took, from their last byte on.", ("method", "path")),
            (
                self._deliveries,
                "cim_delivery_seconds",
                "How long messages took to sessions, by their time.",
                (),
            ),
        ):
            histogram = HistogramMetricFamily(name, text, labels=labels)
            for labelled, distribution in distributions.items():
                histogram.add_metric(labelled, distribution.buckets(), distribution.sum)
            yield histogram


@implementer(ILogObserver)
class CountingErrors(Service):
    """Counts every unexpected exception that is logged while it runs, whoever logs it and at whatever level."""

    def __init__(self, metrics: Metrics, publisher: LogPublisher) -> None:
        self._metrics = metrics
        self._publisher = publisher

    def startService(self) -> None:
        """Begin to count."""
        super().startService()
        self._publisher.addObserver(self)

    def stopService(self) -> None:
        """Count no more."""
        super().stopService()
        self._publisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """See ILogObserver."""
        self._metrics.internal_errors += "log_failure" in event
