"""Tests of the SQLite store with real files and threads."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import threading
from contextlib import closing
from unittest import SkipTest

from attrs import evolve

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import TestCase

from cim.daemon.clock import time_of_day
from cim.daemon.schema import Schema, statements
from cim.errors import CIMError, Conflict, NoRoom, StoreUnavailable, UserOffline
from cim.model import Account, Append, Mark
from cim.store.choose import store_from
from cim.store.space import Usage
from cim.store.sqlite.clock import WRITE_SECONDS
from cim.store.sqlite.tables import STORE
from cim.store.sqlite.threads import SqliteThreads
from tests.store.blocks_contract import BlocksContract
from tests.store.clock_contract import MANY, ClockContract
from tests.store.contract import StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import ALICE, BOB, DAY, RETENTION, TALK, Conversing
from tests.store.credentials_contract import CredentialsContract
from tests.store.devices_contract import DevicesContract
from tests.store.external_ids_contract import ExternalIdsContract
from tests.store.followers_contract import FollowersContract
from tests.store.groups_contract import GroupsContract
from tests.store.history_contract import HISTORY, HistoryContract
from tests.store.invitation_codes_contract import InvitationCodesContract
from tests.store.invitations_contract import InvitationsContract
from tests.store.looking import marks_of
from tests.store.moderation_contract import GroupModerationContract
from tests.store.muted_users_contract import MutedUsersContract
from tests.store.mutes_contract import MutesContract
from tests.store.order_contract import OrderContract
from tests.store.page_logins_contract import PageLoginsContract
from tests.store.people_contract import PeopleContract
from tests.store.pushes_contract import PushesContract
from tests.store.refusals_contract import RefusalsContract
from tests.store.reports_contract import ReportsContract
from tests.store.reset_codes_contract import ResetCodesContract
from tests.store.rewriting_contract import RewritingContract
from tests.store.test_memory import forget_counts
from tests.store.user_tokens_contract import UserTokensContract


class ThreadedClock(Clock):
    """A clock that tests advance, with the real reactor's threads."""

    def __init__(self, reactor):
        super().__init__()
        self.callFromThread = reactor.callFromThread


class SqliteCase(TestCase):
    retention = RETENTION

    def setUp(self):
        from twisted.internet import reactor

        self.clock = ThreadedClock(reactor)
        self.clock.advance(1_700_000_000.25)
        self.jumped = 0.0
        self.path = f"{self.mktemp()}/cim.db"
        self.start()
        self.addCleanup(lambda: self.store.stopService())

    def start(self):
        self.store = store_from(
            f"sqlite:{self.path}",
            self.clock,
            time_of_day=lambda: self.clock.seconds() + self.jumped,
            retention=self.retention,
        )
        self.store.startService()

    async def let_pass(self, seconds):
        self.clock.advance(seconds)

    def now(self):
        return int(self.clock.seconds() * 1000)


class SqliteClockTests(ClockContract, SqliteCase):
    async def jump(self, seconds):
        self.clock.advance(1)
        self.jumped += seconds
        self.store._looking.look()

    async def restart(self, seconds):
        """Start anew after so many seconds in which nothing ran, or in which the clock was set."""
        await self.store.stopService()
        self.jumped += seconds
        self.clock.advance(1)
        self.start()

    async def test_a_clock_that_was_set_while_nothing_ran(self):
        said = [str(number) for number in range(MANY)]
        await self.say(*said)
        for jump in (40 * DAY, -80 * DAY, 40 * DAY):
            await self.restart(jump)
            more = [f"{jump} {number}" for number in range(MANY)]
            await self.say(*more)
            said += more
            self.assertEqual(await self.all_said(), said)
        self.assertNotIn("store_clock", self.store.facts())

    async def test_what_is_new_is_found_after_a_death_and_a_clock_that_is_set_back(self):
        """Steady time goes on from where it was written last."""
        (position,) = await self.say("before")
        await self.received(position, BOB)
        self.clock.advance(WRITE_SECONDS - 5)
        since = (await self.conversations.heads(BOB, "phone")).as_of
        self.store._looking.stopService = lambda: succeed(None)
        await self.restart(-40 * DAY)
        self.assertLess(self.store.clock.now(), since)
        (position,) = await self.say("after")
        self.clock.advance(WRITE_SECONDS)
        self.assertLess(since, self.store.clock.now())
        news = await self.conversations.heads(BOB, "phone", since=since)
        self.assertEqual([head.latest for head in news.heads], [position])

    async def test_what_is_old_goes_after_a_long_rest_but_not_at_once(self):
        await self.say(*["old"] * MANY)
        await self.restart(40 * DAY)
        self.assertEqual(await self.all_said(), ["old"] * MANY)
        self.assertIn("40 d ahead", self.store.facts()["store_clock"])
        for _ in range(2 * DAY // 300 + 9):
            self.clock.advance(300)
            self.store._looking.look()
        await self.say("new")
        self.assertEqual(self.texts(await self.read(limit=500)), ["new"])
        self.assertNotIn("store_clock", self.store.facts())

    async def test_a_clock_that_an_operator_believes(self):
        await self.say(*["old"] * MANY)
        await self.restart(40 * DAY)
        self.assertIn("store_clock", self.store.facts())
        await self.store.stopService()
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("UPDATE clock SET time = clock, fresh = 0, aged = 0")
        self.start()
        self.assertNotIn("store_clock", self.store.facts())
        self.assertEqual(self.texts(await self.read()), [])

    async def test_a_file_of_an_earlier_release_while_the_clock_is_wrong(self):
        await self.say(*["kept"] * MANY)
        await self.store._threads.write("old", lambda connection: connection.execute("DELETE FROM clock") and None)
        self.store._looking.stopService = lambda: succeed(None)
        await self.restart(40 * DAY)
        await self.say(*["new"] * MANY)
        self.assertEqual(await self.all_said(), ["kept"] * MANY + ["new"] * MANY)


class SqliteBlocksTests(BlocksContract, SqliteCase):
    pass


class SqliteReportsTests(ReportsContract, SqliteCase):
    pass


class SqliteMutedUsersTests(MutedUsersContract, SqliteCase):
    async def kept_mutes(self):
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT count(*) FROM muted_user").fetchone()[0]


class SqliteMutesTests(MutesContract, SqliteCase):
    pass


class SqlitePushesTests(PushesContract, SqliteCase):
    pass


class SqliteInvitationsTests(InvitationsContract, SqliteCase):
    pass


class SqliteConversationsTests(ConversationsContract, SqliteCase):
    pass


class SqliteRewritingTests(RewritingContract, SqliteCase):
    pass


class SqliteOrderTests(OrderContract, RefusalsContract, SqliteCase):
    pass


class SqliteHistoryTests(HistoryContract, SqliteCase):
    retention = HISTORY

    async def setUp(self):
        super().setUp()
        await self.store._threads.look(lambda connection: None)  # after the first look at the disk

    def fill(self, full):
        self.store._space._seen(Usage(95 if full else 50, 100))

    async def forget_counts(self):
        await self.store._threads.write("forget", forget_counts)


class SqliteInvitationCodesTests(InvitationCodesContract, SqliteCase):
    def other(self):
        return self.store


class SqliteResetCodesTests(ResetCodesContract, SqliteCase):
    def other(self):
        return self.store


class SqliteFollowersTests(FollowersContract, SqliteCase):
    def other(self):
        return self.store


class SqlitePageLoginsTests(PageLoginsContract, SqliteCase):
    def other(self):
        return self.store


class SqliteOwnUsersTests(ExternalIdsContract, UserTokensContract, SqliteCase):
    def other(self):
        return self.store


class SqliteEarlierTests(Conversing, SqliteCase):
    """A file of a release that counted nothing."""

    retention = HISTORY

    def start(self):
        if not os.path.exists(self.path):
            os.makedirs(os.path.dirname(self.path))
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                evolve(STORE, steps=STORE.steps[:1]).upgrade(connection)
                self.fill(connection)
        super().start()

    def fill(self, connection):
        connection.execute(
            "INSERT INTO conversation (name, low, high, active, epoch, n, total, counted) "
            f"VALUES ('{TALK}', {ALICE}, {BOB}, 1, 5, 2, 2, 2)"
        )
        for n in (1, 2):
            body = self.item(f"old {n}", sender=BOB).body
            connection.execute(
                "INSERT INTO message VALUES (1, 5, ?, 5, ?, ?, ?, 1, ?, ?)", (n, n - 1, BOB, self.now(), n, body)
            )

    async def test_it_goes_on(self):
        for _ in range(2):
            await self.say(*["."] * 50)
            await self.store.stopService()
            self.start()
        results = await self.conversations.append([self.item() for _ in range(100)])
        self.assertTrue(any(isinstance(result, NoRoom) for result in results))
        self.assertEqual(self.texts(await self.read())[:3], ["old 1", "old 2", "."])


class SqliteEpochTests(Conversing, SqliteCase):
    async def test_each_start_is_a_later_epoch_whatever_the_clock_says(self):
        epochs = [self.store.epoch()]
        for jumped in (0.0, -86_400.0, 86_400.0):
            await self.store.stopService()
            self.jumped = jumped
            self.start()
            epochs.append(self.store.epoch())
        self.assertEqual(epochs, sorted(set(epochs)))
        await self.say("hello")
        self.assertEqual((await self.read()).entries[0].position, f"{epochs[-1]}-1")

    async def test_the_epoch_of_another_store(self):
        told = []
        self.store.on_epoch(lambda: told.append(self.store.epoch()))
        self.store.saw_epoch(self.store.epoch())
        self.store.saw_epoch(self.store.epoch() + 1000)
        await self.say("hello")
        self.assertEqual(told, [self.store.epoch()])
        self.assertEqual((await self.read()).entries[0].position, f"{told[0]}-1")


class SqliteGroupModerationTests(GroupModerationContract, SqliteCase):
    pass


class SqliteGroupsTests(GroupsContract, CredentialsContract, SqliteCase):
    async def test_deleting_one_that_joins_a_group_meanwhile(self):
        alice, bob = [await self.credentials.create(name, "one") for name in ("alice", "bob")]
        group = await self.store.groups.create(alice.id, "friends", open=True, history=False)
        await gatherResults([self.credentials.delete(bob.id), self.store.groups.add(group.id, bob.id, bob.id)])
        self.assertEqual([one.user for one in await self.store.groups.members(group.id)], [alice.id])
        self.assertEqual((await self.store.groups.memberships(bob.id)).members, ())


class SqlitePeopleTests(PeopleContract, SqliteCase):
    pass


class SqliteStoreTests(StoreContract, DevicesContract, SqliteCase):
    async def test_ids_go_on_when_the_clock_goes_back(self):
        self.clock.rightNow = 2_000_000_000.0
        alice = await self.accounts.register("alice")
        self.clock.rightNow = 1_000_000_000.0
        bob = await self.accounts.register("bob")
        self.assertEqual((alice.id, bob.id), (2_000_000_000_000, 2_000_000_000_001))


class SqliteFileTests(TestCase):
    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.directory = self.mktemp()
        self.path = os.path.join(self.directory, "cim.db")
        os.makedirs(self.directory)

    def start(self):
        store = store_from(f"sqlite:{self.path}", self.reactor, time_of_day=time_of_day)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def refused(self, words):
        threads = threading.active_count()
        store = store_from(f"sqlite:{self.path}", self.reactor, time_of_day=time_of_day)
        error = self.assertRaises(StoreUnavailable, store.startService)
        self.assertIn(self.path, error.message)
        self.assertIn(words, error.message)
        self.assertNotEqual(store.health(), "")
        self.assertEqual(threading.active_count(), threads)

    async def test_accounts_survive_a_restart(self):
        first = self.start()
        alice = await first.accounts.register("alice")
        await first.stopService()
        second = self.start()
        self.assertEqual(await second.accounts.named("alice"), alice)
        self.assertNotEqual((await second.accounts.register("bob")).id, alice.id)

    async def test_conversations_survive_a_restart_and_positions_go_on(self):
        clock = ThreadedClock(self.reactor)
        said = []
        for now in (1_700_000_000.0, 1_700_000_100.0, 1_600_000_000.0):  # the clock went back
            clock.rightNow = now
            store = store_from(f"sqlite:{self.path}", clock, time_of_day=clock.seconds)
            store.startService()
            items = [Append("p:1:2", 1, f"{now}-{number}", b"", b"", int(now * 1000)) for number in range(2)]
            said += [result.position for result in await store.conversations.append(items)]
            await store.conversations.mark([Mark(2, "phone", "p:1:2", said[0]), Mark(2, None, "p:1:2", said[1])])
            group = await store.groups.create(1, "x", open=True, history=False)
            self.assertEqual((await store.conversations.append(items))[0].repeated, True)
            await store.stopService()
        self.assertEqual(
            said,
            [
                "1700000000000-1",
                "1700000000000-2",
                "1700000100000-1",
                "1700000100000-2",
                "1700000100001-1",
                "1700000100001-2",
            ],
        )
        clock.rightNow = 1_700_000_200.0
        store = store_from(f"sqlite:{self.path}", clock, time_of_day=clock.seconds)
        store.startService()
        self.addCleanup(store.stopService)
        page = await store.conversations.read("p:1:2", limit=10)
        self.assertEqual([entry.previous for entry in page.entries], ["", *said[:5]])  # also what came later
        self.assertEqual(await marks_of(store, 2, "phone", "p:1:2"), (said[0], said[1]))
        self.assertEqual((await store.groups.memberships(1)).members[-1].group, group.id)

    async def test_what_no_column_holds_fails_alone(self):
        store = self.start()
        now = int(time_of_day() * 1000)
        good = [Append("p:1:2", 1, f"{number}", b"", b"", now) for number in range(2)]
        bad = [
            Append("p:1:2", 1 << 70, "x", b"", b"", now),
            Append("p:1:2", 1, "\ud800", b"", b"", now),
            Append("p:1:2", 1, "y", b"", b"", 1 << 70),
            Append("p:2:1", 1, "z", b"", b"", now),
        ]
        results = await store.conversations.append([good[0], *bad, good[1]])
        for result in results[1:5]:
            self.assertIsInstance(result, CIMError)
        self.assertEqual(results[5].previous, results[0].position)
        self.assertEqual(len((await store.conversations.read("p:1:2", limit=10)).entries), 2)

    async def test_work_that_fails_leaves_nothing_alone_or_in_company(self):
        store = self.start()

        def fail(connection):
            connection.execute("INSERT INTO given VALUES ('failed', 1)")
            raise Conflict()

        await store._threads.look(lambda connection: None)  # after the first looks at the disk and the clock
        await self.assertFailure(store._threads.write("alone", fail), Conflict)
        together = threading.Event()
        waiting = store._threads.write("wait", lambda connection: together.wait(30))
        failing, going = store._threads.write("fail", fail), store.accounts.register("alice")
        together.set()
        await waiting
        await self.assertFailure(failing, Conflict)
        alice = await going
        self.assertEqual(await store.accounts.named("alice"), alice)
        query = "SELECT kind FROM given WHERE kind = 'failed'"
        self.assertEqual(await store._threads.read("look", lambda connection: connection.execute(query).fetchall()), [])
        self.assertEqual(store.health(), "")

    async def test_what_is_acknowledged_is_on_disk_for_others_to_read(self):
        store = self.start()
        alice = await store.accounts.register("alice")
        other = sqlite3.connect(self.path)
        self.addCleanup(other.close)
        self.assertEqual(other.execute("SELECT id, name FROM account").fetchall(), [(alice.id, "alice")])

    async def test_only_its_owner_may_read_it(self):
        await self.start().accounts.register("alice")
        for name in os.listdir(self.directory):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.directory, name)).st_mode), 0o600, name)

    async def test_stopping_finishes_what_was_asked_and_ends_the_threads(self):
        threads = threading.active_count()
        store = self.start()
        self.assertEqual(threading.active_count(), threads + 3)
        asked = gatherResults([store.accounts.register(f"user-{number}") for number in range(50)])
        await store.stopService()
        self.assertEqual(len(self.successResultOf(asked)), 50)
        self.assertEqual(threading.active_count(), threads)
        self.failureResultOf(store.accounts.register("late"), StoreUnavailable)
        self.failureResultOf(store.accounts.named("user-1"), StoreUnavailable)

    def test_a_second_process_is_refused(self):
        self.start()
        self.refused("in use by another process")

    def test_a_file_that_is_no_database(self):
        with open(self.path, "wb") as file:
            file.write(b"this is no database " * 500)
        self.refused("it is not a database: name another file, or restore a copy")

    def changed(self, *statements):
        """Have another program change the file; return what is in it then."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        with open(self.path, "rb") as file:
            return file.read()

    def test_a_file_of_another_application(self):
        for statement in ("CREATE TABLE theirs (x)", "PRAGMA application_id = 0x43494D48"):
            with self.subTest(statement):
                before = self.changed(statement)
                self.refused("it belongs to another application: name another file")
                self.assertEqual(self.changed(), before)
                os.unlink(self.path)

    async def test_a_file_that_a_newer_release_changed(self):
        await self.start().stopService()
        before = self.changed("PRAGMA user_version = 99")
        self.refused("it has schema 99, and this release knows schemas up to ")
        self.assertEqual(self.changed(), before)

    async def test_a_newer_release_changes_the_file_meanwhile(self):
        logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        store = self.start()
        self.assertEqual(store.facts()["schema"], len(STORE.steps))
        alice = await store.accounts.register("alice")
        newer = len(STORE.steps) + 1
        self.changed(f"PRAGMA user_version = {newer}")
        # Nothing is written any more, and soon it is known even if nothing is asked for.
        await self.assertFailure(store.accounts.register("bob"), StoreUnavailable)
        self.assertIn(f"it has schema {newer}, and this release", store.health())
        self.assertEqual(len([event for event in logged if event["log_level"] is LogLevel.warn]), 1)
        self.changed(f"PRAGMA user_version = {newer - 1}")
        self.assertEqual(await store.accounts.named("alice"), alice)
        await store.accounts.register("bob")
        await self.until(store, "")
        self.changed(f"PRAGMA user_version = {newer}")
        await self.until(store, "it has schema")

    async def until(self, store, complaint):
        """Wait until health complains of that, or of nothing."""
        while complaint not in store.health() or (not complaint and store.health()):
            await deferLater(self.reactor, 0.05)

    async def refuses(self, store, complaint):
        """See that nothing is stored for a reason, that it is told without asking, and that one can read."""
        await self.until(store, complaint)
        self.assertIn("takes no writes, though it can be read", store.health())
        await self.assertFailure(store.accounts.register("nobody"), StoreUnavailable)
        self.assertEqual((await store.accounts.named("alice")).name, "alice")
        self.assertIn(complaint, store.health())

    async def goes_on(self, store):
        await self.until(store, "")
        await store.accounts.register("bob")
        self.assertEqual([(await store.accounts.named(name)).name for name in ("alice", "bob")], ["alice", "bob"])

    async def test_a_file_that_vanishes_and_is_put_back(self):
        store = self.start()
        await store.accounts.register("alice")
        for name in (self.path, f"{self.path}-wal"):
            os.rename(name, f"{name}.away")
            # Not one write is lost before it is noticed.
            await self.assertFailure(store.accounts.register("nobody"), StoreUnavailable)
            await self.refuses(store, f"{name} has vanished" if name != self.path else "it has vanished")
            os.rename(f"{name}.away", name)
            await self.until(store, "")
        await self.goes_on(store)

    async def test_a_file_that_is_replaced(self):
        store = self.start()
        await store.accounts.register("alice")
        os.rename(self.path, f"{self.path}.away")
        shutil.copy(f"{self.path}.away", self.path)
        await self.refuses(store, "it was replaced: put the former file back, or start again")
        os.rename(f"{self.path}.away", self.path)
        await self.goes_on(store)

    async def test_a_file_that_turns_read_only(self):
        store = self.start()
        await store.accounts.register("alice")
        os.chmod(self.path, 0o400)
        await self.refuses(store, "it is read-only: make it writable")
        os.chmod(self.path, 0o600)
        await self.goes_on(store)

    async def test_a_disk_that_is_full_and_one_that_is_mounted_read_only(self):
        disk = os.path.abspath(self.mktemp())
        os.makedirs(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=False).returncode:
            raise SkipTest("only root can mount a disk")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.path = os.path.join(disk, "cim.db")
        store = self.start()
        await store.accounts.register("alice")
        filler = os.path.join(disk, "filler")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
        await self.assertFailure(Deferred.fromCoroutine(self.fill(store)), StoreUnavailable)
        await self.refuses(store, "full")
        os.unlink(filler)
        await self.goes_on(store)
        subprocess.run(["mount", "-o", "remount,ro,force", disk], check=False)
        if os.statvfs(disk).f_flag & os.ST_RDONLY:
            await self.refuses(store, "mounted read-only")
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

    async def fill(self, store):
        """Register accounts until there is no space, for the log may have some."""
        number = 0
        while True:
            await store.accounts.register(f"user {number}")
            number += 1

    def test_a_folder_in_the_place_of_the_file(self):
        os.makedirs(self.path)
        self.refused("directory")

    def test_a_folder_that_cannot_be_made(self):
        with open(os.path.join(self.directory, "file"), "w"):
            pass
        self.path = os.path.join(self.directory, "file", "cim.db")
        self.refused("File exists")


class OldNamesTests(TestCase):
    """A file of an earlier release: accounts with names, and no table of forms."""

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.path = os.path.join(self.mktemp(), "cim.db")
        os.makedirs(os.path.dirname(self.path))
        names = ["al\u200bice", "alice", "Alice", "ALICE", "\u2028", *(f"User {n}" for n in range(1000))]
        self.there = [Account(1700000000000 + at, name) for at, name in enumerate(names)]
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT")
            connection.execute("CREATE TABLE given (kind TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT")
            connection.executemany("INSERT INTO account VALUES (?, ?)", [(one.id, one.name) for one in self.there])

    def start(self):
        store = store_from(f"sqlite:{self.path}", self.reactor, time_of_day=time_of_day)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def of_form(self, of):
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT user FROM name_form WHERE form = ?", (of,)).fetchall()

    async def test_they_get_their_forms_at_the_first_start_and_the_oldest_holds_it(self):
        store = self.start()
        self.assertEqual(self.of_form("alice"), [(1700000000001,), (1700000000002,), (1700000000003,)])
        for name in ("aLICE", "user 7", "USER 999"):
            await self.assertFailure(store.accounts.register(name), Conflict)
            await self.assertFailure(store.credentials.create(name, "hash"), Conflict)
        for account in (*self.there[:8], self.there[-1]):
            self.assertEqual(await store.accounts.known_as(account.name), account)
            self.assertEqual(await store.accounts.register(account.name), account)
        self.assertEqual(await store.accounts.known_as("aLICE"), self.there[1])

    async def test_when_its_holder_is_deleted_the_form_goes_to_the_next(self):
        store = self.start()
        for at in (1, 3):
            await store.credentials.delete(self.there[at].id)
            await self.assertFailure(store.accounts.register("aLICE"), Conflict)
        self.assertEqual(await store.accounts.known_as("aLICE"), self.there[2])
        await store.credentials.delete(self.there[2].id)
        self.assertEqual((await store.accounts.register("aLICE")).name, "aLICE")

    async def test_it_is_done_once_and_for_what_an_earlier_release_made_meanwhile(self):
        store = self.start()
        await store.stopService()
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("DELETE FROM name_form WHERE form = 'user 7'")
            connection.execute("INSERT INTO account VALUES (1800000000000, 'Late')")
            connection.execute("INSERT INTO credential VALUES (1800000000000, 'hash', 0)")
        store = self.start()
        self.assertEqual([one.id for one in (await store.accounts.people("lat", limit=9)).items], [1800000000000])
        self.assertEqual((self.of_form("user 7"), self.of_form("late")), ([], [(1800000000000,)]))
        await self.assertFailure(store.accounts.register("LATE"), Conflict)


class GroupCommitTests(TestCase):
    """The writer as any later store uses it."""

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.ended = []
        self.path = os.path.join(self.mktemp(), "work.db")
        schema = Schema(1, (statements("CREATE TABLE kept (value INTEGER PRIMARY KEY) STRICT"),))
        self.threads = SqliteThreads(self.path, self.reactor, schema, lambda name, seconds: self.ended.append(name))
        self.threads.start()
        self.addCleanup(self.threads.stop)

    def keep(self, value):
        return self.threads.write(
            "keep", lambda connection: connection.execute("INSERT INTO kept VALUES (?)", (value,))
        )

    def kept(self):
        def work(connection):
            return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]

        return self.threads.read("kept", work)

    def hold(self):
        """Keep the writer busy; what is asked meanwhile is one group."""
        go = threading.Event()
        self.addCleanup(go.set)
        busy = Deferred()
        held = self.threads.write(
            "hold", lambda connection: (self.reactor.callFromThread(busy.callback, None), go.wait(10))
        )
        return busy, held, go

    async def test_work_that_fails_fails_alone(self):
        busy, held, go = self.hold()
        await busy

        def fails(connection):
            connection.execute("INSERT INTO kept VALUES (3)")
            raise UserOffline()

        first, twice, wrong, last = (
            self.keep(1),
            self.keep(1),
            self.threads.write("wrong", fails),
            self.keep(2),
        )
        go.set()
        await gatherResults([held, first, last])
        self.failureResultOf(twice, StoreUnavailable)
        self.failureResultOf(wrong, UserOffline)
        self.assertEqual(await self.kept(), [1, 2])
        self.assertEqual(self.threads.health(), "")

    async def test_what_waits_is_one_transaction_and_one_delivery(self):
        busy, held, go = self.hold()
        await busy
        seen = []

        def look(connection):  # from outside, from within the transaction
            other = sqlite3.connect(self.path)
            seen.append(other.execute("SELECT count(*) FROM kept").fetchone()[0])
            other.close()

        calls = []
        original = self.reactor.callFromThread
        self.patch(self.reactor, "callFromThread", lambda *args: (calls.append(args), original(*args)))
        asked = [self.keep(value) for value in range(100)]
        asked.append(self.threads.write("look", look))
        go.set()
        await gatherResults([held, *asked])
        self.assertEqual(seen, [0])
        self.assertEqual(len(calls), 2)  # for what held the writer, and for the group

    async def test_results_come_in_the_order_of_asking(self):
        done = []
        asked = [self.keep(value).addCallback(lambda _, value=value: done.append(value)) for value in range(200)]
        await gatherResults(asked)
        self.assertEqual(done, list(range(200)))
        self.assertEqual(self.ended, ["keep"] * 200)

    async def test_nothing_ends_the_thread(self):
        class Broken:
            def check(self, connection):
                raise ZeroDivisionError("a bug")

        self.threads._schema, schema = Broken(), self.threads._schema
        await self.assertFailure(self.keep(0), ZeroDivisionError)
        self.assertIn("a bug", self.threads.health())
        self.threads._schema = schema
        await self.keep(1)
        self.assertEqual(await self.kept(), [1])

    async def test_reads_do_not_wait_for_the_writer(self):
        busy, held, go = self.hold()
        await busy
        self.assertEqual(await self.kept(), [])
        self.assertNoResult(held)
        go.set()
        await held

    async def test_a_file_that_fails_fails_the_calls_and_the_health_until_it_works_again(self):
        await self.keep(0)
        await self.threads.write(
            "shrink", lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone()
        )

        def shrink(connection):
            connection.execute("PRAGMA max_page_count = 1").fetchone()

        def fill(connection):
            connection.execute("CREATE TABLE big AS SELECT randomblob(1000000) AS bytes")

        await self.threads.write("shrink", shrink)
        await self.assertFailure(self.threads.write("fill", fill), StoreUnavailable)
        self.assertIn("full", self.threads.health())
        self.assertEqual(await self.kept(), [0])
        await self.keep(1)
        while self.threads.health():
            await deferLater(self.reactor, 0.05)
        self.assertEqual(await self.kept(), [0, 1])
