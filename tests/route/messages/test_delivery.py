"""Tests of which links carry a message, and to whom."""

from __future__ import annotations

from twisted.internet.defer import succeed

from cim.errors import StoreUnavailable
from cim.interfaces import RUNS
from cim.model import GUEST, Member, Role
from cim.route.messages import delivery
from cim.route.messages.delivery import BY_USER, Push
from cim.wire import native
from cim.wire.cim_pb2 import Packet
from cim.wire.link_pb2 import Deliver
from tests.route.route_case import RouteCase

PUSH = Push(b"packet", repeated=True, batch=3)


class UserTests(RouteCase):
    def test_one_frame_per_link_however_many_recipients(self):
        here, there, idle = self.link(0), self.link(1), self.link(2)
        self.online(here, self.alice, "a1")
        self.online(here, self.alice, "a2", "desk")
        self.online(here, self.bob, "b1")
        self.online(there, self.bob, "b1", "desk")
        self.delivery.to_users(PUSH, (self.alice.id, self.bob.id, self.carol.id))
        (at_here,), (at_there,) = here.take("deliver"), there.take("deliver")
        self.assertEqual(list(at_here.users), [self.alice.id, self.bob.id])
        self.assertEqual(list(at_there.users), [self.bob.id])
        self.assertEqual(idle.items, [])
        self.assertEqual(
            (at_here.packet, at_here.repeated, at_here.batch),
            (b"packet", True, 3),
        )
        self.assertEqual((at_here.call, at_here.except_session, at_here.everyone, at_here.group), (0, "", False, 0))

    def test_the_sending_session_is_left_out_only_on_its_own_link(self):
        here, there = self.link(0), self.link(1)
        self.online(here, self.alice, "s1")
        self.online(there, self.alice, "s1", "desk")
        push = Push(packet=b"x", origin=here, session="s1")
        self.delivery.to_users(push, (self.alice.id,))
        self.assertEqual(here.items, [])
        (deliver,) = there.take("deliver")
        self.assertEqual(deliver.except_session, "")

    def test_nobody_is_online(self):
        self.delivery.to_users(PUSH, (self.alice.id,))
        self.delivery.to_users(PUSH, ())
        self.assertEqual(self.delivery.ask_users(PUSH, (self.alice.id,)), [])
        self.assertEqual(self.delivery.ask_everyone(PUSH), [])
        self.delivery.to_everyone(PUSH)
        self.delivery.to_group(PUSH, 7, 1)

    def test_a_server_without_a_link_gets_nothing(self):
        link = self.link()
        self.online(link, self.bob)
        self.presence.link_down(link)
        self.delivery.to_users(PUSH, (self.bob.id,))
        self.delivery.to_everyone(PUSH)
        self.assertEqual(self.delivery.ask_users(PUSH, (self.bob.id,)), [])
        self.assertEqual(link.items, [])

    def test_a_full_link_does_not_affect_others(self):
        full, good = self.link(0), self.link(1)
        for link in (full, good):
            self.online(link, self.bob, f"s-{link.peer.name}", link.peer.name)
        full.full = True
        self.delivery.to_users(PUSH, (self.bob.id,))
        self.delivery.to_everyone(PUSH)
        self.assertEqual(len(good.take("deliver")), 2)

    def test_asking_for_outcomes(self):
        here, there = self.link(0), self.link(1)
        self.online(here, self.bob, "b1")
        self.online(there, self.bob, "b2", "desk")
        answers = self.delivery.ask_users(PUSH, (self.bob.id,))
        self.assertEqual(len(answers), 2)
        self.answer_all(here, 1)
        self.answer_all(there, 2)
        self.assertEqual([self.successResultOf(answer).sessions for answer in answers], [1, 2])

    def test_asking_for_outcomes_of_a_push_to_everyone(self):
        here, there = self.link(0), self.link(1)
        asked = self.delivery.ask_everyone(PUSH, except_user=self.alice.id)
        self.assertEqual([link for link, _ in asked], [here, there])
        for link, _ in asked:
            (deliver,) = [item.deliver for item in link.items]
            self.assertEqual((deliver.everyone, deliver.except_user), (True, self.alice.id))
            self.answer_all(link)
        for _, answer in asked:
            self.successResultOf(answer)


class GroupTests(RouteCase):
    held = "groups", "members"

    def setUp(self):
        super().setUp()
        self.here, self.there = self.link(0), self.link(1)
        self.online(self.here, self.alice, "a1")
        self.online(self.there, self.bob, "b1")

    def push(self, group, version=1, text=b"x"):
        self.delivery.to_group(Push(text), group, version)

    def test_a_small_group_is_addressed_by_user(self):
        group = self.group(self.alice)
        self.push(group)
        self.assertEqual((self.here.items, self.delivery.small_group(group)), ([], None))
        self.hold.go()
        (deliver,) = self.here.take("deliver")
        self.assertEqual((list(deliver.users), deliver.group), ([self.alice.id], 0))
        self.assertEqual(self.there.items, [])
        self.assertEqual(self.delivery.small_group(group), (self.alice.id,))
        # The next one needs no look-up.
        self.push(group)
        self.assertEqual((len(self.here.take("deliver")), self.hold.calls), (1, []))

    def test_a_large_group_is_addressed_by_group(self):
        group = self.group(self.alice, *(self.account(f"m{n}") for n in range(BY_USER)))
        self.push(group)
        self.hold.go()
        for link in (self.here, self.there):
            (deliver,) = link.take("deliver")
            self.assertEqual((list(deliver.users), deliver.group), ([], group))
        self.assertIsNone(self.delivery.small_group(group))
        self.push(group)
        self.assertEqual((len(self.there.take("deliver")), self.hold.calls), (1, []))

    def run_at(self, group, *places):
        """Push messages that were stored together at these places; one server is of this release."""
        self.there.version = RUNS
        packet, *more = [native.deliver_packet(b"", f"g:{group}", f"1-{place}", f"1-{place - 1}") for place in places]
        self.delivery.to_group(Push(packet, reads=f"1-{places[0]}", more=more), group, 1)
        self.hold.go()

    def with_floors(self):
        """Return a group of Alice, who may read all, and Bob, who may read from the place 6 on."""
        group = self.group(self.alice, self.bob)
        members = [Member(group, self.alice.id, Role.OWNER, ""), Member(group, self.bob.id, Role.MEMBER, "1-5")]
        self.patch(self.store.groups, "members", lambda group, **options: succeed(members))
        return group

    def test_what_tells_a_member_that_it_misses_nothing_says_no_more_than_that(self):
        group = self.with_floors()
        packet = native.deliver_packet(b"", f"g:{group}", "1-4", "1-3")
        push = Push(packet, self.there, "b2", repeated=True, batch=3, reads="1-4", members=True, trace=bytes(24))
        self.delivery.to_group(push, group, 1)
        self.hold.go()
        (whole,), (skipped,) = self.here.take("deliver"), self.there.take("deliver")
        self.assertEqual((whole.batch, whole.members, whole.repeated, whole.trace), (3, True, True, bytes(24)))
        self.assertEqual(
            skipped,
            Deliver(users=[self.bob.id], packet=native.skipped_packet(packet), except_session="b2"),
        )

    def test_a_run_that_a_member_may_not_read_is_nothing_that_it_misses(self):
        self.here.version = RUNS
        group = self.with_floors()
        self.run_at(group, 4, 5)
        (whole,), (skipped,) = self.here.take("deliver"), self.there.take("deliver")
        self.assertEqual(
            [Packet.FromString(packet).deliver.position for packet in (whole.packet, *whole.more)], ["1-4", "1-5"]
        )
        self.assertEqual(
            [Packet.FromString(packet).synced.upto for packet in (skipped.packet, *skipped.more)], ["1-4", "1-5"]
        )
        self.delivery.to_group(Push(whole.packet, reads="1-6", more=[b"more"]), group, 1)
        for link in (self.here, self.there):
            (deliver,) = link.take("deliver")
            self.assertEqual([*deliver.more], [b"more"])

    def test_a_run_goes_one_by_one_to_servers_of_earlier_releases(self):
        small = self.group(self.alice, self.bob)
        large = self.group(self.alice, *(self.account(f"m{n}") for n in range(BY_USER)))
        for group in (small, large):
            self.run_at(group, 1, 2, 3)
            first, second, third = self.here.take("deliver")
            (whole,) = self.there.take("deliver")
            self.assertEqual([first.packet, second.packet, third.packet], [whole.packet, *whole.more])
            self.assertEqual([*first.more, *second.more, *third.more], [])
            self.assertEqual({one.reads for one in (first, second, third)}, {whole.reads})

    def test_messages_that_arrive_during_a_look_up_keep_their_order(self):
        group = self.group(self.alice)
        for text in (b"1", b"2", b"3"):
            self.push(group, text=text)
        self.assertEqual(len(self.hold.calls), 1)
        self.hold.go()
        self.assertEqual([deliver.packet for deliver in self.here.take("deliver")], [b"1", b"2", b"3"])
        self.assertEqual(self.delivery._asked, {})

    def test_members_are_read_again_after_a_change(self):
        group = self.group(self.alice)
        self.push(group, 1)
        self.hold.go()
        self.now(self.store.groups.add(group, self.bob.id, self.bob.id))
        self.here.take("deliver")
        self.push(group, 2)
        self.assertEqual(self.here.items, [])
        self.hold.go()
        self.assertEqual((len(self.here.take("deliver")), len(self.there.take("deliver"))), (1, 1))
        # An older version than the cached one needs no look-up.
        self.push(group, 1)
        self.assertEqual(self.hold.calls, [])
        self.delivery.forget_group(group)
        self.push(group, 2)
        self.assertEqual(len(self.hold.calls), 1)
        self.hold.go()

    def test_when_members_cannot_be_read_the_servers_index_decides(self):
        group = self.group(self.alice)
        self.push(group)
        self.hold.fail(StoreUnavailable())
        self.assertEqual([deliver.group for deliver in self.there.take("deliver")], [group])
        self.push(group)
        self.assertEqual(len(self.hold.calls), 1)
        self.hold.go()

    def test_an_unexpected_error_does_not_stall_it(self):
        group = self.group(self.alice)
        self.push(group)
        self.hold.fail(ValueError("?"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([deliver.group for deliver in self.here.take("deliver")], [group])
        self.assertEqual(self.delivery._asked, {})

    def test_the_queue_is_bounded(self):
        self.patch(delivery, "KEPT_GROUPS", 2)
        self.patch(delivery, "MAX_WAITING", 2)
        for _ in range(4):
            self.push(self.group(self.alice))
            self.hold.go()
        self.assertEqual(len(self.delivery._members), 2)
        self.here.take("deliver")
        group = self.group(self.alice)
        for _ in range(3):
            self.push(group)
        # A push that finds no room goes by the servers' index, at once.
        self.assertEqual([deliver.group for deliver in self.here.take("deliver")], [group])
        self.hold.go()
        self.assertEqual(len(self.here.take("deliver")), 2)

    def test_guests_are_reached_too(self):
        self.online(self.here, self.carol, "c1", GUEST)
        group = self.group(self.carol)
        self.push(group)
        self.hold.go()
        self.assertEqual([list(deliver.users) for deliver in self.here.take("deliver")], [[self.carol.id]])
