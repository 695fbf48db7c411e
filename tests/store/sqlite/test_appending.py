"""Tests of what appending knows from one call to the next: it is right whatever became of the calls before."""

from __future__ import annotations

import random
import sqlite3

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cim.errors import CIMError, NoRoom, OutOfOrder, Refused
from cim.model import Appended, Charge, Fate, Retention
from cim.store.pages import ONCE_MESSAGES, ONCE_SECONDS
from cim.store.sqlite import remembering
from cim.store.sqlite.appending import Appending
from cim.store.sqlite.checking import check
from cim.store.sqlite.tables import STORE
from cim.wire import conversations
from tests.harness.store import MemoryStore
from tests.store.conversing import ALICE, BOB, TALK, Conversing

NOW = 1_700_000_000_000
#: Of which nearly everything is trimmed at once.
SMALL = Retention(days=2, count=8, user_bytes=0)


class AppendingCase(Conversing, SynchronousTestCase):
    retention = SMALL

    def setUp(self):
        self.time = NOW
        self.database = self.opened()
        self.appending = self.made()

    def now(self):
        return self.time

    def opened(self):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(connection.close)
        STORE.upgrade(connection)
        return connection

    def made(self):
        return Appending(NOW, self.retention, random.Random(1).random)

    def call(self, *items):
        return self.appending.append(self.database, items, self.time, 0, False)

    def one(self, *args, **kwargs):
        return self.call(self.item(*args, **kwargs))[0]


class RollbackTests(AppendingCase):
    def test_what_a_failed_transaction_stored_is_no_predecessor(self):
        self.one("a", client_id="1")
        self.database.execute("BEGIN")
        self.one("b", client_id="2", after="1")
        self.database.execute("ROLLBACK")
        self.assertIsInstance(self.one("c", client_id="3", after="2"), OutOfOrder)
        again = self.one("b", client_id="2", after="1")
        self.assertEqual((again.repeated, again.position), (False, f"{NOW}-2"))

    def test_what_failed_alone_is_no_predecessor_for_what_shares_its_transaction(self):
        self.database.execute("BEGIN")
        self.one("a", client_id="1")
        self.database.execute("SAVEPOINT work")
        self.one("b", client_id="2", after="1")
        self.database.execute("ROLLBACK TO work")
        self.assertIsInstance(self.one("c", client_id="3", after="2"), OutOfOrder)
        self.assertIsInstance(self.one("b", client_id="2", after="1"), Appended)
        self.database.execute("COMMIT")
        self.assertIsInstance(self.one("c", client_id="3", after="2"), Appended)

    def test_a_call_that_breaks_off(self):
        self.one("a", client_id="1")
        self.database.execute("CREATE TRIGGER full BEFORE UPDATE ON conversation BEGIN SELECT raise(ABORT, 'no'); END")
        self.database.execute("BEGIN")
        self.assertRaises(sqlite3.Error, self.one, "b", client_id="2", after="1")
        self.database.execute("ROLLBACK")
        self.database.execute("DROP TRIGGER full")
        self.assertIsInstance(self.one("c", client_id="3", after="2"), OutOfOrder)
        self.assertEqual(self.one("b", client_id="2", after="1").previous, f"{NOW}-1")

    def test_a_new_conversation_that_was_rolled_back(self):
        other = conversations.private(ALICE, 77)
        self.database.execute("BEGIN")
        self.one("a", client_id="1")
        self.database.execute("ROLLBACK")
        # It has the id of the other one now.
        self.assertIsInstance(self.one("a", client_id="1", conversation=other), Appended)
        self.assertFalse(self.one("a", client_id="1").repeated)
        self.assertTrue(self.one("a", client_id="1", conversation=other).repeated)


class RememberedTests(AppendingCase):
    def test_what_was_trimmed_early_is_remembered_for_its_time(self):
        first = self.item("a", client_id="1")
        said = self.call(first)[0]
        for _ in range(10):
            self.call(*[self.item(sender=BOB) for _ in range(4)])
            self.database.execute("UPDATE reader SET epoch = ?, n = 1000", (NOW,))
        count = self.database.execute("SELECT count(*) FROM message WHERE client_id = '1'").fetchone()
        self.assertEqual(count, (0,))
        for appending in (self.appending, self.made()):
            self.appending = appending
            self.assertEqual(self.call(first)[0], evolve(said, repeated=True))
            self.assertIsInstance(self.one(after="1"), Appended)
        self.time += ONCE_SECONDS * 1000 + 1
        self.assertIsInstance(self.one(after="1"), OutOfOrder)
        self.assertFalse(self.call(first)[0].repeated)
        old = "SELECT count(*) FROM once WHERE stored_at < ?"
        self.assertGreater(self.database.execute(old, (self.time - 1,)).fetchone()[0], 8)
        for _ in range(32):
            self.one()
        self.assertEqual(self.database.execute(old, (self.time - 1,)).fetchone()[0], 0)

    def test_what_was_said_long_ago_is_searched_for_in_the_index_alone(self):
        first = self.one("a", client_id="1")
        for number in range(5):
            self.one("b", client_id=f"b{number}")
        said = []
        self.database.set_trace_callback(said.append)
        again = self.one("a", client_id="1")
        self.database.set_trace_callback(None)
        self.assertEqual((again.repeated, again.position), (True, first.position))
        (searched,) = [statement for statement in said if "its_mark" in statement]
        plan = [row[3] for row in self.database.execute(f"EXPLAIN QUERY PLAN {searched}")]
        self.assertIn("SEARCH message USING COVERING INDEX message_place (conversation=?)", plan)

    def test_so_many_messages_later_it_is_forgotten(self):
        self.retention = Retention()
        self.appending = self.made()
        first = self.item("a", client_id="1")
        self.call(first)
        for number in range(2, ONCE_MESSAGES, 500):
            self.call(*[self.item(sender=BOB) for _ in range(min(500, ONCE_MESSAGES + 1 - number))])
        for appending in (self.appending, self.made()):
            self.appending = appending
            self.assertTrue(self.call(first)[0].repeated)
        self.one(sender=BOB)
        self.assertFalse(self.call(first)[0].repeated)

    def test_what_an_earlier_release_remembers(self):
        body = self.item("a", client_id="1").body
        said = self.one("a", client_id="1")
        self.database.execute(
            "INSERT INTO once SELECT conversation, sender, client_id, epoch, n, before_epoch, before_n, sent_at, "
            "number, digest, stored_at, NULL FROM message"
        )
        self.database.execute("UPDATE message SET stored_at = 0, client_id = '', digest = x''")
        self.appending = self.made()
        again = self.one("a", client_id="1")
        self.assertEqual(again, evolve(said, repeated=True, body=body))
        self.assertIsInstance(self.one("b", client_id="2", after="1"), Appended)


class RoomTests(AppendingCase):
    retention = Retention(count=20, bytes=10_000)

    def test_what_was_trimmed_for_a_message_that_is_refused_all_the_same_is_not_counted(self):
        for _ in range(16):
            self.one("x" * 100)
        self.assertEqual(self.database.execute("SELECT accounted FROM conversation").fetchone(), (16,))
        self.database.execute("INSERT INTO reader (conversation, user, epoch, n) VALUES (1, ?, ?, 8)", (BOB, NOW))
        refused, stored = self.call(self.item("x" * 9000), self.item(charge=Charge.NONE))
        self.assertEqual([type(refused), type(stored)], [NoRoom, Appended])
        self.assertEqual(self.database.execute("SELECT count(*) FROM message").fetchone(), (9,))
        self.assertEqual([one for one in check(self.database) if "does not exist" not in one], [])


class FilterTests(AppendingCase):
    retention = Retention()

    def test_it_learns_a_conversation_from_the_tables(self):
        self.call(*[self.item(client_id=f"{number}") for number in range(50)])
        other = remembering.Filter()
        id = self.database.execute("SELECT id FROM conversation").fetchone()[0]
        self.assertFalse(other.knows(id))
        other.learn(self.database, id, NOW)
        self.assertTrue(other.knows(id))
        found = [other.may_have(id, ALICE, f"{number}") for number in range(1000)]
        self.assertEqual(found[:50], [True] * 50)
        self.assertLess(sum(found), 60)

    def test_it_says_of_few_others_that_they_may_be_there(self):
        filter = remembering.Filter()
        filter.begin(1)
        for number in range(remembering.LEAST):
            filter.add(1, ALICE, f"{number}", NOW)
        wrong = sum(filter.may_have(1, ALICE, f"x{number}") for number in range(20_000))
        self.assertLess(wrong, 20)

    def test_it_grows_where_it_would_forget_too_early(self):
        self.patch(remembering, "LEAST", 8)
        self.patch(remembering, "MOST", 64)
        filter = remembering.Filter()
        sizes = []
        for number in range(500):
            filter.add(1, ALICE, f"{number}", NOW)
            sizes.append(filter._new.size)
        self.assertEqual(sorted({*sizes}), [8, 16, 32, 64])
        for number in range(500):
            filter.add(1, ALICE, f"{number}", NOW + number * ONCE_SECONDS * 1000)
        self.assertEqual(filter._new.size, 64)


class MemorylessTests(AppendingCase):
    """What is known changes nothing: a store that knows nothing from one call to the next does the same."""

    @settings(deadline=None, max_examples=20)
    @given(st.randoms(use_true_random=False), st.booleans())
    def test_random_calls(self, chance, small):
        self.patch(remembering, "LEAST", 4 if small else 1 << 10)
        self.patch(remembering, "KNOWN", 2 if small else 100)
        knowing, other = (self.opened(), self.made()), self.opened()
        talks = [TALK, conversations.private(ALICE, 77), conversations.EVERYONE]
        self.time = NOW
        for number in range(chance.randint(5, 40)):
            self.time += chance.choice((0, 1000, 3_600_000, 40_000_000))
            items = [self.some(chance, talks, number) for _ in range(chance.choice((1, 1, 2, 5, 20)))]
            fate = chance.choice(("COMMIT", "COMMIT", "ROLLBACK"))
            results = []
            unknowing = self.made()
            unknowing._count = knowing[1]._count  # by which it is forgotten now and then
            for database, appending in (knowing, (other, unknowing)):
                database.execute("BEGIN")
                results.append([shown(one) for one in appending.append(database, items, self.time, 0, False)])
                database.execute(fate)
            self.assertEqual(*results)
            read = chance.randint(1, 200)
            if read < 40:
                for database in (knowing[0], other):
                    database.execute("UPDATE reader SET epoch = ?, n = ?", (NOW, read))
            self.assertEqual(*([*database.iterdump()] for database in (knowing[0], other)))
        self.assertEqual([one for one in check(other) if "read mark" not in one], [])

    @settings(deadline=None, max_examples=20)
    @given(st.randoms(use_true_random=False))
    def test_one_call_does_what_many_do(self, chance):
        self.retention = Retention(count=1000, user_bytes=0)
        together, apart = (self.opened(), self.made()), (self.opened(), self.made())
        talks = [TALK, conversations.private(ALICE, 77), conversations.EVERYONE]
        for number in range(10):
            self.time += 1
            items = [self.some(chance, talks, number) for _ in range(chance.choice((1, 5, 20)))]
            database, appending = together
            once = appending.append(database, items, self.time, 0, False)
            database, appending = apart
            singly = [appending.append(database, [item], self.time, 0, False)[0] for item in items]
            self.assertEqual(*([shown(one) for one in results] for results in (once, singly)))
            self.assertEqual(*([*database.iterdump()] for database, _ in (together, apart)))

    def some(self, chance, talks, number):
        """Return a message that may be a repetition, name another one or say something about it."""
        item = self.item(
            chance.choice("ab"),
            sender=chance.choice((ALICE, BOB)),
            conversation=chance.choice(talks),
            client_id=str(chance.randint(max(0, number - 6), number + 2)),
            after=chance.choice(("", "", str(chance.randint(max(0, number - 6), number + 2)))),
            charge=chance.choice((Charge.USER, Charge.USER, Charge.LOG, Charge.NONE)),
        )
        fate = chance.choice((Fate.STORED,) * 8 + (Fate.ASKED, Fate.REFUSED))
        if fate is Fate.REFUSED:
            item = evolve(item, body=b"no")
        ref = f"{NOW}-{chance.randint(1, 20)}"
        revision = chance.choice(({}, {}, {}, {"refers": ref}, {"refers": ref, "edits": True}, {"recalls": ref}))
        # What counts nowhere is no text.
        counts = not revision and item.charge is not Charge.NONE
        return evolve(item, fate=fate, counts=counts, **revision)


def shown(result):
    return (type(result), result.message) if isinstance(result, CIMError) else result


class WholeStoreTests(Conversing, TestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(NOW / 1000)
        self.store = MemoryStore(self.clock, SMALL)

    def now(self):
        return int(self.clock.seconds() * 1000)

    async def test_a_store_that_went_back(self):
        await self.append("a", client_id="1")
        go_back = self.store.copy()
        await self.append("b", client_id="2")
        go_back()
        self.assertIsInstance(await self.append("c", client_id="3", after="2"), OutOfOrder)
        self.assertIsInstance(await self.append("c", client_id="3", after="1"), Appended)

    async def test_a_group_that_ends_takes_along_what_is_remembered(self):
        group = (await self.store.groups.create(ALICE, "group", open=True, history=True)).id
        name = conversations.group(group)
        for number in range(12):
            await self.append(conversation=name, client_id=f"{number}")
        await self.conversations.append([evolve(self.item(conversation=name), fate=Fate.REFUSED, body=b"no")])
        await self.store.groups.remove(group, ALICE, ALICE)
        for table in ("message", "once", "reader", "conversation"):
            count = self.store.database.execute(f"SELECT count(*) FROM {table}").fetchone()
            self.assertEqual(count, (0,), table)
        self.assertNotIsInstance(await self.append(conversation=name, client_id="1"), Refused | Appended)
        self.assertIsInstance(await self.append("x", after="1"), OutOfOrder)
