"""Tests of the connection while there is no Redis; tests/integration/test_store_outages.py tests its recovery."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from itertools import pairwise

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.redis.connection import RedisConnection
from cim.store.redis.patience import PATIENCE
from cim.store.redis.reconnecting import MAX_DELAY, retry_delay


class NobodyThere:
    def __init__(self, clock):
        self.clock = clock
        self.attempts = []

    def connect(self, factory):
        self.attempts.append(self.clock.seconds())
        return fail(ConnectionRefusedError())


class NoDescriptors(NobodyThere):
    """Raises instead of failing, as what comes before the socket may."""

    def connect(self, factory):
        self.attempts.append(self.clock.seconds())
        raise OSError(errno.EMFILE, "Too many open files")


class NeverAnswers:
    def __init__(self):
        self.cancelled = 0

    def connect(self, factory):
        return Deferred(self.cancel)

    def cancel(self, deferred):
        self.cancelled += 1
        deferred.errback(ConnectionRefusedError())  # like endpoints, which do not fail with CancelledError


class RetryDelayTests(SynchronousTestCase):
    def test_grows_to_a_bound(self):
        delays = [retry_delay(failures, lambda: 1.0) for failures in range(1, 1000)]
        self.assertEqual(sorted(delays), delays)
        self.assertTrue(0 < delays[0] < 0.5)
        self.assertEqual(delays[-1], MAX_DELAY)

    def test_is_jittered(self):
        self.assertNotEqual(retry_delay(3, lambda: 0.1), retry_delay(3, lambda: 0.9))
        self.assertTrue(retry_delay(1, lambda: 0.0) > 0)


class AwayTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.endpoint = NobodyThere(self.clock)
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.connection = self.make()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.stop)

    def make(self):
        return RedisConnection(
            self.clock, self.endpoint, "redis:6379", random=lambda: 1.0, time_of_day=self.clock.seconds
        )

    def stop(self):
        self.successResultOf(self.connection.stop())

    def warnings(self):
        return [event for event in self.logged if event["log_level"] is LogLevel.warn]

    def test_it_retries_forever_and_logs_once(self):
        self.connection.start()
        self.clock.pump([0.1] * 36_000)
        pauses = [after - before for before, after in pairwise(self.endpoint.attempts)]
        self.assertTrue(max(pauses) <= MAX_DELAY + 0.2)
        self.assertTrue(self.endpoint.attempts[-1] > 3590)
        self.assertEqual(len(self.warnings()), 1)
        self.assertIn("redis:6379", self.connection.health())
        self.assertIn("refused", self.connection.health())

    def test_it_retries_when_there_are_no_descriptors(self):
        self.endpoint = NoDescriptors(self.clock)
        self.connection = self.make()
        self.connection.start()
        self.clock.pump([0.1] * 100)
        self.assertGreater(len(self.endpoint.attempts), 5)
        self.assertIn("Too many open files", self.connection.health())

    def test_nothing_that_goes_wrong_ends_it(self):
        self.connection._lost = lambda reason: 1 / 0
        self.connection.start()
        self.clock.pump([0.1] * 200)
        self.assertGreater(len(self.endpoint.attempts), 5)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_calls_wait_a_little_and_then_fail(self):
        self.connection.start()
        early = self.connection.command("get", "GET", "x")
        self.assertNoResult(early)
        self.clock.pump([0.1] * int(PATIENCE * 10 + 1))
        self.failureResultOf(early, StoreUnavailable)

    def test_calls_fail_at_once_when_it_has_been_away_for_long(self):
        self.connection.start()
        self.clock.pump([0.1] * 100)
        self.failureResultOf(self.connection.command("get", "GET", "x"), StoreUnavailable)

    def test_calls_that_fail_are_observed(self):
        seen = []
        self.connection.observe(lambda name, seconds: seen.append((name, round(seconds, 3))))
        self.connection.start()
        call = self.connection.command("get", "GET", "x")
        self.clock.advance(PATIENCE)
        self.failureResultOf(call, StoreUnavailable)
        self.assertEqual(seen, [("get", PATIENCE)])

    def test_a_cancelled_call_does_no_harm(self):
        self.connection.start()
        call = self.connection.command("get", "GET", "x")
        call.addErrback(lambda failure: None)
        call.cancel()
        self.clock.pump([0.1] * 50)

    def test_waiting_calls_fail_when_it_is_stopped(self):
        self.connection.start()
        call = self.connection.command("get", "GET", "x")
        self.stop()
        self.failureResultOf(call, StoreUnavailable)
        self.failureResultOf(self.connection.command("get", "GET", "x"), StoreUnavailable)

    def test_stopping_ends_an_attempt(self):
        self.endpoint = NeverAnswers()
        self.connection = self.make()
        self.connection.start()
        self.stop()
        self.assertEqual(self.endpoint.cancelled, 1)
        self.assertEqual(self.warnings(), [])


class ImportTests(SynchronousTestCase):
    def test_no_module_of_the_store_imports_the_reactor(self):
        program = (
            "import importlib, pkgutil, sys, cim.store\n"
            "for module in pkgutil.iter_modules(cim.store.__path__):\n"
            "    importlib.import_module(f'cim.store.{module.name}')\n"
            "sys.exit('twisted.internet.reactor' in sys.modules or 'txredisapi' in sys.modules)"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.assertEqual(subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode, 0)
