"""What a member of a group without history learns of messages from before it joined: nothing."""

from __future__ import annotations

from cim.route.messages.delivery import BY_USER
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL, TEXT
from tests.cluster.test_native_groups import GroupCase
from tests.cluster.test_native_guests import GuestCase

REVISIONS = ((EDIT, "secret, edited"), (REACTION, "👍"), (RECALL, ""))


class FloorTests(GroupCase):
    """Alice says something; then Bob joins. Carol has been there all the time."""

    def setUp(self):
        super().setUp()
        self.group = self.create(history=False)
        self.fill()
        self.join(self.carol)
        self.old = self.say("secret")
        self.join(self.bob, route=1)
        self.clear()

    def fill(self):
        """Have more members, if need be."""

    def clear(self):
        self.turn()
        for client in (self.phone, self.desk, self.pad):
            client.packets()

    def revise(self, ref, *, client=None, kind=EDIT, text="secret, edited", id=""):
        (client or self.phone).send_group(self.group, text, id or f"{kind} {ref}", kind=kind, ref=ref)
        return self.accepted(client or self.phone).position

    def test_nothing_of_a_revision_is_pushed_but_that_nothing_is_missed(self):
        for kind, text in REVISIONS:
            revised = self.revise(self.old, kind=kind, text=text)
            deliver = self.answer(self.pad)
            self.assertEqual((deliver.position, deliver.ref, deliver.text), (revised, self.old, text))
            self.turn()
            (packet,) = self.desk.packets()
            self.assertEqual(
                (packet.synced.conversation, packet.synced.after, packet.synced.upto, packet.synced.more),
                (self.name, deliver.previous, revised, False),
            )
            self.assertNotIn(self.old.encode(), packet.SerializeToString().replace(deliver.previous.encode(), b""))

    def test_what_it_may_read_is_pushed(self):
        new = self.say("for all")
        self.clear()
        for kind, text in REVISIONS:
            self.revise(new, kind=kind, text=text)
            self.assertEqual(self.answer(self.desk).text, text)
            self.assertEqual(self.answer(self.pad).text, text)

    def test_a_repeated_message_is_not_pushed_to_it(self):
        self.phone.send_group(self.group, "secret", "secret")
        self.assertEqual(self.accepted(self.phone).position, self.old)
        self.assertEqual(self.answer(self.pad).text, "secret")
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in self.desk.packets()], ["synced"])

    def test_no_page_has_it(self):
        end = "9999999999999-1"
        revised = [self.revise(self.old, kind=kind, text=text) for kind, text in REVISIONS[:2]]
        self.clear()
        self.assertEqual(self.page(self.pad, self.name)[0], ["secret, edited", "secret, edited", "👍"])
        texts, synced = self.page(self.desk, self.name)
        self.assertEqual((texts, synced.upto, synced.reset, synced.more), ([], revised[1], True, False))
        texts, synced = self.page(self.desk, self.name, before=end)
        self.assertEqual((texts, synced.upto, synced.more), ([], "", False))
        new = self.say("for all")
        self.clear()
        self.desk.sync(self.name, before=end)
        self.turn()
        (deliver,) = self.desk.take("deliver")
        self.assertEqual((deliver.text, deliver.position), ("for all", new))
        self.desk.packets()
        # Going back, pages of which it may read nothing are passed over.
        for _ in range(3):
            self.revise(self.old, kind=REACTION, text="👎", id=f"{_}")
        last = self.say("last")
        self.clear()
        texts, synced = self.page(self.desk, self.name, before=last, limit=1)
        self.assertEqual((texts, synced.upto), (["for all"], new))

    def test_it_cannot_refer_to_it(self):
        mine = self.say("mine", self.desk)
        self.clear()
        for number, (kind, text) in enumerate(REVISIONS):
            failures = []
            for ref in (self.old, "1-1"):
                self.desk.send_group(self.group, text, f"{number} {ref}", kind=kind, ref=ref)
                self.turn()
                (failure,) = self.desk.take("failure")
                failures.append((failure.code, failure.message))
            self.assertEqual(failures[0], failures[1])
            self.assertEqual(failures[0][0], "not-found")
        self.revise(mine, client=self.desk, text="mine, edited")

    def test_its_own_from_before_it_left_and_came_back(self):
        mine = self.say("mine", self.desk)
        self.leave(self.bob)
        self.join(self.bob)
        self.clear()
        self.desk.send_group(self.group, "mine, edited", "e", kind=EDIT, ref=mine)
        self.assertEqual(self.failure(self.desk), "not-found")

    def test_a_stranger_cannot_find_out_what_exists(self):
        self.leave(self.carol)
        self.clear()
        for number, ref in enumerate((self.old, "1-1")):
            self.pad.send_group(self.group, "x", f"{number}", kind=EDIT, ref=ref)
            self.turn()
            (failure,) = self.pad.take("failure")
            self.assertEqual((failure.code, failure.message), ("forbidden", "you are not allowed to do this"))

    def test_a_session_that_began_later(self):
        self.cluster.pass_seconds(3)  # the routes have read the log
        self.phone.packets()
        tablet = self.log_in(self.bob, "tablet")
        self.revise(self.old)
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in tablet.packets()], ["synced"])


class LargeFloorTests(FloorTests):
    """The same in a group whose messages are not addressed to members one by one."""

    def fill(self):
        groups = self.cluster.store.groups
        for number in range(BY_USER + 1):
            member = self.cluster.account(f"member{number}")
            self.successResultOf(groups.add(self.group, self.alice.id, member.id))
        self.cluster.pass_seconds(3)


class GuestFloorTests(GuestCase):
    def test_a_guest_is_shown_no_edit_of_what_it_may_not_read(self):
        alice = self.log_in(self.alice)
        guests = {account: self.guest(account) for account in (self.bob, self.carol)}
        grouping = self.cluster.routes[0].grouping
        group = self.cluster.result(grouping.create(self.alice.id, "friends", open=True, history=False))
        self.cluster.result(grouping.add(group, self.carol.id, self.carol.id))
        alice.send_group(group, "secret", "1")
        old = self.accepted(alice).position
        self.cluster.result(grouping.add(group, self.bob.id, self.bob.id))
        for number, (kind, text) in enumerate(((TEXT, "hello"), (EDIT, "secret, edited"), (TEXT, "again"))):
            alice.send_group(group, text, f"{number}-", kind=kind, ref=old if kind else "")
            self.accepted(alice)
        self.cluster.pass_seconds(1)
        shown = {account: [frame.text for frame in self.chat(guest)] for account, guest in guests.items()}
        self.assertEqual(shown[self.carol], ["secret", "hello", "(edited) secret, edited", "again"])
        self.assertEqual(shown[self.bob], ["hello", "again"])
