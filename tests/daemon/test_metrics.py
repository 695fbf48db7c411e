"""A daemon's metrics."""

from __future__ import annotations

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.metrics import CountingErrors, Distribution, Metrics


def _samples(metrics):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


class MetricsTests(SynchronousTestCase):
    def setUp(self):
        self.metrics = Metrics("route", "1.2")

    def value(self, name, **labels):
        return _samples(self.metrics)[name, tuple(sorted(labels.items()))]

    def test_everything_counted_is_shown(self):
        metrics = self.metrics
        metrics.messages_in += 3
        metrics.messages_out += 5
        log = LogPublisher()
        counting = CountingErrors(metrics, log)
        counting.startService()
        for level in (LogLevel.critical, LogLevel.debug):
            Logger(observer=log).failure("it failed", Failure(ValueError()), level)
        Logger(observer=log).critical("no exception")
        counting.stopService()
        Logger(observer=log).failure("too late", Failure(ValueError()))
        metrics.sessions = lambda: {"w1": 2, "w2": 7}
        metrics.parts = lambda: {"store": True, "links": False}
        metrics.gauge("links", "Links now.", lambda: 4)
        metrics.login("ok")
        metrics.login("repeat")
        metrics.login("ok")
        metrics.refused("bad-frame")
        metrics.dropped("link", 6)
        metrics.webhook("shop", "sent")
        metrics.webhook("shop", "failed")
        metrics.webhook("shop", "sent")
        metrics.link_batch("out", 3, 100)
        metrics.link_batch("out", 1000, 50)
        metrics.store_call("reserve", 0.002)
        metrics.http_request("POST", "/login", 200, 0.003)
        metrics.http_request("GET", "page", 200)
        metrics.policy("words", "allowed", 0.003)
        metrics.policy("words", "allowed", 0.2)
        metrics.policy("words", "not-asked", None)
        metrics.delivered(0.07)
        for value, name, labels in (
            (3, "cim_messages_total", {"direction": "in"}),
            (5, "cim_messages_total", {"direction": "out"}),
            (2, "cim_internal_errors_total", {}),
            (2, "cim_sessions", {"generation": "w1"}),
            (7, "cim_sessions", {"generation": "w2"}),
            (1, "cim_healthy", {"part": "store"}),
            (0, "cim_healthy", {"part": "links"}),
            (4, "cim_links", {}),
            (2, "cim_logins_total", {"outcome": "ok"}),
            (1, "cim_logins_total", {"outcome": "repeat"}),
            (1, "cim_refused_total", {"kind": "bad-frame"}),
            (6, "cim_dropped_total", {"what": "link"}),
            (2, "cim_webhook_events_total", {"webhook": "shop", "outcome": "sent"}),
            (1, "cim_webhook_events_total", {"webhook": "shop", "outcome": "failed"}),
            (150, "cim_link_bytes_total", {"direction": "out"}),
            (2, "cim_link_batch_items_count", {"direction": "out"}),
            (1003, "cim_link_batch_items_sum", {"direction": "out"}),
            (1, "cim_store_seconds_bucket", {"operation": "reserve", "le": "0.0025"}),
            (0, "cim_store_seconds_bucket", {"operation": "reserve", "le": "0.001"}),
            (1, "cim_store_seconds_count", {"operation": "reserve"}),
            (1, "cim_http_requests_total", {"method": "POST", "path": "/login", "status": "200"}),
            (1, "cim_http_requests_total", {"method": "GET", "path": "page", "status": "200"}),
            (1, "cim_http_seconds_bucket", {"method": "POST", "path": "/login", "le": "0.005"}),
            (0, "cim_http_seconds_bucket", {"method": "POST", "path": "/login", "le": "0.0025"}),
            (2, "cim_policy_answers_total", {"policy": "words", "outcome": "allowed"}),
            (1, "cim_policy_answers_total", {"policy": "words", "outcome": "not-asked"}),
            (1, "cim_policy_seconds_bucket", {"policy": "words", "le": "0.005"}),
            (2, "cim_policy_seconds_count", {"policy": "words"}),
            (1, "cim_delivery_seconds_bucket", {"le": "0.1"}),
            (0.07, "cim_delivery_seconds_sum", {}),
            (1, "cim_build_info", {"daemon": "route", "version": "1.2"}),
        ):
            self.assertEqual(self.value(name, **labels), value, name)

    def test_as_values(self):
        """The same figures as Prometheus gets, but for those of the process."""
        metrics = self.metrics
        metrics.login("ok")
        metrics.store_call("append", 0.004)
        metrics.gauge("broken", "No number.", lambda: float("nan"))
        figures = metrics.figures()
        self.assertEqual(figures["cim_logins_total"], [{"labels": {"outcome": "ok"}, "value": 1}])
        self.assertEqual(figures["cim_store_seconds_count"], [{"labels": {"operation": "append"}, "value": 1.0}])
        self.assertEqual(figures["cim_broken"], [{"labels": {}, "value": None}])
        told = {
            (name, tuple(sorted(one["labels"].items()))): one["value"]
            for name, samples in figures.items()
            for one in samples
        }
        shown = {key: value for key, value in _samples(metrics).items() if key[0].startswith("cim_")}
        self.assertEqual(told.keys(), {key for key in shown if not key[0].endswith("_created")})

    def test_the_process_is_shown(self):
        self.assertGreater(self.value("process_resident_memory_bytes"), 0)

    def test_not_in_the_global_registry(self):
        """Two daemons in one process do not share metrics."""
        other = Metrics("server")
        other.messages_in = 9
        self.assertEqual(self.value("cim_messages_total", direction="in"), 0)
        self.assertNotIn(b"cim_", prometheus_client.generate_latest())

    def test_labels_are_escaped(self):
        self.metrics.refused('a"b\n')
        self.assertEqual(self.value("cim_refused_total", kind='a"b\n'), 1)


class DistributionTests(SynchronousTestCase):
    def test_bounds_are_inclusive_and_counts_cumulative(self):
        distribution = Distribution((1.0, 10.0))
        for value in (0.5, 1.0, 2.0, 11.0):
            distribution.observe(value)
        self.assertEqual(distribution.buckets(), [("1.0", 2.0), ("10.0", 3.0), ("+Inf", 4.0)])
        self.assertEqual(distribution.sum, 14.5)
