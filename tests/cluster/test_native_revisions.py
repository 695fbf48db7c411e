"""Recalls, edits and reactions: who may make them, of what, and for how long."""

from __future__ import annotations

from cim.route.messages.sending import REVISION_SECONDS
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL
from tests.cluster.native_case import NativeCase


class RevisionTests(NativeCase):
    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice), self.log_in(self.bob)
        self.phone.send(self.bob.id, "secret", "1", data=b"data")
        self.position = self.accepted(self.phone).position
        self.desk.packets()

    def test_a_recall_blanks_the_message(self):
        self.phone.send(self.bob.id, "", "2", kind=RECALL, ref=self.position)
        self.accepted(self.phone)
        deliver = self.answer(self.desk)
        self.assertEqual((deliver.kind, deliver.ref, deliver.text), (RECALL, self.position, ""))
        self.desk.sync(self.conversation)
        self.turn()
        delivers = self.desk.take("deliver")
        self.assertEqual([(one.text, one.data, one.kind) for one in delivers], [("", b"", 0), ("", b"", RECALL)])
        # Repeating the first Send is the same message, and a recalled message is not pushed again.
        self.phone.send(self.bob.id, "secret", "1", data=b"data")
        self.assertEqual(self.accepted(self.phone).position, self.position)
        self.assertNotIn("secret", self.desk.texts())

    def test_an_edit_is_a_message_that_refers_to_another(self):
        self.phone.send(self.bob.id, "better", "2", kind=EDIT, ref=self.position)
        edited = self.accepted(self.phone).position
        self.assertEqual(self.answer(self.desk).ref, self.position)
        self.phone.send(self.bob.id, "best", "3", kind=EDIT, ref=self.position)
        self.accepted(self.phone)
        # A revision must refer to the text itself.
        self.phone.send(self.bob.id, "best of all", "4", kind=EDIT, ref=edited)
        self.assertEqual(self.failure(self.phone), "forbidden")

    def test_anybody_in_the_conversation_may_react(self):
        for client, other, account in ((self.phone, self.desk, self.bob), (self.desk, self.phone, self.alice)):
            client.send(account.id, "👍", "r", kind=REACTION, ref=self.position)
            self.accepted(client)
            self.assertEqual(self.answer(other).text, "👍")

    def test_only_the_author_may_recall_and_edit(self):
        for kind, text in ((RECALL, ""), (EDIT, "forged")):
            self.desk.send(self.alice.id, text, f"{kind}", kind=kind, ref=self.position)
            self.assertEqual(self.failure(self.desk), "forbidden")
        self.assertEqual(self.page(self.desk)[0], ["secret"])

    def test_old_messages_cannot_be_recalled_or_edited(self):
        # The connections do not last that long.
        self.phone.drop()
        self.cluster.clock.advance(REVISION_SECONDS + 1)
        self.turn()
        phone = self.log_in(self.alice)
        for kind, text in ((RECALL, ""), (EDIT, "late")):
            phone.send(self.bob.id, text, f"{kind}", kind=kind, ref=self.position)
            self.assertEqual(self.failure(phone), "forbidden")
        phone.send(self.bob.id, "👍", "3", kind=REACTION, ref=self.position)
        self.accepted(phone)

    def test_revisions_of_missing_messages_and_of_what_is_not_a_text(self):
        self.phone.send(self.bob.id, "", "2", kind=RECALL, ref="1-1")
        self.assertEqual(self.failure(self.phone), "not-found")
        self.phone.send(self.carol.id, "", "2", kind=RECALL, ref=self.position)
        self.assertEqual(self.failure(self.phone), "not-found")
        self.phone.send(self.bob.id, "👍", "3", kind=REACTION, ref=self.position)
        reaction = self.accepted(self.phone).position
        self.phone.send(self.bob.id, "x", "4", kind=EDIT, ref=reaction)
        self.assertEqual(self.failure(self.phone), "forbidden")

    def test_invalid_references(self):
        for kind, text, ref in (
            (RECALL, "", ""),
            (RECALL, "", "x"),
            (RECALL, "why", self.position),
            (EDIT, "", self.position),
            (REACTION, "x" * 65, self.position),
        ):
            self.phone.send(self.bob.id, text, "2", kind=kind, ref=ref)
            self.assertEqual(self.failure(self.phone), "invalid", (kind, text, ref))

    def test_revisions_do_not_count_as_unread(self):
        self.phone.send(self.bob.id, "👍", "3", kind=REACTION, ref=self.position)
        self.accepted(self.phone)
        (head,) = self.log_in(self.bob, "tablet").welcome.heads
        self.assertEqual(head.unread, 1)

    def test_messages_to_everyone_cannot_be_revised(self):
        self.phone.send_group(0, "hello all", "g")
        position = self.accepted(self.phone).position
        self.phone.send_group(0, "", "h", kind=RECALL, ref=position)
        self.assertEqual(self.failure(self.phone), "forbidden")
