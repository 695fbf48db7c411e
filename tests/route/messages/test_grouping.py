"""Tests of changes of groups, and of how they reach the servers."""

from __future__ import annotations

from twisted.internet.defer import fail

from cim.errors import Conflict, Forbidden, StoreUnavailable
from cim.model import GroupChange, Role
from cim.route.messages.delivery import Push
from cim.route.messages.grouping import LOOK_SECONDS
from cim.route.presence.calls import CALL_SECONDS
from tests.route.route_case import RouteCase


class GroupingTests(RouteCase):
    def setUp(self):
        super().setUp()
        self.link_ = self.link(0)
        self.grouping.startService()
        self.addCleanup(self.grouping.stopService)

    def told(self, link=None, answer=True):
        """Return the changes that a server was sent: (group, user, added)."""
        link = link or self.link_
        if answer:
            self.answer_all(link)
        return [(change.group, change.user, change.added) for change in link.take("group_change")]

    def look(self):
        self.clock.advance(LOOK_SECONDS)

    def test_an_addition_is_answered_once_the_servers_have_it(self):
        group = self.group(self.alice)
        self.look()
        self.told()
        added = self.begin(self.grouping.add(group, self.bob.id, self.bob.id))
        self.assertNoResult(added)
        self.assertEqual(self.told(), [(group, self.bob.id, True)])
        self.assertTrue(self.successResultOf(added))
        self.assertFalse(self.now(self.grouping.add(group, self.bob.id, self.bob.id)))

    def test_a_removal_is_answered_once_all_servers_have_confirmed_it(self):
        other = self.link(1)
        group = self.group(self.alice, self.bob)
        self.look()
        self.told()
        self.told(other)
        removed = self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.assertEqual(self.told(), [(group, self.bob.id, False)])
        self.assertNoResult(removed)
        self.assertEqual(self.told(other), [(group, self.bob.id, False)])
        self.assertTrue(self.successResultOf(removed))
        self.assertFalse(self.now(self.grouping.remove(group, self.bob.id, self.bob.id)))

    def test_a_server_that_does_not_answer_is_only_waited_for_briefly(self):
        group = self.group(self.alice, self.bob)
        removed = self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.clock.advance(CALL_SECONDS)
        self.assertTrue(self.successResultOf(removed))

    def test_a_lost_or_slow_server_is_not_waited_for(self):
        full = self.link(1)
        full.full = True
        group = self.group(self.alice, self.bob)
        removed = self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.presence.link_down(self.link_)
        self.calls.link_down(self.link_)
        self.assertTrue(self.successResultOf(removed))

    def test_without_servers(self):
        self.presence.link_down(self.link_)
        group = self.now(self.grouping.create(self.alice.id, "g", open=True, history=True))
        self.assertTrue(self.now(self.grouping.add(group, self.bob.id, self.bob.id)))
        self.assertTrue(self.now(self.grouping.remove(group, self.bob.id, self.bob.id)))

    def test_changes_by_other_routes_are_sent_once(self):
        group = self.group(self.alice)
        self.look()
        self.told()
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.assertEqual(self.told(), [])
        self.look()
        self.assertEqual(self.told(), [(group, self.bob.id, True)])
        self.look()
        self.assertEqual(self.told(), [])

    def test_changes_by_this_route_are_not_sent_again(self):
        group = self.group(self.alice)
        self.look()
        self.told()
        self.begin(self.grouping.add(group, self.bob.id, self.bob.id))
        self.assertEqual(self.told(), [(group, self.bob.id, True)])
        # Changes by another route, before and after it, are sent.
        self.now(self.store.groups.add(group, self.carol.id, self.carol.id))
        self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.assertEqual(self.told(), [(group, self.bob.id, False)])
        self.look()
        self.assertEqual(self.told(), [(group, self.carol.id, True)])
        self.look()
        self.assertEqual(self.told(), [])

    def test_many_changes_wait_for_one_answer(self):
        group = self.group(self.alice)
        users = [self.bob.id, self.carol.id, self.alice.id]
        self.look()
        self.told()
        changing = self.begin(self.grouping.change_members(group, 0, users, ()))
        self.assertNoResult(changing)
        told = [item.group_change for item in self.link_.items if item.HasField("group_change")]
        self.assertEqual([(change.user, bool(change.call)) for change in told], [(users[0], False), (users[1], True)])
        self.told()
        self.assertEqual(self.successResultOf(changing), [True, True, False])

    def test_its_own_versions_are_forgotten_once_the_log_is_past_them(self):
        group = self.group(self.alice)
        for _ in range(3):
            self.begin(self.grouping.add(group, self.bob.id, self.bob.id))
            self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.look()
        self.assertEqual(len(self.grouping._own), 0)

    def test_an_unexpected_error_is_not_taken_for_a_lost_server(self):
        group = self.group(self.alice)
        self.grouping._calls.group_change = lambda link, change, epoch: fail(ValueError("?"))
        self.refusal(self.grouping.add(group, self.bob.id, self.bob.id), ValueError)

    def test_a_new_group_is_sent_at_once(self):
        group = self.now(self.grouping.create(self.alice.id, "g", open=True, history=True))
        self.assertEqual(self.told(), [(group, self.alice.id, True)])

    def test_cached_members_are_dropped(self):
        group = self.group(self.alice, self.bob)
        self.now(self.reading.member(group, self.bob.id))
        self.delivery.to_group(Push(packet=b"x"), group, 2)
        self.assertIsNotNone(self.delivery.small_group(group))
        removed = self.begin(self.grouping.remove(group, self.bob.id, self.bob.id))
        self.assertIsNone(self.delivery.small_group(group))
        self.refusal(self.reading.floor(self.bob.id, f"g:{group}"), Forbidden)
        self.told()
        self.assertTrue(self.successResultOf(removed))

    def test_refusals(self):
        group = self.group(self.alice, self.bob, open=False)
        self.refusal(self.grouping.add(group, self.carol.id, self.carol.id), Forbidden)
        self.refusal(self.grouping.remove(group, self.bob.id, self.alice.id), Forbidden)
        self.refusal(self.grouping.remove(group, self.alice.id, self.alice.id), Conflict)
        self.refusal(self.grouping.set_role(group, self.bob.id, self.bob.id, Role.ADMIN), Forbidden)
        self.now(self.grouping.set_role(group, self.alice.id, self.bob.id, Role.ADMIN))
        self.assertEqual(self.now(self.reading.member(group, self.bob.id)).role, Role.ADMIN)

    def test_a_changed_role_is_looked_up_again(self):
        group = self.group(self.alice, self.bob)
        self.assertEqual(self.now(self.reading.member(group, self.bob.id)).role, Role.MEMBER)
        self.now(self.grouping.set_role(group, self.alice.id, self.bob.id, Role.ADMIN))
        self.assertEqual(self.now(self.reading.member(group, self.bob.id)).role, Role.ADMIN)

    def test_the_store_is_away_for_a_while(self):
        group = self.group(self.alice)
        self.look()
        self.told()
        self.store.available = False
        self.look()
        self.refusal(self.grouping.add(group, self.bob.id, self.bob.id), StoreUnavailable)
        self.store.available = True
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.look()
        self.assertEqual(self.told(), [(group, self.bob.id, True)])

    def test_a_users_groups_and_the_version_after_which_changes_follow(self):
        self.group(self.alice)
        self.look()
        told = self.version()
        self.now(self.store.groups.create(self.alice.id, "by another route", open=False, history=False))
        found = self.now(self.grouping.memberships(self.alice.id))
        # What came after the version that its servers were told is told to them, too.
        self.assertEqual((found.version, len(found.members), self.version() > told), (told, 2, True))
        self.store.available = False
        self.assertIsNone(self.now(self.grouping.memberships(self.alice.id)))

    # Servers that were away

    def version(self):
        return self.now(self.store.groups.changes(0))[1]

    def test_a_server_is_sent_the_changes_that_it_missed(self):
        group = self.group(self.alice)
        seen = self.version()
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.now(self.store.groups.remove(group, self.bob.id, self.bob.id))
        self.grouping.seen(self.link_, seen, 0)
        self.assertEqual(self.told(), [(group, self.bob.id, True), (group, self.bob.id, False)])

    def test_a_server_without_an_index_lacks_nothing(self):
        self.group(self.alice)
        self.grouping.seen(self.link_, 0, 0)
        self.assertEqual(self.told(), [])

    def test_a_server_that_has_everything(self):
        self.group(self.alice)
        self.grouping.seen(self.link_, self.version(), 0)
        self.assertEqual(self.told(), [])

    def test_an_index_from_a_log_that_the_store_lost_is_reloaded(self):
        self.group(self.alice)
        self.grouping.seen(self.link_, self.version() + 7, 0)
        self.assertEqual(self.told(), [(0, 0, False)])

    def test_an_index_of_this_epoch(self):
        group = self.group(self.alice)
        seen = self.version()
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        epoch = self.store.epoch()
        self.grouping.seen(self.link_, seen, epoch)
        self.answer_all(self.link_)
        (change,) = self.link_.take("group_change")
        self.assertEqual((change.user, change.epoch), (self.bob.id, epoch))

    def test_an_index_of_an_earlier_epoch_is_told_nothing_by_its_version(self):
        group = self.group(self.alice)
        seen, epoch = self.version(), self.store.epoch()
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.store.begin_epoch()
        self.grouping.seen(self.link_, seen, epoch)
        self.assertEqual(self.told(), [])

    def test_an_index_that_cannot_be_updated_is_reloaded(self):
        self.group(self.alice)
        self.store.available = False
        self.grouping.seen(self.link_, 1, 0)
        self.assertEqual(self.told(), [(0, 0, False)])


class LogTests(RouteCase):
    """Tests in which the test gives the log's answers."""

    held = "groups", "changes"

    def setUp(self):
        super().setUp()
        self.link_ = self.link(0)
        self.grouping.startService()
        self.addCleanup(self.grouping.stopService)

    def told(self):
        self.answer_all(self.link_)
        return [(change.version, change.group, change.user) for change in self.link_.take("group_change")]

    def asked(self):
        return [args[0] for _, args, _ in self.hold.calls]

    def test_changes_from_before_the_start_are_not_sent(self):
        self.hold.answer(([GroupChange(5, 1, 2, True)], 5, False))
        self.assertEqual(self.told(), [])
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [5])

    def test_one_poll_at_a_time(self):
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [0])

    def test_a_page_is_not_the_end(self):
        self.hold.answer(([], 5, False))
        self.clock.advance(LOOK_SECONDS)
        self.hold.answer(([GroupChange(6, 1, 2, True)], 9, False))
        self.assertEqual((self.told(), self.asked()), ([(6, 1, 2)], [6]))
        self.hold.answer(([GroupChange(9, 1, 3, True)], 9, False))
        self.assertEqual((self.told(), self.asked()), ([(9, 1, 3)], []))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [9])

    def test_crossing_polls_send_each_change_once(self):
        self.hold.answer(([], 5, False))
        self.clock.advance(LOOK_SECONDS)
        creating = self.begin(self.grouping.create(self.alice.id, "g", open=True, history=True))
        self.assertEqual(self.asked(), [5, 5])
        for _ in range(2):
            self.hold.answer(([GroupChange(6, 1, 2, True)], 6, False))
        self.successResultOf(creating)
        self.assertEqual(self.told(), [(6, 1, 2)])

    def test_when_changes_were_trimmed_all_indexes_are_reloaded(self):
        self.hold.answer(([], 5, False))
        self.clock.advance(LOOK_SECONDS)
        self.hold.answer(([], 5000, True))
        self.assertEqual(self.told(), [(5000, 0, 0)])

    def test_changes_since_a_session_s_groups_were_read_are_sent_though_the_log_was_not(self):
        found = self.now(self.grouping.memberships(self.alice.id))
        self.assertEqual(found.version, 0)
        self.hold.answer(([GroupChange(6, 1, 2, True)], 6, False))
        self.assertEqual(self.told(), [(6, 1, 2)])

    def test_after_a_new_epoch_versions_begin_anew(self):
        self.hold.answer(([], 5, False))
        self.store.begin_epoch()
        self.grouping.begin_anew()
        self.clock.advance(0)
        self.assertEqual(self.asked(), [0])
        self.hold.answer(([], 3, False))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [3])
        self.hold.answer(([GroupChange(4, 1, 2, True)], 4, False))
        self.answer_all(self.link_)
        (change,) = self.link_.take("group_change")
        self.assertEqual((change.version, change.epoch), (4, self.store.epoch()))

    def test_what_was_read_before_a_new_epoch_counts_for_nothing(self):
        self.hold.answer(([], 5, False))
        self.clock.advance(LOOK_SECONDS)
        self.store.begin_epoch()
        self.grouping.begin_anew()
        self.hold.answer(([GroupChange(6, 1, 2, True)], 6, False))
        self.assertEqual(self.told(), [])
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [0])

    def test_an_unexpected_error_does_not_stall_it(self):
        self.hold.fail(ValueError("?"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.asked(), [0])

    def test_a_server_is_sent_changes_page_by_page(self):
        self.hold.calls.clear()
        self.grouping.seen(self.link_, 3, 0)
        self.hold.answer(([GroupChange(4, 1, 2, True)], 5, False))
        self.assertEqual(self.asked(), [4])
        self.hold.answer(([GroupChange(5, 1, 3, True)], 5, False))
        self.assertEqual(self.told(), [(4, 1, 2), (5, 1, 3)])
        self.assertEqual(self.asked(), [])
