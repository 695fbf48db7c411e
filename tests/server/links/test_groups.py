"""Tests of which session is in which group, as versions of the log come and when the store goes back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.server.links import groups
from cim.server.links.groups import PATIENCE_SECONDS, GroupIndex
from cim.server.sessions.table import KnownGroups, Session, Sessions
from cim.wire.link_pb2 import GroupChange
from cim.wire.positions import ZERO

ALICE, BOB = 1001, 1002
BEFORE, AFTER = 100, 200


class IndexCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.sessions = Sessions(self.clock)
        self.index = GroupIndex(self.sessions, self.clock)
        self.outdated, self.begun = [], []
        self.index.on_outdated.append(lambda sessions: self.outdated.append({session.user for session in sessions}))
        self.index.on_epoch.append(lambda: self.begun.append(self.index.epoch))
        self.index.on_missing.append(lambda: None)
        self.alice, self.bob = self.session(ALICE), self.session(BOB)

    def session(self, user):
        session = Session(None)
        self.sessions.reserve(user, "someone", "owner", 30, device="phone", native=True)
        self.sessions.claim_ticket(session, user, "owner", "phone")
        return session

    def join(self, session, groups, version, epoch):
        return self.index.join(session, KnownGroups(version, dict.fromkeys(groups, ZERO), epoch))

    def change(self, version, epoch=0, *, previous=0, user=ALICE, group=9, added=True):
        told = GroupChange(version=version, group=group, user=user, added=added, epoch=epoch, previous=previous)
        self.index.changed(told)

    def in_group(self, group=9):
        return {session.user for session in self.index.of(group)}


class VersionTests(IndexCase):
    """Versions in Redis are times, and far apart."""

    def setUp(self):
        super().setUp()
        self.asked = []
        self.index.on_missing.append(lambda: self.asked.append(self.index.version))
        self.join(self.alice, [], 1000, 0)

    def test_changes_far_apart_miss_nothing(self):
        self.change(5000, previous=1000)
        self.change(9000, previous=5000, added=False)
        self.assertEqual((self.index.version, self.in_group()), (9000, set()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_is_missing_is_asked_for(self):
        self.change(9000, previous=5000, added=False)
        self.assertEqual((self.index.version, self.asked), (1000, []))
        self.clock.advance(PATIENCE_SECONDS)
        self.assertEqual(self.asked, [1000])
        self.change(5000, previous=1000)
        self.change(9000, previous=5000, added=False)
        self.assertEqual((self.index.version, self.in_group()), (9000, set()))
        self.assertEqual((self.clock.getDelayedCalls(), self.outdated), ([], []))

    def test_sessions_that_cannot_be_read_again_do_not_make_it_wait_for_ever(self):
        self.index.on_outdated.append(lambda sessions: 1 / 0)
        self.change(9000, previous=5000)
        self.clock.pump([PATIENCE_SECONDS] * 9)
        self.assertEqual((self.index.version, self.asked, self.outdated), (9000, [1000], [{ALICE}]))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_changes_that_come_before_the_first_one(self):
        for version in (5000, 9000, 7000, 8000):
            self.change(version, previous={5000: 4000, 7000: 5000, 8000: 7000, 9000: 8000}[version])
        self.assertEqual(self.index.version, 1000)
        self.change(4000, previous=1000)
        self.assertEqual((self.index.version, self.clock.getDelayedCalls()), (9000, []))

    def test_the_newest_counts_whichever_came_first(self):
        self.change(9000, previous=5000, added=False)
        self.change(5000, previous=3000)
        self.assertEqual(self.in_group(), set())
        self.change(3000, previous=1000)
        self.assertEqual((self.index.version, self.in_group()), (9000, set()))
        self.change(9500, previous=9000)
        self.assertEqual(self.in_group(), {ALICE})

    def test_a_session_that_was_read_before_some_changes(self):
        self.patch(groups, "KEPT_CHANGES", 3)
        self.change(2000, previous=1000, user=BOB, group=7)
        for version in (3000, 4000, 5000):
            self.change(version, previous=version - 1000, user=BOB if version == 4000 else 77)
        self.assertFalse(self.join(self.bob, [], 1000, 0), "a change that counts for it is forgotten")
        self.assertTrue(self.join(self.bob, [7], 2000, 0))
        self.assertEqual((self.in_group(7), self.in_group(9)), ({BOB}, {BOB}))

    def test_the_first_of_a_log(self):
        self.index.leave(self.alice)
        self.index = GroupIndex(self.sessions, self.clock)
        self.join(self.alice, [], 0, 0)
        self.change(5000)
        self.change(9000, previous=5000)
        self.assertEqual((self.index.version, self.in_group()), (9000, {ALICE}))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EpochTests(IndexCase):
    def test_the_first_epoch_changes_nothing(self):
        self.assertTrue(self.join(self.alice, [9], 5, 0))
        self.assertTrue(self.index.is_current(BEFORE))
        self.assertEqual((self.outdated, self.begun, self.index.version), ([], [], 5))

    def test_after_a_new_one_lower_versions_count(self):
        self.join(self.alice, [9], 500, BEFORE)
        self.join(self.bob, [9], 500, BEFORE)
        self.assertTrue(self.index.is_current(AFTER))
        self.assertEqual((self.outdated, self.begun), ([{ALICE, BOB}], [AFTER]))
        # Until their groups are read, they stay where they were.
        self.assertEqual(self.in_group(), {ALICE, BOB})
        self.assertTrue(self.join(self.alice, [8], 30, AFTER))
        self.assertEqual((self.in_group(), self.in_group(8), self.index.version), ({BOB}, {ALICE}, 30))
        self.assertTrue(self.join(self.bob, [9], 30, AFTER))
        self.change(31, AFTER)
        self.assertEqual((self.in_group(), self.index.version), ({ALICE, BOB}, 31))

    def test_what_is_missing_in_the_new_log_is_missed(self):
        self.join(self.alice, [9], 500, BEFORE)
        self.index.is_current(AFTER)
        self.join(self.alice, [9], 30, AFTER)
        self.change(32, AFTER, user=BOB)
        self.assertEqual(self.index.version, 30)
        self.outdated.clear()
        self.clock.pump([PATIENCE_SECONDS] * 2)
        self.assertEqual((self.outdated, self.index.version), ([{ALICE}], 32))

    def test_a_change_of_the_new_log_reaches_a_session_that_waits_to_be_read(self):
        self.join(self.alice, [9], 500, BEFORE)
        self.change(31, AFTER, added=False)
        self.assertEqual((self.in_group(), self.begun), (set(), [AFTER]))

    def test_what_is_said_of_the_earlier_one_is_dropped(self):
        self.join(self.alice, [], 500, BEFORE)
        self.index.is_current(AFTER)
        self.change(501, BEFORE)
        self.assertEqual((self.in_group(), self.index.version), (set(), 0))
        self.assertFalse(self.join(self.alice, [9], 501, BEFORE))
        self.assertTrue(self.join(self.alice, [], 30, AFTER))
        self.assertEqual((self.in_group(), self.begun), (set(), [AFTER]))

    def test_changes_that_were_kept_of_it_are_forgotten(self):
        self.join(self.bob, [], 500, BEFORE)
        self.change(501, BEFORE)
        self.change(503, BEFORE)
        self.index.is_current(AFTER)
        self.assertTrue(self.join(self.alice, [], 30, AFTER))
        self.assertEqual(self.in_group(), set())
        self.change(31, AFTER)
        self.change(32, AFTER, added=False)
        self.assertEqual((self.in_group(), self.index.version), (set(), 32))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_groups_of_reservations_are_forgotten(self):
        self.sessions.reserve(7, "guest", "o", 30, groups=KnownGroups(500, {}, BEFORE))
        self.index.is_current(BEFORE)
        self.index.is_current(AFTER)
        self.assertIsNone(self.sessions.claim_login(Session(None), 7, "guest").groups)
