"""Tests of what is copied after which change; tests/long/test_redis_cluster.py has the copies themselves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis.cluster.copies import noted
from cim.store.redis.keys import Key

GROUP, MEMBERS, BLOCKED, MINE = Key.GROUP.of("g:7"), Key.MEMBERS.of("g:7"), Key.BLOCKED.of(5), Key.GROUPS_OF.of(5)
KEYS = [GROUP, MEMBERS, BLOCKED, Key.MUTED, MINE, Key.CREDENTIAL.of(5)]


class NotedTests(SynchronousTestCase):
    def noted(self, *commands):
        words = [word for command in commands for word in (len(command), *command)]
        return noted(KEYS, words)

    def test_fields_of_a_group_that_appends_look_at(self):
        self.assertEqual(
            self.noted(
                ("HSET", 1, "name", "friends", "mute", 0),
                ("HDEL", 1, "mute"),
                ("HINCRBY", 1, "owners", 1),
                ("HSET", 1, "ended", 1),
                ("@HELD", 1, 7, "m:", 9, "0"),
                ("@HELD", 1, 7, "b:", 9, "1 2"),
                ("@LOG", 1, 2, 2, 7, 9, 1),
            ),
            ["g 7 mute", "g 7 ended", "g 7 m:9", "g 7 version"],
        )

    def test_members(self):
        self.assertEqual(
            self.noted(("@JOIN", 2, 5, 0, 5, 7, 4, 1, 1), ("HDEL", 2, 6), ("@ROLE", 2, 5, 1, 5, 7), ("HDEL", 5, 7)),
            ["u 7 5", "u 7 6"],
        )

    def test_a_group_that_is_gone(self):
        self.assertEqual(self.noted(("HDEL", 2, 5), ("UNLINK", 1)), ["u 7 5", "x 7"])

    def test_blocks_and_mutes(self):
        self.assertEqual(
            self.noted(("HSET", 3, 6, 1), ("HDEL", 3, 8), ("HSET", 4, 9, "0 1 "), ("HDEL", 4, 1, 2)),
            ["b 5 6", "b 5 8", "m 9", "m 1", "m 2"],
        )

    def test_nothing_else(self):
        self.assertEqual(self.noted(("HSET", 6, "password", "x"), ("UNLINK", 3), ("HSET", 5, 7, "0 ")), [])
