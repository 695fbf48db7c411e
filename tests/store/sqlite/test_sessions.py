from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.model import GUEST
from cim.store.sqlite.sessions import LocalSessions
from tests.store.contract import HERE


class LocalSessionsTests(SynchronousTestCase):
    def test_ended_sessions_leave_nothing_behind(self):
        clock = Clock()
        sessions = LocalSessions(clock)
        for user in range(1, 100):
            sessions.reserve(user, HERE, "a", seconds=30)
            sessions.reserve(user, HERE, "b", seconds=30)
            sessions.claim(user, GUEST, HERE, "b")
            sessions.end(user)
            sessions.reserve(user, HERE, "c", seconds=30)
            sessions.hold_lease(HERE, "route-1", 5)
        clock.advance(31)
        sessions.sessions(0)
        sessions.leased(HERE)
        kept = {name: value for name, value in vars(sessions).items() if isinstance(value, dict | list) and value}
        self.assertEqual(kept, {})
        self.assertEqual(len(sessions._ends), 0)

    def test_when_a_session_began_is_a_time_of_day(self):
        """Whatever the clock counts from; and a time of day that is set back ends no reservation later or earlier."""
        clock, time_of_day = Clock(), [1_700_000_000.0]
        sessions = LocalSessions(clock, time_of_day=lambda: time_of_day[0])
        clock.advance(5)
        sessions.reserve(1, HERE, "a", seconds=30)
        (record,) = self.successResultOf(sessions.sessions(1))
        self.assertEqual(record.since, 1_700_000_005_000)
        time_of_day[0] -= 3600
        clock.advance(29.9)
        self.assertEqual(len(self.successResultOf(sessions.sessions(1))), 1)
        clock.advance(0.2)
        self.assertEqual(len(self.successResultOf(sessions.sessions(1))), 0)
