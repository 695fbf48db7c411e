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
