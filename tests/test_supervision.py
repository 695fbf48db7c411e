"""Tests for `cim.supervision`: no exception ends a loop, and a stop does."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from cim.supervision import FIRST_RETRY, MAX_RETRY, Loop


class LoopTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.taken = []
        self.outcomes = []

    def step(self):
        self.taken.append(self.clock.seconds())
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def loop(self, **options):
        return Loop("the test", self.step, self.clock, **options)

    def test_rests_until_it_is_woken(self):
        loop = self.loop()
        self.clock.advance(10)
        self.assertEqual(self.taken, [])
        loop.wake(2)
        loop.wake(3)
        self.assertEqual(loop.due, 12)
        loop.wake(1)
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.taken, [11])
        self.assertIsNone(loop.due)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_step_says_when_it_is_taken_again(self):
        self.outcomes = [0.5, 2, None]
        self.loop().wake()
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.taken, [0.5, 1.0, 3.0])

    def test_periodic(self):
        self.loop(every=2.0).start(1.0)
        self.clock.pump([1.0] * 6)
        self.assertEqual(self.taken, [1, 3, 5])

    def test_periodic_steps_that_are_late_do_not_make_others_late(self):
        self.loop(every=1.0).start(1.0)
        self.clock.pump([1.25, 0.75, 0.5, 0.5, 3.25, 0.75])
        self.assertEqual(self.taken, [1.25, 2, 3, 6.25, 7])

    def test_plan_replaces_what_was_planned(self):
        loop = self.loop()
        loop.wake(1)
        loop.plan(3)
        self.clock.pump([1.0] * 2)
        self.assertEqual(self.taken, [])
        self.clock.advance(1)
        self.assertEqual(self.taken, [3])
        loop.wake(1)
        loop.plan(None)
        self.clock.advance(5)
        self.assertEqual(self.taken, [3])

    def test_failure_does_not_end_it(self):
        self.outcomes = [OSError("no descriptors"), OSError("no descriptors"), 1.0, None]
        with capturedLogs() as events:
            self.loop().wake()
            self.clock.pump([0.125] * 20)
        self.assertEqual(len(self.taken), 4)
        self.assertAlmostEqual(self.taken[1] - self.taken[0], FIRST_RETRY)
        self.assertAlmostEqual(self.taken[2] - self.taken[1], 2 * FIRST_RETRY)
        self.assertAlmostEqual(self.taken[3] - self.taken[2], 1.0)
        failures = [event for event in events if "log_failure" in event]
        # Each is counted; the traceback is logged once, and that it works again.
        self.assertEqual([event["log_level"] for event in failures], [LogLevel.critical, LogLevel.debug])
        self.assertEqual([event["what"] for event in events], ["the test"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_failures_come_ever_more_slowly_up_to_a_bound(self):
        self.outcomes = [ValueError()] * 50
        self.loop(random=lambda: 1.0).wake()
        self.clock.pump([0.125] * 1000)
        gaps = [later - earlier for earlier, later in zip(self.taken, self.taken[1:], strict=False)]
        self.assertEqual(gaps[:7], [0.25, 0.5, 1, 2, 4, MAX_RETRY, MAX_RETRY])
        self.assertEqual(max(gaps), MAX_RETRY)
        self.flushLoggedErrors(ValueError)

    def test_retries_are_spread(self):
        self.outcomes = [ValueError()]
        loop = self.loop(random=lambda: 0.0)
        loop.wake()
        self.clock.advance(0)
        self.assertEqual(loop.due, FIRST_RETRY / 2)
        self.flushLoggedErrors(ValueError)

    def test_nothing_makes_a_retry_come_sooner(self):
        self.outcomes = [ValueError()]
        loop = self.loop()
        loop.wake()
        self.clock.advance(0)
        loop.wake()
        loop.plan(0)
        self.assertEqual(loop.due, FIRST_RETRY)
        self.flushLoggedErrors(ValueError)

    def test_failing_periodic_step_is_not_taken_more_often(self):
        self.outcomes = [ValueError()]
        self.loop(every=1.0).start()
        self.clock.pump([0, 0.5, 0.5])
        self.assertEqual(self.taken, [0, 1])
        self.flushLoggedErrors(ValueError)

    def test_another_kind_of_failure_is_logged_too(self):
        self.outcomes = [ValueError(), KeyError(), ValueError()]
        with capturedLogs() as events:
            self.loop().wake()
            self.clock.pump([0.125] * 30)
        levels = [event["log_level"] for event in events if "log_failure" in event]
        self.assertEqual(levels, [LogLevel.critical, LogLevel.critical, LogLevel.debug])
        self.flushLoggedErrors(ValueError, KeyError)

    def test_stopped(self):
        loop = self.loop(every=1.0)
        loop.start()
        self.assertEqual(self.taken, [0])
        self.successResultOf(loop.stop())
        loop.wake()
        loop.plan(0)
        self.clock.advance(5)
        self.assertEqual(self.taken, [0])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        loop.start(1.0)
        self.clock.advance(1)
        self.assertEqual(self.taken, [0, 6])

    def test_what_a_step_asks_for_is_due(self):
        def step():
            self.taken.append(loop.due)
            loop.wake(2.0)
            self.taken.append(loop.due)

        loop = Loop("the test", step, self.clock)
        loop.start()
        self.assertEqual((self.taken, loop.due), ([None, 2.0], 2.0))

    def test_step_that_stops_it(self):
        def step():
            loop.stop()
            return 1.0

        loop = Loop("the test", step, self.clock)
        loop.wake()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_a_step_asks_for_when_it_stops_it_is_forgotten(self):
        def step():
            self.taken.append(self.clock.seconds())
            loop.wake(1.0)
            loop.stop()
            loop.wake(1.0)
            loop.plan(1.0)
            self.assertIsNone(loop.due)
            if len(self.taken) == 1:
                loop.start(3.0)

        loop = Loop("the test", step, self.clock)
        loop.start()
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.taken, [0, 3])

    def test_step_that_stops_and_starts_it(self):
        def step():
            self.taken.append(self.clock.seconds())
            loop.stop()
            loop.start(2.0)

        loop = Loop("the test", step, self.clock)
        loop.wake()
        self.clock.pump([0, 2.0])
        self.assertEqual(self.taken, [0, 2])


class CoroutineLoopTests(SynchronousTestCase):
    """Steps that take their time."""

    def setUp(self):
        self.clock = Clock()
        self.begun = []
        self.loop = Loop("the test", self.step, self.clock)

    async def step(self):
        self.begun.append(Deferred())
        return await self.begun[-1]

    def test_one_step_at_a_time(self):
        self.loop.wake()
        self.clock.advance(0)
        self.loop.wake(1)
        self.loop.wake(3)
        self.clock.advance(5)
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback(None)
        self.clock.advance(1)
        self.assertEqual(len(self.begun), 2)
        self.begun[1].callback(2.0)
        self.clock.advance(2)
        self.assertEqual(len(self.begun), 3)

    def test_failure_does_not_end_it(self):
        self.loop.wake()
        self.clock.advance(0)
        self.begun[0].errback(OSError())
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.begun), 2)
        self.flushLoggedErrors(OSError)

    def test_cancellation_by_another_does_not_end_it(self):
        self.loop.wake()
        self.clock.advance(0)
        self.begun[0].cancel()
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.begun), 2)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_stop_waits_for_the_step_under_way(self):
        self.loop.wake()
        self.clock.advance(0)
        stopped = self.loop.stop()
        self.assertNoResult(stopped)
        self.begun[0].callback(1.0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_the_step_first_waits(self):
        async def step():
            stopped.append(loop.stop())
            await waited

        stopped, waited = [], Deferred()
        loop = Loop("the test", step, self.clock)
        loop.start()
        self.assertNoResult(stopped[0])
        waited.callback(None)
        self.successResultOf(stopped[0])

    def test_cancelled(self):
        self.loop.wake()
        self.clock.advance(0)
        self.successResultOf(self.loop.cancel())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
