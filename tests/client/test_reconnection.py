"""Tests of the reconnection loop, for any engine."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.backoff import STEADY_SECONDS, Backoff
from cim.client.reconnection import LEAVE_SECONDS, Upkeep, new_reconnection
from cim.client.routes import Busy
from cim.errors import CIMError, Forbidden, Unavailable, Unreachable


class Connection:
    """A connection that ends when told to, unless it is stuck."""

    def __init__(self, case):
        self.case = case
        self.did = []
        self.stuck = False

    def leave(self):
        self.did.append("leave")
        if not self.stuck:
            self.case.ended("left")

    def abort(self, reason):
        self.did.append(("abort", reason))
        self.case.ended(reason)


class SessionTests(SynchronousTestCase):
    """Plays the engine and the Life of the loop."""

    final = Forbidden

    def setUp(self):
        self.clock = Clock()
        self.upkeep = Upkeep(self, self, self.clock, Backoff(lambda: 1.0))
        self.loop = new_reconnection(self.upkeep)
        self.attempts = []
        self.told = []

    async def connect(self):
        """Return a Deferred of the test for each attempt, as an engine."""
        self.attempts.append(Deferred())
        await self.attempts[-1]

    def ended(self, why):
        what = "lost" if self.upkeep.live else "unwelcome"
        self.upkeep.end(self.loop, Unavailable(f"{what}: {why}"))

    def is_final(self, error):
        return isinstance(error, self.final)

    def ready(self, reason):
        self.told.append(reason)

    away = ready

    def waits(self):
        return [call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls()]

    def greeting(self):
        self.loop.start()
        connection = Connection(self)
        self.loop.connected(connection)
        self.attempts[-1].callback(None)
        return connection

    def live(self):
        connection = self.greeting()
        self.loop.welcomed("logged in")
        return connection

    def test_from_start_to_end(self):
        connection = self.live()
        self.assertEqual((self.told, self.upkeep.sessions), (["logged in"], 1))
        self.loop.leave()
        self.successResultOf(self.upkeep.over.when())
        self.assertEqual((connection.did, self.waits(), self.told), (["leave"], [], ["logged in"]))

    def test_temporary_errors_are_retried_after_growing_waits(self):
        self.loop.start()
        for wait in (0.5, 1, 2):
            self.attempts[-1].errback(Unavailable("no route"))
            self.assertEqual(self.waits(), [wait])
            self.assertEqual(self.told.pop(), f"no route; retrying in {wait:.1f} s")
            self.clock.advance(wait)
        self.assertEqual(len(self.attempts), 4)

    def test_it_comes_back_soon_after_a_long_outage(self):
        self.loop.start()
        for wait in (0.5, 1, 2, 3, 3, 3):
            self.attempts[-1].errback(Unreachable())
            self.assertEqual(self.waits(), [wait])
            self.clock.advance(wait)
        self.attempts[-1].errback(Unavailable("the route cannot reach its store"))
        self.assertEqual(self.waits(), [10])

    def test_a_busy_route_is_left_alone_for_as_long_as_it_says(self):
        self.loop.start()
        self.attempts[-1].errback(Busy("later", 7))
        self.assertEqual(self.waits(), [7.5])

    def test_waits_are_short_again_after_a_long_session(self):
        for lasted, wait in ((1, 0.5), (1, 1), (STEADY_SECONDS, 0.5)):
            if self.attempts:
                self.clock.advance(self.waits()[0])
                self.loop.connected(Connection(self))
                self.loop.welcomed("again")
            else:
                self.live()
            self.clock.advance(lasted)
            self.ended("cut")
            self.assertEqual(self.waits(), [wait])
            self.assertIn("lost: cut", self.told[-1])

    def test_a_connection_that_ends_before_it_is_welcomed(self):
        self.greeting()
        self.ended("closed")
        self.assertIn("unwelcome: closed", self.told[-1])
        self.assertEqual((self.upkeep.sessions, self.waits()), (0, [0.5]))

    def test_a_final_error_ends_the_loop(self):
        self.loop.start()
        self.attempts[-1].errback(Forbidden("no"))
        self.failureResultOf(self.upkeep.over.when(), Forbidden)
        self.loop.leave()
        self.assertEqual((self.told, self.waits()), ([], []))

    def test_an_unexpected_error_is_logged_and_ends_the_loop_only_if_the_engine_says_so(self):
        self.live()
        self.ended("the connection was lost")
        self.clock.advance(0.5)
        self.attempts[-1].errback(ZeroDivisionError("bug"))
        self.assertEqual(self.told.pop(), "unexpected error, please report it: bug; retrying in 1.0 s")
        self.clock.advance(1)
        self.final = CIMError
        self.attempts[-1].errback(ZeroDivisionError("bug"))
        error = self.failureResultOf(self.upkeep.over.when(), CIMError).value
        self.assertEqual(error.message, "unexpected error, please report it: bug")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_leaving_before_the_start(self):
        self.loop.leave()
        self.successResultOf(self.upkeep.over.when())

    def test_leaving_while_it_logs_in(self):
        self.loop.start()
        self.loop.leave()
        self.successResultOf(self.upkeep.over.when())
        self.assertTrue(self.attempts[0].called)

    def test_leaving_while_it_waits(self):
        self.loop.start()
        self.attempts[-1].errback(Unavailable())
        self.loop.leave()
        self.successResultOf(self.upkeep.over.when())
        self.assertEqual(self.waits(), [])

    def test_leaving_before_it_is_welcomed(self):
        connection = self.greeting()
        self.loop.leave()
        self.assertEqual(connection.did, ["leave"])
        self.successResultOf(self.upkeep.over.when())

    def test_a_connection_that_does_not_close_is_dropped(self):
        connection = self.live()
        connection.stuck = True
        self.loop.leave()
        self.loop.leave()
        self.clock.advance(LEAVE_SECONDS - 0.1)
        self.assertNoResult(self.upkeep.over.when())
        self.clock.advance(0.1)
        self.assertEqual(connection.did, ["leave", ("abort", "left")])
        self.successResultOf(self.upkeep.over.when())
        self.assertEqual(self.waits(), [])

    def test_a_connection_made_too_late_is_dropped(self):
        self.loop.start()
        self.loop.leave()
        connection = Connection(self)
        self.loop.connected(connection)
        self.assertEqual(connection.did, [("abort", "left")])

    def test_leaving_from_the_report_of_a_loss(self):
        self.away = lambda reason: self.loop.leave()
        self.live()
        self.ended("cut")
        self.successResultOf(self.upkeep.over.when())
        self.assertEqual(self.waits(), [])

    def test_an_attempt_that_is_answered_at_once(self):
        connection = Connection(self)

        async def connect():
            self.loop.connected(connection)
            self.loop.welcomed("at once")

        self.connect = connect
        self.loop.start()
        self.assertEqual((self.told, self.upkeep.connection), (["at once"], connection))
