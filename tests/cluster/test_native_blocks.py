"""What reaches a user who blocks another one, and what the blocked one learns."""

from __future__ import annotations

from cim.errors import AccountMismatch
from cim.model import Account
from cim.route.presence.blocks import KEPT_SECONDS
from cim.wire import conversations
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL
from tests.cluster.test_native_guests import GuestCase

NOBODY = 77


class BlockTests(GuestCase):
    """Alice blocks Bob."""

    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)
        self.desk.send(self.alice.id, "hello", "before")
        self.said = self.accepted(self.desk).position
        self.phone.packets()

    def block(self, route=0):
        blocks = self.cluster.routes[route].blocks
        self.cluster.result(blocks.block(self.alice.id, self.bob.id))

    def test_what_the_blocked_one_says_is_refused_as_to_nobody(self):
        self.block()
        self.phone.send(self.bob.id, "hers", "a")
        hers = self.accepted(self.phone).position
        self.desk.packets()
        said = (
            (0, "hello", ""),
            (EDIT, "x", self.said),
            (EDIT, "x", hers),
            (REACTION, "👍", self.said),
            (0, "hello", ""),
        )
        for number, (kind, text, ref) in enumerate(said):
            failures = []
            for user in (self.alice.id, NOBODY):
                self.desk.send(user, text, f"{number}", kind=kind, ref=ref)
                failure = self.answer(self.desk)
                failures.append((failure.code, failure.message, failure.client_id, failure.retry_after_seconds))
            self.assertEqual(failures[0], failures[1])
            self.assertEqual(failures[0][0], "not-found")
        self.assertEqual(self.phone.packets(), [])

    def test_a_message_that_is_sent_again(self):
        self.block()
        self.desk.send(self.alice.id, "hello", "before")
        self.assertEqual(self.failure(self.desk), "not-found")
        self.assertEqual(self.phone.packets(), [])

    def test_a_recall_arrives(self):
        self.block()
        self.desk.send(self.alice.id, "", "r", kind=RECALL, ref=self.said)
        self.accepted(self.desk)
        self.assertEqual(self.answer(self.phone).kind, RECALL)

    def test_the_one_who_blocks_may_write(self):
        self.block()
        self.phone.send(self.bob.id, "go away", "1")
        self.accepted(self.phone)
        self.assertEqual(self.answer(self.desk).text, "go away")

    def test_typing_notes_and_receipts(self):
        name = conversations.private(self.alice.id, self.bob.id)
        self.desk.typing(self.alice.id)
        self.assertEqual(self.answer(self.phone).who, self.bob.id)
        for route in self.cluster.routes:
            self.cluster.result(route.blocks.blocks(self.alice.id, self.bob.id))
        self.block()
        self.cluster.pass_seconds(int(KEPT_SECONDS))  # the other route knows it by then
        self.desk.typing(self.alice.id)
        self.desk.read(name, self.said)
        self.phone.read(name, self.said)
        self.cluster.pass_seconds(3)
        self.assertEqual(self.phone.packets() + self.desk.packets(), [])
        self.cluster.result(self.cluster.routes[0].blocks.unblock(self.alice.id, self.bob.id))
        self.cluster.pass_seconds(int(KEPT_SECONDS))
        self.desk.typing(self.alice.id)
        self.assertEqual(self.answer(self.phone).who, self.bob.id)
        self.phone.send(self.bob.id, "hello again", "1")
        self.turn()
        (deliver,) = self.desk.take("deliver")
        self.desk.read(name, deliver.position)
        self.cluster.pass_seconds(3)
        (read,) = self.phone.take("read")
        self.assertEqual(read.reader, self.bob.id)

    def test_the_blocked_one_hears_no_typing_either(self):
        self.block()
        self.phone.typing(self.bob.id)
        self.turn()
        self.assertEqual(self.desk.packets(), [])

    def test_presence(self):
        self.block()
        self.desk.watch(self.alice.id)
        presence = self.answer(self.desk)
        self.assertEqual((presence.user_id, presence.online), (self.alice.id, False))
        self.phone.drop()
        self.cluster.pass_seconds(1)
        self.log_in(self.alice)
        self.cluster.pass_seconds(1)
        self.assertEqual(self.desk.packets(), [])

    def test_an_edit_by_somebody_else(self):
        self.phone.send(self.bob.id, "hers", "a")
        hers = self.accepted(self.phone).position
        self.desk.packets()
        self.desk.send(self.alice.id, "x", "1", kind=EDIT, ref=hers)
        self.assertEqual(self.failure(self.desk), "forbidden")

    def test_guests_calls(self):
        """In either direction of upstream's API: from a guest to a user with a password, and the other way round."""
        self.block()
        for texts in (("hello",), ("a", "b", "c")):
            errors = []
            for receiver in (self.alice.id, NOBODY):
                with self.assertRaises(AccountMismatch) as raised:
                    self.private(self.bob, Account(receiver, "someone"), *texts, batch=len(texts) > 1)
                errors.append(str(raised.exception))
            self.assertEqual(errors[0], errors[1])
        self.assertEqual(self.phone.packets(), [])
        self.assertTrue(self.private(self.alice, self.bob, "go away"))
