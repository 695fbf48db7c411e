"""What the log of a group tells of its members: to whom, and to whom not."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cim.model import Role
from cim.route.messages.delivery import BY_USER
from cim.route.messages.group_entries import COLLECT_SECONDS, OTHERS_SECONDS
from cim.wire.cim_pb2 import MEMBERS
from tests.cluster.test_native_groups import GroupCase
from tests.cluster.test_native_guests import GuestCase


class MembersCase(GroupCase):
    """Alice's and Bob's clients want to be told; Carol's is one of an earlier release."""

    def setUp(self):
        super().setUp()
        self.phone, self.desk = (self.log_in(who, "new", members=True) for who in (self.alice, self.bob))
        self.fill()

    def fill(self):
        """Have more members, if need be."""

    def passes(self):
        self.cluster.pass_seconds(int(COLLECT_SECONDS) + 1)

    def told(self, *delivers):
        return [(one.what, one.user, one.by, one.text) for deliver in delivers for one in deliver.changes]

    def page_of(self, client, **fields):
        self.turn()
        client.packets()
        client.sync(self.name, **fields)
        self.turn()
        return client.take("deliver"), client.take("synced")[0]


class MembersTests(MembersCase):
    def test_members_are_told_who_came_and_went(self):
        self.join(self.bob)
        self.join(self.carol)
        self.passes()
        entries = self.phone.take("deliver")
        added = [("added", who.id, self.alice.id, "") for who in (self.bob, self.carol)]
        self.assertEqual(self.told(*entries), added)
        (entry,) = entries  # what happens within a second is one entry
        self.assertEqual((entry.kind, entry.group, entry.sender, entry.text), (MEMBERS, self.group, 0, ""))
        grouping = self.cluster.routes[1].grouping
        self.cluster.result(grouping.set_role(self.group, self.alice.id, self.bob.id, Role.ADMIN))
        self.cluster.result(grouping.edit(self.group, self.alice.id, name="enemies"))
        self.cluster.result(grouping.remove(self.group, self.bob.id, self.carol.id))
        self.passes()
        for client in (self.phone, self.desk):
            self.assertEqual(
                self.told(*client.take("deliver"))[-3:],
                [
                    ("role", self.bob.id, self.alice.id, "admin"),
                    ("renamed", self.alice.id, self.alice.id, "enemies"),
                    ("removed", self.carol.id, self.bob.id, ""),
                ],
            )

    def test_nobody_is_put_into_a_group_unseen(self):
        """Not even by a back end, whose API key acts as 0."""
        self.cluster.result(self.cluster.routes[1].grouping.add(self.group, 0, self.bob.id))
        self.passes()
        for client in (self.phone, self.desk):
            self.assertEqual(self.told(*client.take("deliver")), [("added", self.bob.id, 0, "")])

    def test_it_is_ordered_among_messages_and_counts_as_nothing(self):
        first = self.say("before")
        self.join(self.bob)
        self.passes()
        last = self.say("after")
        entries, synced = self.page_of(self.phone)
        self.assertEqual([(one.text, one.kind) for one in entries], [("before", 0), ("", MEMBERS), ("after", 0)])
        self.assertEqual([one.previous for one in entries], ["", first, entries[1].position])
        self.assertEqual(synced.upto, last)
        (head,) = self.log_in(self.bob, "another").welcome.heads
        self.assertEqual(head.unread, 1)  # what is from before he joined is read

    def test_clients_of_earlier_releases_get_none_and_miss_nothing(self):
        self.say("before")
        self.join(self.carol)
        self.passes()
        (packet,) = self.pad.packets()
        self.assertEqual(packet.WhichOneof("body"), "synced")
        entry = self.phone.take("deliver")[0]
        self.assertEqual((packet.synced.after, packet.synced.upto), (entry.previous, entry.position))
        last = self.say("after")
        (deliver,) = self.pad.take("deliver")
        self.assertEqual((deliver.text, deliver.previous), ("after", entry.position))
        entries, synced = self.page_of(self.pad)
        before, after = entries
        self.assertEqual((before.text, before.previous), ("before", ""))
        self.assertEqual((after.text, after.previous), ("after", before.position))
        self.assertEqual(synced.upto, last)
        entries, synced = self.page_of(self.pad, before=last, limit=1)
        self.assertEqual([one.text for one in entries], ["before"])

    def test_it_is_written_even_if_a_route_dies_before(self):
        self.join(self.bob)
        self.phone.packets()
        self.cluster.kill_route(self.cluster.routes[0])
        self.cluster.routes[0].entries.stopService()
        self.cluster.routes[0].entries._waiting.clear()
        self.cluster.pass_seconds(int(OTHERS_SECONDS) + 4)
        entries, _ = self.page_of(self.phone)
        self.assertEqual([one.user for entry in entries for one in entry.changes], [self.bob.id])

    def test_two_routes_write_it_once(self):
        self.join(self.bob)
        for route in self.cluster.routes:
            self.cluster.begin(route.entries._write(self.group))
        self.passes()
        self.cluster.pass_seconds(int(OTHERS_SECONDS) + 3)
        entries, _ = self.page_of(self.phone)
        self.assertEqual(len(entries), 1)

    def test_a_repeated_write_neither_loses_nor_repeats_a_change(self):
        groups = self.cluster.store.groups
        real, groups.told = groups.told, lambda id, number: self.fail_later()
        self.join(self.bob)
        self.passes()
        self.join(self.carol)
        groups.told = real
        self.cluster.pass_seconds(6)
        entries, _ = self.page_of(self.phone)
        self.assertEqual([one.user for entry in entries for one in entry.changes], [self.bob.id, self.carol.id])

    def fail_later(self):
        from twisted.internet.defer import fail

        from cim.errors import StoreUnavailable

        return fail(StoreUnavailable())

    def test_while_the_store_is_away_it_waits(self):
        self.join(self.bob)
        self.cluster.store.available = False
        self.passes()
        self.cluster.store.available = True
        self.cluster.pass_seconds(3)
        self.assertEqual([one[1] for one in self.told(*self.phone.take("deliver"))], [self.bob.id])

    def test_a_newcomer_is_told_nothing_from_before(self):
        for route in self.cluster.routes:
            self.group = self.create(history=False)
            self.join(self.carol)
            grouping = self.cluster.routes[0].grouping
            self.cluster.result(grouping.edit(self.group, self.alice.id, name="fire Carol"))
            self.cluster.result(grouping.set_role(self.group, self.alice.id, self.carol.id, Role.ADMIN))
            self.cluster.result(grouping.remove(self.group, self.alice.id, self.carol.id))
            self.cluster.result(grouping.edit(self.group, self.alice.id, name="harmless"))
            self.cluster.result(route.grouping.add(self.group, self.bob.id, self.bob.id))
            self.cluster.result(grouping.edit(self.group, self.alice.id, name="after"))
            self.passes()
            own = [("joined", self.bob.id, self.bob.id, ""), ("renamed", self.alice.id, self.alice.id, "after")]
            self.assertEqual(self.told(*self.desk.take("deliver")), own)
            entries, _ = self.page_of(self.desk)
            self.assertEqual(self.told(*entries), own)
            entries, _ = self.page_of(self.phone)
            texts = [one.text for entry in entries for one in entry.changes]
            self.assertEqual(texts, ["", "fire Carol", "admin", "", "harmless", "", "after"])

    def test_nor_is_who_accepts_an_invitation(self):
        self.group = self.create(history=False)
        self.successResultOf(self.cluster.store.invitations.invite(self.group, self.alice.id, self.bob.id))
        grouping = self.cluster.routes[0].grouping
        self.cluster.result(grouping.edit(self.group, self.alice.id, name="before Bob"))
        self.cluster.result(self.cluster.routes[1].grouping.accept(self.group, self.bob.id))
        self.passes()
        own = [("accepted", self.bob.id, self.alice.id, "")]
        self.assertEqual(self.told(*self.desk.take("deliver")), own)
        entries, _ = self.page_of(self.desk)
        self.assertEqual(self.told(*entries), own)

    def test_nobody_comes_while_it_cannot_be_written(self):
        grouping = self.cluster.routes[0].grouping
        self.cluster.result(grouping.edit(self.group, self.alice.id, name="secret"))
        conversations = self.cluster.store.conversations
        self.patch(conversations, "append", lambda items: self.fail_later())
        failed = self.failureResultOf(self.cluster.begin(grouping.add(self.group, self.bob.id, self.bob.id)))
        self.assertEqual(failed.type.__name__, "StoreUnavailable")
        self.assertIsNone(self.successResultOf(self.cluster.store.groups.member(self.group, self.bob.id)))

    def test_many_renames_are_several_entries(self):
        groups = self.cluster.store.groups
        for number in range(300):
            self.successResultOf(groups.edit(self.group, self.alice.id, name=f"{number:0256}"))
        grouping = self.cluster.routes[0].grouping
        self.cluster.result(grouping.edit(self.group, self.alice.id, name="last"))
        self.passes()
        entries = self.phone.take("deliver")
        self.assertEqual(sum(len(entry.changes) for entry in entries), 301)
        self.assertLess(max(entry.ByteSize() for entry in entries), 40_000)

    def test_a_route_writes_a_group_once_at_a_time(self):
        route = self.cluster.routes[0]
        self.successResultOf(self.cluster.store.groups.edit(self.group, self.alice.id, name="x"))
        real, held = self.cluster.store.conversations.append, []

        def hold(items):
            held.append((Deferred(), items))
            return held[-1][0]

        self.patch(self.cluster.store.conversations, "append", hold)
        for _ in range(3):
            self.cluster.begin(route.entries._write(self.group))
        ((appended, items),) = held
        real(items).chainDeferred(appended)
        self.passes()
        self.assertEqual((len(self.phone.take("deliver")), len(held), route.entries._writing), (1, 1, {}))

    def test_nobody_can_say_it(self):
        self.phone.send_group(self.group, "x", "1", kind=MEMBERS)
        self.assertEqual(self.failure(self.phone), "invalid")


class LargeMembersTests(MembersTests):
    """The same in a group whose messages are not addressed to members one by one."""

    def fill(self):
        groups = self.cluster.store.groups
        for number in range(BY_USER + 1):
            member = self.cluster.account(f"member{number}")
            self.successResultOf(groups.add(self.group, self.alice.id, member.id))
        self.successResultOf(groups.told(self.group, 1 << 50))
        self.cluster.pass_seconds(3)


class GuestMembersTests(GuestCase):
    def test_guests_get_none(self):
        alice = self.log_in(self.alice)
        guest = self.guest(self.bob)
        grouping = self.cluster.routes[0].grouping
        group = self.cluster.result(grouping.create(self.alice.id, "friends", open=True, history=True))
        self.cluster.result(grouping.add(group, 0, self.bob.id))
        self.cluster.pass_seconds(3)
        alice.send_group(group, "hello", "1")
        self.turn()
        self.cluster.pass_seconds(1)
        self.assertEqual([frame.text or list(frame.batch) for frame in self.chat(guest)], [["hello"]])
