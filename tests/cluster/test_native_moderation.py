"""Mutes, bans and the end of groups, as native clients and guests on several servers notice them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.model import Role
from cim.route.messages.grouping import LOOK_SECONDS
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL
from tests.cluster.test_native_groups import GroupCase
from tests.cluster.test_native_guests import GuestCase


class ModerationTests(GroupCase):
    def setUp(self):
        super().setUp()
        for account in (self.bob, self.carol):
            self.join(account)
        self.here, self.there = (route.grouping for route in self.cluster.routes)

    def codes(self, client):
        self.turn()
        return [(one.client_id, one.code) for one in client.take("failure")]

    def test_all_that_a_muted_one_says_at_once_is_refused_and_what_follows_goes_on(self):
        first = self.say("before", self.desk)
        self.cluster.result(self.there.mute(self.group, self.alice.id, self.bob.id, 10))
        self.phone.packets()
        for number in range(5):
            self.desk.send_group(self.group, f"muted {number}", f"m-{number}")
        self.desk.send_group(self.group, "edited", "edit", kind=EDIT, ref=first)
        self.desk.send_group(self.group, "👍", "reaction", kind=REACTION, ref=first)
        refused = [*(f"m-{number}" for number in range(5)), "edit", "reaction"]
        self.assertCountEqual(self.codes(self.desk), [(client_id, "muted") for client_id in refused])
        # A repetition of what was stored gets the former answer.
        self.desk.send_group(self.group, "before", "before")
        self.turn()
        self.assertEqual([one.position for one in self.desk.take("accepted")], [first])
        self.desk.send_group(self.group, "", "recall", kind=RECALL, ref=first)
        self.turn()
        self.assertEqual([one.client_id for one in self.desk.take("accepted")], ["recall"])
        self.assertEqual({one.text for one in self.phone.take("deliver")} - {"before", ""}, set())
        self.cluster.pass_seconds(11)
        for number in range(5):
            self.desk.send_group(self.group, f"after {number}", f"a-{number}")
        self.turn()
        self.assertEqual([one.client_id for one in self.desk.take("accepted")], [f"a-{number}" for number in range(5)])

    def test_where_all_but_admins_are_muted_who_becomes_one_may_write(self):
        self.cluster.result(self.here.mute(self.group, self.alice.id, 0, None))
        self.desk.send_group(self.group, "let me", "1")
        self.assertEqual(self.codes(self.desk), [("1", "muted")])
        self.cluster.result(self.there.set_role(self.group, self.alice.id, self.bob.id, Role.ADMIN))
        self.desk.send_group(self.group, "now I may", "2")
        self.assertEqual(self.codes(self.desk), [])

    def test_a_ban_by_a_route_that_dies_before_it_tells_of_it(self):
        dying = self.cluster.routes[0]
        dying.calls.group_change = lambda link, change, epoch: Deferred()
        self.cluster.begin(dying.grouping.ban(self.group, self.alice.id, self.bob.id))
        self.cluster.kill_route(dying)
        self.cluster.pass_seconds(int(LOOK_SECONDS) + 1)
        self.desk.packets()
        self.say("without bob", self.pad)
        self.assertEqual(self.desk.texts(), [])
        self.desk.send_group(self.group, "here I am", "1")
        self.assertEqual(self.codes(self.desk), [("1", "forbidden")])

    def test_all_members_hear_of_the_end_wherever_they_are(self):
        self.assertEqual(self.cluster.result(self.there.dissolve(self.group, self.alice.id)), 0)
        for client in (self.phone, self.desk, self.pad):
            (removed,) = client.take("removed")
            self.assertEqual((removed.group, removed.what, removed.by), (self.group, "dissolved", self.alice.id))
        self.desk.send_group(self.group, "anyone?", "1")
        self.assertEqual(self.codes(self.desk), [("1", "not-found")])


class GuestModerationTests(GuestCase):
    def test_a_guest_that_is_banned_is_sent_nothing(self):
        grouping = self.cluster.routes[0].grouping
        alice, guest = self.log_in(self.alice), self.guest(self.bob)
        group = self.cluster.result(grouping.create(self.alice.id, "friends", open=True, history=True))
        self.cluster.result(grouping.add(group, self.alice.id, self.bob.id))
        self.cluster.pass_seconds(2)
        self.chat(guest)
        self.cluster.result(grouping.ban(group, self.alice.id, self.bob.id))
        alice.send_group(group, "without bob", "1")
        self.turn()
        self.assertEqual(len(alice.take("accepted")), 1)
        self.cluster.pass_seconds(2)
        self.assertEqual(self.chat(guest), [])
