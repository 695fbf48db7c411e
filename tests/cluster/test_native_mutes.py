"""What a user says whom an operator mutes, by whatever way, and what it is told."""

from __future__ import annotations

from cim.errors import Muted
from cim.route.messages.limits import Guest
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL
from tests.cluster.test_native_guests import GuestCase


class MuteTests(GuestCase):
    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)
        self.phone.send(self.bob.id, "hello", "before")
        self.said = self.accepted(self.phone).position
        self.desk.packets()

    def mute(self, user, seconds=3600):
        return self.successResultOf(self.cluster.store.muted_users.mute(user.id, seconds=seconds, reason="spam"))

    def test_whatever_it_says_is_refused_with_the_reason(self):
        grouping = self.cluster.routes[0].grouping
        group = self.cluster.result(grouping.create(self.alice.id, "friends", open=True, history=True))
        mute = self.mute(self.alice)
        for kind, text, ref in ((0, "x", ""), (EDIT, "x", self.said), (REACTION, "👍", self.said)):
            self.phone.send(self.bob.id, text, f"{kind}", kind=kind, ref=ref)
            failure = self.answer(self.phone)
            self.assertEqual((failure.code, failure.client_id), ("muted", f"{kind}"))
            self.assertEqual(failure.message, Muted.of(mute).message)
            self.assertTrue(failure.message.endswith("UTC by an operator: spam"))
        for to in (0, group):
            self.phone.send_group(to, "x", f"to {to}")
            self.assertEqual(self.failure(self.phone), "muted")
        self.assertEqual(self.desk.packets(), [])
        self.phone.send(self.bob.id, "", "r", kind=RECALL, ref=self.said)
        self.accepted(self.phone)
        self.assertEqual(self.answer(self.desk).kind, RECALL)

    def test_what_it_sends_at_once_is_refused_for_the_mute_alone(self):
        """A client sends the next message before it hears of the last one."""
        for number in range(5):
            self.phone.send(self.bob.id, "x", f"a{number}")
        self.mute(self.alice)
        for number in range(5):
            self.phone.send(self.bob.id, "x", f"b{number}")
        self.cluster.pass_seconds(1)
        told = [getattr(packet, packet.WhichOneof("body")) for packet in self.phone.packets()]
        codes = [getattr(one, "code", "") for one in told]
        self.assertEqual([one.client_id for one in told], [f"{part}{number}" for part in "ab" for number in range(5)])
        self.assertEqual(codes, sorted(codes))
        self.assertEqual(set(codes[5:]), {"muted"})
        self.assertEqual(len(self.desk.texts()), codes.count(""))
        # Nothing of it holds up what is said later.
        self.cluster.pass_seconds(3600)
        self.phone = self.log_in(self.alice)
        self.phone.send(self.bob.id, "sorry", "c")
        self.accepted(self.phone)

    def test_a_guest_and_its_batches(self):
        self.guest(self.carol)
        self.mute(self.carol)
        sender = Guest(self.carol.id, "192.0.2.7")
        for route in self.cluster.routes:
            for texts, batch in ((["x"], False), (["x", "y"], True)):
                with self.assertRaises(Muted):
                    self.cluster.result(route.messages.private(sender, self.alice.id, texts, batch=batch))
            with self.assertRaises(Muted):
                self.cluster.result(route.messages.everyone(sender, "x"))
        self.assertEqual(self.phone.packets(), [])

    def test_it_is_pushed_what_others_say_and_reads(self):
        self.mute(self.alice)
        self.desk.send(self.alice.id, "calm down", "1")
        self.accepted(self.desk)
        self.assertEqual(self.answer(self.phone).text, "calm down")
        self.assertEqual(self.page(self.phone)[0], ["hello", "calm down"])
