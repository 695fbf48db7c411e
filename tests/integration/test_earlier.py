"""What earlier releases stored, from the first one on, is opened by this one, and everything is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from cim.client.client import Client
from cim.client.history import SqliteHistory
from cim.client.history_tables import SCHEMA as HISTORY
from cim.client.values import Kind, Password
from cim.store.choose import store_from
from cim.store.redis.schema import NEWEST
from cim.store.sqlite.checking import check
from cim.store.sqlite.tables import STORE
from cim.wire import conversations
from tests.client.client_case import Listener
from tests.earlier import RELEASES, database, keys, stored
from tests.earlier.contract import RETENTION, EarlierContract
from tests.harness.daemons import loopback
from tests.harness.spawning import free_port
from tests.integration.cluster_case import ClusterCase, User
from tests.integration.redis_case import RedisCase
from tests.integration.test_store_sqlite import ThreadedClock

FIRST = "94cc0a5"


def tables(path):
    """Return the tables and indexes of a file, in one spelling, and its marks."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        columns = {
            name: sorted((row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})")), key=repr)
            + sorted((row[2:] for row in connection.execute(f"PRAGMA index_xinfo({name})")), key=repr)
            for name in names
        }
        marks = [connection.execute(f"PRAGMA {mark}").fetchone() for mark in ("application_id", "user_version")]
        return columns, marks


class SqliteEarlierTests(EarlierContract, TestCase):
    def now(self):
        return self.told["at"] + 60_000

    async def opened(self, path):
        from twisted.internet import reactor

        clock = ThreadedClock(reactor)
        clock.advance(self.now() / 1000)
        store = store_from(f"sqlite:{path}", clock, retention=RETENTION, time_of_day=clock.seconds)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def test_everything_is_there(self):
        self.assertLessEqual({FIRST, "93fa1d3", "9ddba7d8", "72cea97d", "3fee3fe9"}, {*RELEASES})
        for release in RELEASES:
            with self.subTest(release):
                self.told = stored(release, "sqlite")
                path = Path(self.mktemp())
                path.write_bytes(database(release))
                self.store = await self.opened(path)
                await self.finds_everything()
                await self.store.stopService()
                with closing(sqlite3.connect(path)) as connection:
                    self.assertEqual(list(check(connection)), [])

    async def test_its_tables_become_those_of_a_new_file(self):
        self.told = {"at": 1_700_000_000_000}
        new = self.mktemp()
        await (await self.opened(new)).stopService()
        for release in RELEASES:
            with self.subTest(release):
                path = Path(self.mktemp())
                path.write_bytes(database(release))
                await (await self.opened(path)).stopService()
                self.assertEqual(tables(path), tables(new))
                self.assertEqual(tables(path)[1], [(STORE.application,), (len(STORE.steps),)])

    async def test_each_number_of_steps_can_be_the_last_one(self):
        """As when a file cannot be written any more in the middle of an upgrade."""
        for release in RELEASES:
            for taken in range(len(STORE.steps)):
                with self.subTest(release, taken=taken):
                    self.told = stored(release, "sqlite")
                    path = Path(self.mktemp())
                    path.write_bytes(database(release))
                    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                        before = STORE.check(connection)
                        for number in range(before, taken):
                            STORE.steps[number](connection)
                            connection.execute(f"PRAGMA user_version = {number + 1}")
                        connection.execute(f"PRAGMA application_id = {STORE.application}")
                    self.store = await self.opened(path)
                    await self.finds_conversations()
                    await self.store.stopService()


class RedisEarlierTests(EarlierContract, RedisCase):
    settings: ClassVar[dict[str, str]] = {"appendonly": "no"}
    retention = RETENTION

    async def test_everything_is_there(self):
        for release in RELEASES:
            with self.subTest(release):
                await self.store.stopService()
                await self.command("FLUSHALL")
                for key, left, value in keys(release):
                    await self.command("RESTORE", key, left, value)
                self.told = stored(release, "redis")
                self.store = self.started()
                await self.until(lambda: self.store.facts().get("schema") == NEWEST)
                await self.finds_everything()


class SuiteEarlierTests(ClusterCase):
    """A suite that is started on the data folder of the first release with accounts."""

    async def test_users_log_in_with_their_passwords_and_go_on(self):
        told = stored("93fa1d3", "sqlite")
        http, tcp = free_port(), free_port()
        data = Path(self.folder("data"))
        (data / "cim.db").write_bytes(database("93fa1d3"))
        options = (
            "--data",
            str(data),
            "--http",
            loopback(http),
            "--listen",
            loopback(tcp),
            "--retention-days",
            "36500",
        )
        suite = self.daemon("suite", http, *options)
        await self.started(suite)
        carol, dave = (self.client(suite, name, told["accounts"][name][1]) for name in ("carol", "dave"))
        await gatherResults([client.when_ready() for client in (carol, dave)])
        self.assertEqual([carol.me.id, dave.me.id], [told["accounts"][name][0] for name in ("carol", "dave")])
        for where, messages in told["pages"].items():
            name, conversation = where.split(" ")
            if name == "dave":
                found = [one for one in await dave.history(conversation, limit=100) if one.kind is Kind.TEXT]
                texts = [one["position"] for one in messages if one["kind"] == "TEXT"]
                self.assertEqual([one.position for one in found], texts)
        said = await carol.send(dave.me, "after all this time")
        await self.until(lambda: self.last(dave), lambda position: position == said.position, "it arrived")
        [group] = [group for group in await dave.groups() if group.name == "open True"]
        said = await dave.send(conversations.group(group.id), "here, too")
        await self.until(lambda: self.last(carol), lambda position: position == said.position, "it arrived")
        alice = User(self, "old alice")
        await alice.log_in(suite.url)
        self.assertEqual(alice.id, told["guests"]["old alice"])

    @staticmethod
    def last(client):
        return client.heard.messages[-1].position if client.heard.messages else ""

    def client(self, suite, name, password):
        client = Client(self.reactor, suite.url, Password(name, password))
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client


class HistoryEarlierTests(TestCase):
    """A client's history."""

    async def test_everything_is_there(self):
        from twisted.internet import reactor

        for release in set(RELEASES) - {FIRST}:
            with self.subTest(release):
                path = Path(self.mktemp())
                path.write_bytes(database(release, "history.db"))
                history = SqliteHistory(path, reactor)
                await history.open()
                told = stored(release, "sqlite")
                [conversation] = [one for one in await history.places() if one.startswith("p:")]
                # What had been read before the client was there is not in it.
                found = await history.page(conversation)
                messages = told["pages"][f"dave {conversation}"][-len(found) :]
                self.assertEqual([one.position for one in found], [one["position"] for one in messages])
                self.assertEqual([one.text for one in found][-2:], ["hello carol", "from my client"])
                self.assertEqual([one.text for one in await history.search("my client")], ["from my client"])
                await history.close()
                self.assertEqual(tables(path)[1], [(HISTORY.application,), (len(HISTORY.steps),)])
