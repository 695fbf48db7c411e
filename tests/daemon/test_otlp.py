"""Giving spans to a collector: what happens when it is slow, refuses, or hangs; and the options."""

from __future__ import annotations

import logging
import queue
import sys
from threading import Event
from unittest.mock import patch

from opentelemetry.sdk.trace.export import SpanExportResult

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon import otlp
from cim.daemon.lifecycle import OrderedService
from cim.daemon.metrics import Metrics
from cim.daemon.otlp import BATCH, LAST_SECONDS, MISSING, QUEUE, Tracing, collector, traced_by
from cim.daemon.tracing import Tracer
from cim.server.tap import Options

#: How long a test waits for another thread before it fails, seconds.
PATIENCE = 30.0


class Reactor(Clock):
    """A clock whose other threads say things that the test takes when it likes."""

    def __init__(self):
        super().__init__()
        self._said = queue.Queue()

    def callFromThread(self, call, *arguments):
        self._said.put((call, arguments))

    def hear(self):
        """Wait for what another thread says next, and do it."""
        call, arguments = self._said.get(timeout=PATIENCE)
        call(*arguments)
        return call.__name__


class Exporter:
    """An exporter that waits, in its thread, until the test lets it go on."""

    def __init__(self):
        self.result = SpanExportResult.SUCCESS
        self.begun, self.go = Event(), Event()
        self.exported = 0
        self.ended = Event()

    def export(self, spans):
        self.begun.set()
        assert self.go.wait(PATIENCE)
        self.exported += len(spans)
        if self.result is SpanExportResult.FAILURE:
            logging.getLogger("opentelemetry.exporter").warning("connection refused")
            logging.getLogger("opentelemetry.exporter").error("too many attempts")
        return self.result

    def shutdown(self):
        self.ended.set()
        self.go.set()


class TracingTests(SynchronousTestCase):
    def setUp(self):
        self.patch(otlp, "DELAY", 0.001)
        self.reactor, self.metrics, self.exporter = Reactor(), Metrics("test"), Exporter()
        self.addCleanup(self.exporter.go.set)
        self.tracer = Tracer(
            1.0, random=lambda: 0.0, seconds=self.reactor.seconds, dropped=self.metrics.dropped, store="redis"
        )
        self.tracing = Tracing(
            self.tracer, "http://c/", self.reactor, self.metrics, "cim-route", "a:1:2", lambda url: self.exporter
        )
        self.tracing.startService()

    def spans(self, count=1):
        for _ in range(count):
            self.tracer.send("p:1:2").end()

    def dropped(self):
        return self.metrics._dropped["spans"]

    def test_a_collector_that_hangs_costs_what_is_beyond_the_queue(self):
        self.spans(BATCH)
        self.assertTrue(self.exporter.begun.wait(PATIENCE))
        self.spans(QUEUE - BATCH)
        self.assertEqual(self.dropped(), 0)
        self.spans(7)
        self.assertEqual(self.dropped(), 7)
        stopped = self.tracing.stopService()
        self.exporter.go.set()
        self.assertEqual(self.reactor.hear(), "callback")
        self.successResultOf(stopped)
        self.assertEqual((self.exporter.exported, self.dropped()), (QUEUE, 7))

    def test_what_a_collector_refuses_is_counted_and_said_once(self):
        said = []
        self.patch(Tracing, "_log", Logger(observer=said.append))
        self.exporter.go.set()
        for result, count in ((SpanExportResult.FAILURE, 2), (SpanExportResult.SUCCESS, 1)):
            self.exporter.result = result
            for _ in range(count):
                self.spans()
                if result is SpanExportResult.FAILURE:
                    self.assertEqual(self.reactor.hear(), "_failed")
        self.assertEqual(self.reactor.hear(), "_recovered")
        self.assertEqual(self.dropped(), 2)
        self.assertEqual(len(said), 2)
        self.assertIn("takes no traces", said[0]["log_format"])
        self.assertEqual(said[0]["why"], "connection refused")
        self.assertIn("takes traces again", said[1]["log_format"])

    def test_a_daemon_that_stops_does_not_wait_for_a_collector_that_hangs(self):
        self.spans()
        self.assertTrue(self.exporter.begun.wait(PATIENCE))
        stopped = self.tracing.stopService()
        self.assertNoResult(stopped)
        self.reactor.advance(LAST_SECONDS)
        self.successResultOf(stopped)
        self.assertTrue(self.exporter.ended.is_set())

    def test_nothing_is_traced_after_the_end(self):
        self.exporter.go.set()
        stopped = self.tracing.stopService()
        self.assertIsNone(self.tracer.send("p:1:2"))
        self.reactor.hear()
        self.successResultOf(stopped)


class OptionsTests(SynchronousTestCase):
    def options(self, *arguments):
        options = Options(environ={})
        options.parseOptions(arguments)
        return options

    def traced(self, *arguments):
        return traced_by(OrderedService(Clock()), self.options(*arguments), Clock(), Metrics("test"), "a:1:2")

    def test_without_the_option_there_is_no_tracer(self):
        self.assertIsNone(self.traced())

    def test_with_the_option(self):
        tracer = self.traced("--trace", "http://127.0.0.1:4318", "--trace-ratio", "0.5")
        self.assertEqual(tracer._ratio, 0.5)

    def test_without_the_extra_it_says_what_to_install(self):
        for module in ("opentelemetry", "opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"):
            with patch.dict(sys.modules, {module: None}):
                error = self.assertRaises(UsageError, self.traced, "--trace", "http://127.0.0.1:4318")
                self.assertEqual(str(error), MISSING)
                self.assertIsNone(self.traced())

    def test_urls(self):
        for text, url in (
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/", "https://collector.example/v1/traces"),
            ("http://[::1]:4318/own/path", "http://[::1]:4318/own/path"),
        ):
            self.assertEqual(collector(text), url)

    def test_what_is_no_url_of_a_collector(self):
        for text in (
            "",
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "http://:4318",
            "http://host:0",
            "http://host:port",
            "http://user:password@host",
            "http://host/?key=secret",
            "http://host/#x",
            "http://ho st/",
            "http://höst/",
            "http://[::1/",
        ):
            self.assertIn("must be the URL", str(self.assertRaises(ValueError, collector, text)), text)

    def test_ratios(self):
        for text in ("0", "1", "0.25", "1.0"):
            self.assertEqual(self.options("--trace-ratio", text)["trace-ratio"], float(text))
        for text in ("", "2", "-1", "1.1", "1e-3", "nan", ".5", "0.1 "):
            self.assertRaises(UsageError, self.options, "--trace-ratio", text)
