"""Tests of what a store does about its space, on a Clock."""

from __future__ import annotations

import os

from attrs import define

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.space import ENOUGH, LOOK_SECONDS, Space, Usage, disk_usage


@define
class Found:
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_frsize: int = 4096


class SpaceTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.answers = []
        self.usage = succeed(Usage(10, 100))
        self.logged = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def space(self, **options):
        space = Space(self.clock, "the cellar", lambda: self.usage, **options)
        space.startService()
        self.addCleanup(space.stopService)
        return space

    def look(self, used, size=100):
        self.usage = succeed(Usage(used, size))
        self.clock.advance(LOOK_SECONDS)

    def lines(self):
        lines = [
            (event["log_level"].name, formatEvent(event)) for event in self.logged if "cellar" in formatEvent(event)
        ]
        self.logged.clear()
        return lines

    def test_it_is_full_from_nine_tenths_on_until_there_is_space_again(self):
        space = self.space()
        self.assertEqual((space.full(), space.part(), space.facts()), (False, 0.1, {}))
        self.look(89)
        self.assertFalse(space.full())
        self.assertEqual(self.lines(), [])
        self.look(90)
        self.assertTrue(space.full())
        fact = "the cellar is 90% full: no messages are taken until there is space"
        self.assertEqual(space.facts(), {"space": fact})
        self.look(95)
        self.assertEqual(self.lines(), [("warn", fact)])
        self.look(80)
        self.assertEqual((space.full(), space.facts()), (False, {}))
        self.assertEqual(self.lines(), [("info", "the cellar has space again: messages are taken")])

    def test_without_a_bound_it_is_never_full(self):
        space = self.space()
        self.look(95, 0)
        self.assertEqual((space.full(), space.part()), (False, 0.0))

    def test_what_nobody_tells_is_not_known(self):
        space = self.space()
        self.look(95)
        self.usage = fail(StoreUnavailable())
        self.clock.advance(LOOK_SECONDS)
        self.assertTrue(space.full())
        self.usage = succeed(None)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((space.full(), space.part()), (False, 0.0))

    def test_one_look_at_a_time(self):
        space = self.space()
        slow = self.usage = Deferred()
        self.clock.advance(LOOK_SECONDS)
        self.clock.advance(5 * LOOK_SECONDS)
        self.assertEqual(space.part(), 0.1)
        self.usage = succeed(Usage(30, 100))
        slow.callback(Usage(20, 100))
        self.assertEqual(space.part(), 0.2)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(space.part(), 0.3)

    def test_nothing_is_looked_at_after_the_end(self):
        space = Space(self.clock, "the cellar", lambda: self.usage)
        space.startService()
        space.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_large_disk_is_not_full_while_enough_is_left(self):
        space = self.space(enough=ENOUGH)
        self.look(99 * ENOUGH, 100 * ENOUGH)
        self.assertFalse(space.full())
        self.look(100 * ENOUGH - ENOUGH // 2, 100 * ENOUGH)
        self.assertTrue(space.full())
        self.look(80, 100)
        self.assertFalse(space.full())
        self.look(90, 100)
        self.assertTrue(space.full())


class DiskTests(SynchronousTestCase):
    def test_what_is_reserved_for_root_is_not_there(self):
        asked = []

        def statvfs(path):
            asked.append(path)
            return Found(f_blocks=1000, f_bfree=150, f_bavail=100)

        self.assertEqual(disk_usage("/var/lib/cim/cim.db", statvfs), Usage(850 * 4096, 950 * 4096))
        self.assertEqual(asked, ["/var/lib/cim"])

    def test_a_real_one(self):
        usage = disk_usage(os.path.join(os.getcwd(), "cim.db"))
        self.assertTrue(0 < usage.used <= usage.size)
        self.assertTrue(0 < usage.part <= 1)
