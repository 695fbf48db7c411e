"""Upstream's choice of server by consistent hash: the same user meets the same server (docs/upstream.md, ZooKeeper)."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from cim.model import Candidate
from cim.selection import ConsistentHash, ring_hash

A, B, C = "127.0.0.1:11211:8081", "127.0.0.1:11212:8082", "127.0.0.1:11213:8083"


class RingTests(SynchronousTestCase):
    def pick(self, user, *servers):
        return ConsistentHash().select([Candidate(server) for server in servers or (A, B, C)], user).server

    def test_hashes(self):
        for text, expected in (
            ("a", 3111502092),
            ("zhangsan", 133486337),
            ("1545574049323", 1987274477),
            (A, 2114134875),
        ):
            self.assertEqual(ring_hash(text), expected)

    def test_users(self):
        for user, server in (
            (1, B),
            (2, C),
            (3, C),
            (100, C),
            (1545574049323, A),
            (1547028929407, B),
            (1722343979085, B),
            (1747309836375, B),
        ):
            self.assertEqual(self.pick(user), server)
            self.assertEqual(self.pick(user, C, A, B), server, "the order of the list must not matter")

    def test_users_beyond_the_last_point_meet_the_first(self):
        # hash("a") lies below the last point, 3473667306; such a user is looked for above it.
        user = next(user for user in range(1, 1000) if ring_hash(str(user)) > 3473667306)
        self.assertEqual(self.pick(user), B)

    def test_one_picker_follows_the_list(self):
        picker = ConsistentHash()
        three, two = ([Candidate(server) for server in servers] for servers in ((A, B, C), (A, B)))
        picks = [picker.select(candidates, 2).server for candidates in (three, two, three)]
        self.assertEqual(picks, [C, self.pick(2, A, B), C])
        self.assertNotEqual(picks[1], C)

    def test_the_shares_of_many_users(self):
        counts = Counter(self.pick(user) for user in (1, 2, 3, 100))
        self.assertEqual(counts, {B: 1, C: 3})
