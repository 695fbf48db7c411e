"""Daemons that are started on data which is not for this release end with one line that says what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.harness.asking import ask
from tests.harness.daemons import loopback
from tests.harness.processes import HOST, RedisProcess, free_port
from tests.integration.test_twistd import TwistdCase

NEWER = "it has schema 99, and this release knows schemas up to "


class SuiteTests(TwistdCase):
    async def refused(self, reason):
        before = self.database.read_bytes()
        suite = self.suite("-n", ready_when=None)
        await suite.start()
        self.assertEqual(await suite.wait_for_exit(), 1)
        [line] = [line for line in suite.lines if "cannot start" in line]
        self.assertIn(f"cim cannot start: the store data/cim.db cannot be used: {reason}", line)
        self.assertQuiet(suite)
        self.assertEqual(self.database.read_bytes(), before)

    def setUp(self):
        super().setUp()
        self.database = Path(self.directory, "data", "cim.db")

    def changed(self, statement):
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement)

    async def test_a_newer_file_then_others(self):
        suite = self.suite("-n")
        await suite.start()
        await suite.stop()
        self.changed("PRAGMA user_version = 99")
        await self.refused(NEWER)
        self.changed("PRAGMA application_id = 7")
        await self.refused("it belongs to another application: name another file")
        self.database.write_bytes(b"This is not a database. " * 100)
        await self.refused("it is not a database: name another file, or restore a copy")


class RouteTests(TwistdCase):
    async def test_a_newer_redis(self):
        redis = RedisProcess(self.reactor, self.directory)
        self.addCleanup(redis.kill)
        await redis.start()
        await ask(self.reactor, HOST, redis.port, b"SET cim:schema 99\r\nQUIT\r\n")
        store = f"redis:{HOST}:{redis.port}"
        route = self.process("-n", "cim-route", "--http", loopback(free_port()), "--store", store)
        await route.start()
        self.assertEqual(await route.wait_for_exit(), 1)
        [line] = [line for line in route.lines if "cannot start" in line]
        self.assertIn(f"cim-route cannot start: Redis at {HOST}:{redis.port} cannot be used: {NEWER}", line)
        self.assertQuiet(route)
