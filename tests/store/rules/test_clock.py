"""Steady time, by the rule in Python and by that in Lua alike."""

from __future__ import annotations

from random import Random

from lupa.lua51 import LuaRuntime

from twisted.trial.unittest import SynchronousTestCase

from cim.store.redis.clock import CLOCK
from cim.store.rules.clock import BELIEF_MS, STEP_MS, begun, looked

NOW = 1_700_000_000_000
DAY = 86_400_000
SECONDS = 10_000


class SteadyTests(SynchronousTestCase):
    def setUp(self):
        self.clock = NOW
        self.held = begun(NOW, None)

    def goes(self, ms, counted=False):
        """The clock goes on, and somebody looks every ten seconds, or rather less often where it takes long."""
        step = min(STEP_MS, max(SECONDS, ms // 1000))
        while ms > 0:
            self.clock += min(step, ms)
            ms -= step
            self.held = looked(self.held, self.clock)

    def jumps(self, ms, expected=None):
        self.clock += ms
        self.held = looked(self.held, self.clock, expected)

    def test_it_is_the_clock_while_that_goes_on(self):
        self.goes(3 * DAY)
        self.assertEqual((self.held.time, self.held.ahead, self.held.behind), (self.clock, 0, 0))

    def test_small_steps_are_followed_but_never_back(self):
        self.jumps(4000)
        self.assertEqual(self.held.time, NOW + 4000)
        self.jumps(-3000)
        self.assertEqual((self.held.time, self.held.behind), (NOW + 4000, 3000))
        self.goes(10_000)
        self.assertEqual((self.held.time, self.held.behind), (NOW + 14_000, 3000))
        self.jumps(-4000)
        self.goes(3600_000)
        self.assertEqual((self.held.time, self.held.behind, self.held.ahead), (self.clock + 7000, 7000, 0))

    def test_a_jump_ahead_makes_nothing_older(self):
        for jump in (STEP_MS + 1, 3600_000, 40 * DAY, 30_000 * DAY):
            self.setUp()
            self.jumps(jump)
            self.goes(BELIEF_MS - SECONDS)
            self.assertEqual((self.held.time, self.held.ahead), (self.clock - jump, jump))
            self.jumps(-jump)
            self.assertEqual((self.held.time, self.held.ahead, self.held.behind), (self.clock, 0, 0))

    def test_a_jump_back_makes_nothing_older_nor_does_its_end(self):
        for jump in (STEP_MS + 1, 40 * DAY, NOW - 1000):
            self.setUp()
            self.jumps(-jump)
            self.goes(3 * DAY)
            self.assertEqual((self.held.time, self.held.behind), (self.clock + jump, jump))
            self.jumps(jump)
            self.assertEqual((self.held.time, self.held.ahead, self.held.behind), (self.clock, 0, 0))

    def test_a_clock_that_stays_ahead_is_believed_after_two_days_and_not_before(self):
        self.jumps(40 * DAY)
        self.goes(2 * BELIEF_MS - 2 * SECONDS)
        self.assertEqual(self.held.ahead, 40 * DAY)
        self.goes(SECONDS * 400)
        self.assertEqual((self.held.time, self.held.ahead), (self.clock, 0))

    def test_what_runs_by_day_is_believed_though_every_night_is_a_jump(self):
        for _ in range(30):
            self.goes(8 * 3600_000)
            self.jumps(16 * 3600_000)
        self.assertLess(self.held.ahead, 6 * DAY)
        self.assertGreater(self.held.ahead, 2 * DAY)

    def test_a_jump_while_another_is_waited_for_waits_for_itself(self):
        self.jumps(3600_000)
        self.goes(2 * BELIEF_MS - 3600_000)
        self.jumps(40 * DAY)
        self.goes(BELIEF_MS - 3600_000)
        self.assertEqual(self.held.ahead, 40 * DAY)
        self.assertEqual(self.held.time, self.clock - 40 * DAY)

    def test_a_clock_that_is_set_back_takes_back_what_it_went_ahead_by_last(self):
        self.jumps(10 * DAY)
        self.goes(BELIEF_MS + SECONDS * 9)
        self.jumps(40 * DAY)
        self.assertEqual((self.held.aged, self.held.fresh), (10 * DAY, 40 * DAY))
        self.jumps(-39 * DAY)
        self.assertEqual((self.held.aged, self.held.fresh), (10 * DAY, DAY))
        self.jumps(-2 * DAY)
        self.assertEqual((self.held.aged, self.held.fresh), (9 * DAY, 0))

    def test_who_was_there_knows_that_the_time_has_passed(self):
        self.jumps(5 * DAY, expected=NOW + 5 * DAY - 1000)
        self.assertEqual((self.held.time, self.held.ahead), (self.clock, 0))
        before = self.clock
        self.jumps(5 * DAY, expected=before + 1000)
        self.assertEqual(self.held.ahead, 5 * DAY)

    def test_the_first_look_is_bounded_by_what_is_stored(self):
        self.assertEqual(begun(NOW, NOW - 1000).time, NOW)
        self.assertEqual(
            (begun(NOW, NOW - 40 * DAY).time, begun(NOW, NOW - 40 * DAY).ahead), (NOW - 40 * DAY, 40 * DAY)
        )
        self.assertEqual(begun(NOW, NOW + 40 * DAY).time, NOW)


class LuaTests(SynchronousTestCase):
    """The script of Redis, with a Redis of three commands."""

    def setUp(self):
        self.record = {}
        self.clock = NOW
        lua = LuaRuntime(encoding="utf-8")
        table = lua.table_from

        def call(command, *words):
            if command == "TIME":
                return table([str(self.clock // 1000), str(self.clock % 1000 * 1000)])
            if command == "HMGET":
                return table([self.record.get(word, False) for word in words[1:]])
            assert command == "HSET"
            self.record.update(zip(words[1::2], words[2::2], strict=True))
            return 1

        lua.globals().redis = table({"call": call, "pcall": call})
        lua.globals().KEYS = table(["clock"])
        self.run_it = lua.eval("function(text, arg) ARGV = {arg}; return loadstring(text)() end")

    def look(self, expected=""):
        return tuple(int(word) for word in self.run_it(CLOCK.text, str(expected)).values())

    def same(self, held):
        self.assertEqual(tuple(int(self.record[name]) for name in ("time", "clock", "fresh", "aged", "since")), held)

    def test_both_rules_are_the_same(self):
        random = Random(5)
        held = begun(NOW, None)
        self.assertEqual(self.look(), (held.time, held.clock, held.fresh, held.aged, held.since))
        for _ in range(3000):
            before = self.clock
            kind = random.randrange(12)
            if kind < 9:
                self.clock += random.randrange(STEP_MS)
            else:
                self.clock = max(
                    1, self.clock + random.choice((-1, 1)) * random.randrange(10 ** random.randrange(1, 11))
                )
            expected = random.choice((None, None, self.clock, before))
            held = looked(held, self.clock, expected)
            found = self.look("" if expected is None else expected)
            self.assertEqual(found, (held.time, held.clock, held.fresh, held.aged, held.since))
            self.same(found)
