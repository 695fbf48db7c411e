from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import InvalidField
from cim.interfaces import IStore
from cim.store.choose import store_from
from cim.store.redis.store import RedisStore
from cim.store.sqlite.store import SqliteStore


class StoreFromTests(SynchronousTestCase):
    def chosen(self, text, **options):
        store = store_from(text, MemoryReactorClock(), **options)
        verifyObject(IStore, store)
        self.assertNotEqual(store.health(), "")  # not started
        return store

    def test_redis(self):
        for text in ("redis:127.0.0.1:6379", "redis:redis.internal:6380/3", "redis:[::1]:6379", "redis:::1:6379/0"):
            self.assertIsInstance(self.chosen(text), RedisStore)
        store = self.chosen("redis:redis.internal:6380/3", password="hunter2", random=lambda: 0.5)
        self.assertIn("redis.internal:6380", store.health())
        self.assertNotIn("hunter2", repr((store.health(), store.facts())))

    def test_sqlite(self):
        store = self.chosen("sqlite:var/cim.db")
        self.assertIsInstance(store, SqliteStore)
        self.assertIn("var/cim.db", store.health())

    def test_the_error_says_what_is_wrong(self):
        for text, words in [
            ("", "redis:HOST:PORT[/DB] or sqlite:FILE"),
            ("redis", "must name a host and a port"),
            ("redis:", "must name a host and a port"),
            ("redis:localhost", "must name a host and a port"),
            ("redis:localhost:", "must name a host and a port"),
            ("redis::6379", "must name a host and a port"),
            ("redis:localhost:0", "must name a host and a port"),
            ("redis:localhost:65536", "must name a host and a port"),
            ("redis:localhost:six", "must name a host and a port"),
            ("redis:localhost:6379/", "database"),
            ("redis:localhost:6379/x", "database"),
            ("redis:localhost:6379/-1", "database"),
            ("redis+sentinel:localhost:26379/master", "is not supported: name the master"),
            ("sqlite:", "must name a file"),
            ("mysql:localhost", '"mysql:localhost"'),
        ]:
            error = self.assertRaises(InvalidField, store_from, text, MemoryReactorClock())
            self.assertEqual(error.field, "store")
            self.assertIn(words, error.message)

    def test_a_password_for_sqlite_is_refused(self):
        self.assertRaises(InvalidField, store_from, "sqlite:x.db", MemoryReactorClock(), password="secret")
