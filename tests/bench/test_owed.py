"""How far a run is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.owed import Owed


class OwedTests(SynchronousTestCase):
    def test_owed_until_everyone_had_it(self):
        owed = Owed({"g:7": [1, 2, -2]})
        key = (1, "g:7", 0)
        owed.due(key)
        for member in (1, -2):
            owed.had(member, key)
            self.assertEqual(len(owed), 1)
        owed.had(2, key)
        self.assertEqual(len(owed), 0)
        # Told again, it is not owed again.
        owed.due(key)
        owed.had(1, key)
        self.assertEqual(len(owed), 0)

    def test_what_anybody_had_is_owed_to_the_others(self):
        owed = Owed({"g:7": [1, 2]})
        owed.had(2, (1, "g:7", 5))
        self.assertEqual(len(owed), 1)

    def test_nothing_is_owed_to_nobody(self):
        owed = Owed({})
        owed.due((1, "p:1:2", 0))
        self.assertEqual(len(owed), 0)
