"""What a check finds when something in a database was changed behind the store's back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.model import Mark
from cim.store.counted import Counted
from cim.store.sqlite.checking import check, count
from tests.harness.store import MemoryStore
from tests.store.conversing import RETENTION, Conversing


class CheckTests(Conversing, SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.store = MemoryStore(self.clock, RETENTION)
        self.anna, self.bert = (
            self.successResultOf(self.store.credentials.create(name, "a hash")).id for name in ("anna", "bert")
        )
        self.successResultOf(self.store.blocks.block(self.bert, self.anna + 7))
        group = self.successResultOf(self.store.groups.create(self.anna, "friends", open=True, history=False)).id
        self.talk, self.group = f"p:{self.anna}:{self.bert}", f"g:{group}"
        for conversation in (self.talk, self.group):
            items = [self.item(f"message {n}", sender=self.anna, conversation=conversation) for n in range(3)]
            self.first, _, self.last = (
                one.position for one in self.successResultOf(self.store.conversations.append(items))
            )
            self.successResultOf(self.store.conversations.mark([Mark(self.bert, None, conversation, self.last)]))
            self.successResultOf(self.store.conversations.mark([Mark(self.bert, "phone", conversation, self.last)]))
        self.successResultOf(self.store.groups.add(group, self.bert, self.bert))

    def now(self):
        return int(self.clock.seconds() * 1000)

    def found(self, statement, *values):
        """Return what is found once a statement was executed."""
        self.store.database.execute("PRAGMA foreign_keys=OFF")
        self.store.database.execute(statement, values)
        return list(check(self.store.database))

    def test_a_store_that_is_well(self):
        self.assertEqual(list(check(self.store.database)), [])
        self.assertEqual(count(self.store.database), Counted(accounts=2, groups=1, conversations=2, messages=6))

    def test_a_group_that_ended(self):
        for user in (self.bert, self.anna):
            self.successResultOf(self.store.groups.remove(int(self.group[2:]), user, user))
        self.assertEqual(list(check(self.store.database)), [])
        self.assertEqual(count(self.store.database).groups, 0)

    def test_accounts(self):
        self.assertEqual(
            self.found("UPDATE name_form SET form = 'clara' WHERE user = ?", self.bert),
            [f'account {self.bert} is called "bert" and is found by "clara", not by "bert"'],
        )

    def test_names_that_cannot_be_found(self):
        self.assertEqual(
            self.found("DELETE FROM name_form WHERE user = ?", self.bert),
            [f'account {self.bert} is called "bert" and is found by "", not by "bert"'],
        )

    def test_people_who_cannot_be_found(self):
        self.assertEqual(
            self.found("DELETE FROM person WHERE user = ?", self.bert),
            [f'account {self.bert} is found by the beginning of "", not of "bert"'],
        )

    def test_ids_that_might_be_given_twice(self):
        self.assertEqual(
            self.found("UPDATE given SET id = 5 WHERE kind = 'account'"),
            [f"account {self.bert} has a higher id than the last that was given to one, 5"],
        )

    def test_what_is_of_nobody(self):
        self.assertEqual(
            self.found("DELETE FROM account WHERE id = ?", self.bert),
            [
                "name_form is of an account that does not exist",
                f"credential {self.bert} is of an account that does not exist",
                f"member names user {self.bert}, who does not exist",
                f"block names user {self.bert}, who does not exist",
            ],
        )

    def test_members_that_are_counted_wrong(self):
        self.assertEqual(
            self.found("UPDATE talk SET members = 7"),
            [f"group {self.group[2:]} counts 7 members and 1 owners, but has 2 members and 1 owners"],
        )

    def test_a_group_without_an_owner(self):
        self.store.database.execute("UPDATE talk SET owners = 0")
        self.assertEqual(self.found("UPDATE member SET role = 0"), [f"group {self.group[2:]} has no owner"])

    def test_members_of_no_group(self):
        self.assertIn(f"member names group {self.group[2:]}, which does not exist", self.found("DELETE FROM talk"))

    def test_a_message_that_is_gone_from_the_middle(self):
        """Bounds trim what one sender said, wherever it is."""
        self.assertEqual(self.found("DELETE FROM message WHERE number = 2"), [])

    def test_messages_out_of_order(self):
        epoch = self.first.split("-")[0]
        self.assertEqual(
            self.found("UPDATE message SET before_n = 1 WHERE number = 3"),
            [
                f"{name}: {epoch}-3 names {epoch}-1 as the message before it, and that is {epoch}-2"
                for name in (self.talk, self.group)
            ],
        )

    def test_messages_counted_wrong(self):
        self.assertEqual(
            self.found("UPDATE message SET number = 9 WHERE number = 3"),
            [f"{name}: {self.last} is number 9 of 3, behind number 2" for name in (self.talk, self.group)],
        )

    def test_messages_beyond_the_end(self):
        for name, found in zip(
            (self.talk, self.group), self.found("UPDATE conversation SET n = 2, total = 3")[:2], strict=True
        ):
            self.assertTrue(found.startswith(f"{name}: {self.last} is beyond the end, "), found)

    def test_messages_that_cannot_be_decoded(self):
        self.assertEqual(
            self.found("UPDATE message SET body = x'ff' WHERE number = 3"),
            [f"{name}: {self.last} cannot be decoded" for name in (self.talk, self.group)],
        )

    def test_messages_of_no_conversation(self):
        self.assertIn(
            "there are messages of a conversation 1 that does not exist",
            self.found("DELETE FROM conversation WHERE id = 1"),
        )

    def test_names_of_no_conversation(self):
        self.assertEqual(
            self.found("UPDATE conversation SET name = 'p:2:1' WHERE id = 1"),
            ['conversation 1 is called "p:2:1", which is no name of a conversation'],
        )

    def test_a_conversation_of_others(self):
        self.assertEqual(
            self.found("UPDATE conversation SET low = 5 WHERE id = 1"),
            [f"{self.talk} is listed for users 5 and {self.bert}"],
        )

    def test_what_a_conversation_holds(self):
        entries, bytes = (
            3,
            sum(
                len(body) for (body,) in self.store.database.execute("SELECT body FROM message WHERE conversation = 1")
            ),
        )
        self.assertEqual(
            self.found("UPDATE conversation SET accounted = 3, entries = 2, bytes = 10 WHERE id = 1"),
            [f"{self.talk} counts 2 entries of 10 bytes, but holds {entries} of {bytes}"],
        )

    def test_marks_beyond_the_end(self):
        epoch = self.first.split("-")[0]
        for table, what, who in (
            ("reader", "the read mark of user", self.bert),
            ("received", "the received mark of device", 1),
        ):
            self.assertEqual(
                self.found(f"UPDATE {table} SET n = 99 WHERE n > 0"),
                [f"{name}: {what} {who} is at {epoch}-99, beyond the end" for name in (self.talk, self.group)],
            )
            self.store.database.execute(f"UPDATE {table} SET n = 3 WHERE n > 0")

    def test_a_webhook_beyond_the_end(self):
        self.store.database.execute("INSERT INTO follower (name, seen) VALUES ('shop', 1)")
        self.assertEqual(
            self.found(
                "INSERT INTO followed (follower, conversation, epoch, n, due) "
                f"VALUES ('shop', '{self.talk}', 9999999999999, 1, 0)"
            ),
            [f"{self.talk}: webhook shop is at 9999999999999-1, beyond the end"],
        )

    def test_a_floor_beyond_the_end(self):
        epoch = self.first.split("-")[0]
        self.assertEqual(
            self.found("UPDATE member SET n = 99 WHERE n > 0"),
            [f"{self.group}: user {self.bert} may read only what is behind {epoch}-99, beyond the end"],
        )

    def test_records_of_no_conversation(self):
        self.assertIn(
            f"the record of a message of user {self.anna} is of a conversation that does not exist",
            self.found(f"INSERT INTO once VALUES (77, {self.anna}, '1', 5, 1, 0, 0, 0, 1, x'', 0, NULL)"),
        )
