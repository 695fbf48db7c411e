"""Tests of the history in memory; tests.integration.test_history tests the one on disk."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.client.history import MemoryHistory
from cim.errors import HistoryUnavailable
from tests.client.history_contract import TALK, HistoryContract, said


class MemoryHistoryTests(HistoryContract, SynchronousTestCase):
    def setUp(self):
        self.renew()

    def renew(self):
        self.history = MemoryHistory()
        self.await_(self.history.open())
        self.addCleanup(self.history.close)

    def await_(self, deferred):
        return self.successResultOf(deferred)

    def await_failure(self, deferred, error):
        return self.failureResultOf(deferred, error)

    def test_it_only_keeps_the_last_messages(self):
        self.history = MemoryHistory(kept=100)
        self.await_(self.history.open())
        self.addCleanup(self.history.close)
        for n in range(1, 351):
            self.add(said(f"word {n}", n))
        texts = self.texts(limit=1000)
        self.assertEqual(texts[-100:], [f"word {n}" for n in range(251, 351)])
        self.assertLessEqual(len(texts), 201)
        self.assertEqual(self.found("word 2", limit=1000), [t for t in reversed(texts) if "word 2" in t])

    def test_closed(self):
        self.await_(self.history.close())
        self.await_failure(self.history.page(TALK), HistoryUnavailable)
        self.await_(self.history.close())
