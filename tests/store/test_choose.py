from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import InvalidField
from cim.interfaces import IStore
from cim.store.choose import Acknowledge, RedisAccess, store_from
from cim.store.redis.cluster.store import ClusterStore
from cim.store.redis.store import RedisStore
from cim.store.sqlite.store import SqliteStore
from tests.harness.certificates import certified


class StoreFromTests(SynchronousTestCase):
    def chosen(self, text, **options):
        store = store_from(text, MemoryReactorClock(), time_of_day=float, **options)
        verifyObject(IStore, store)
        self.assertNotEqual(store.health(), "")  # not started
        return store

    def test_redis(self):
        for text in ("redis:127.0.0.1:6379", "redis:redis.internal:6380/3", "redis:[::1]:6379", "redis:::1:6379/0"):
            self.assertIsInstance(self.chosen(text), RedisStore)
        store = self.chosen("redis:redis.internal:6380/3", access=RedisAccess(password="hunter2"), random=lambda: 0.5)
        self.assertIn("redis.internal:6380", store.health())
        self.assertNotIn("hunter2", repr((store.health(), store.facts())))

    def test_sqlite(self):
        store = self.chosen("sqlite:var/cim.db")
        self.assertIsInstance(store, SqliteStore)
        self.assertIn("var/cim.db", store.health())

    def test_the_error_says_what_is_wrong(self):
        for text, words in [
            ("", "redis:HOST:PORT[/DB], rediss:..., redis+sentinel:..., redis+cluster:... or sqlite:FILE"),
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
            ("redis+sentinel:localhost:26379/3", "must name a master and its Sentinels, redis+sentinel:NAME@HOST:PORT"),
            ("rediss+sentinel:main@one:26379,two", "rediss+sentinel:NAME@HOST:PORT[,HOST:PORT...][/DB]"),
            ("redis+sentinel:main@one:26379/x", "database"),
            ("sqlite:", "must name a file"),
            ("mysql:localhost", '"mysql:localhost"'),
        ]:
            error = self.assertRaises(InvalidField, store_from, text, MemoryReactorClock(), time_of_day=float)
            self.assertEqual(error.field, "store")
            self.assertIn(words, error.message)

    def refused(self, text, **access):
        """What is said of a store with that access, in which no secret is."""
        access = RedisAccess(**access)
        error = self.assertRaises(
            InvalidField, store_from, text, MemoryReactorClock(), time_of_day=float, access=access
        )
        self.assertEqual(error.field, "store")
        self.assertNotIn("hunter2", error.message)
        return error.message

    def test_what_does_not_go_together(self):
        for access in ({"user": "cim"}, {"password": "hunter2"}, {"ca": "ca.pem"}, {"certificate": "own.pem"}):
            self.assertIn("does not take a user, password or certificate", self.refused("sqlite:x.db", **access))
        self.assertIn("needs a password: give --store-password-file", self.refused("redis:redis1:6379", user="cim"))
        for name in ("ca", "certificate"):
            self.assertIn("with TLS it is rediss:HOST:PORT[/DB]", self.refused("redis:redis1:6379", **{name: "a.pem"}))

    def test_sentinels(self):
        for text in (
            "redis+sentinel:main@one:26379",
            "redis+sentinel:my_main@my_redis:26379,[fd00::1]:26379,10.0.0.1:26379/3",
            "rediss+sentinel:main@one:26379",
        ):
            self.assertIsInstance(self.chosen(text), RedisStore)
        access = RedisAccess(sentinel_user="cim", sentinel_password="hunter2")
        store = self.chosen("redis+sentinel:main@one:26379,two:26379/3", access=access)
        self.assertIn("main@one:26379,two:26379", store.health())
        self.assertNotIn("hunter2", repr((store.health(), store.facts())))
        self.assertIn("asks no Sentinels", self.refused("redis:redis1:6379", sentinel_password="hunter2"))
        message = self.refused("redis+sentinel:main@one:26379", sentinel_user="cim")
        self.assertIn("needs a password: give --sentinel-password-file", message)
        message = self.refused("redis+sentinel:main@one:26379", ca="ca.pem")
        self.assertIn("with TLS it is rediss+sentinel:NAME@HOST:PORT", message)
        self.assertIn("/nowhere cannot be read", self.refused("rediss+sentinel:main@one:26379", ca="/nowhere"))

    def test_clusters(self):
        for text in ("redis+cluster:one:6379", "redis+cluster:one:6379,[fd00::1]:6380", "rediss+cluster:one:6379"):
            self.assertIsInstance(self.chosen(text), ClusterStore)
        store = self.chosen("redis+cluster:one:6379,two:6379", access=RedisAccess("cim", "hunter2"))
        self.assertIn("one:6379,two:6379", store.health())
        self.assertNotIn("hunter2", repr((store.health(), store.facts())))
        for text in ("redis+cluster:", "redis+cluster:one", "redis+cluster:one:6379/0", "redis+cluster:one:6379,"):
            self.assertIn("must name nodes of a cluster, redis+cluster:HOST:PORT[,HOST:PORT...]", self.refused(text))
        self.assertIn("needs a password", self.refused("redis+cluster:one:6379", user="cim"))
        self.assertIn("asks no Sentinels", self.refused("redis+cluster:one:6379", sentinel_password="hunter2"))
        message = self.refused("redis+cluster:one:6379", ca="ca.pem")
        self.assertIn("with TLS it is rediss+cluster:HOST:PORT", message)
        self.assertIn("/nowhere cannot be read", self.refused("rediss+cluster:one:6379", ca="/nowhere"))

    def test_majorities(self):
        for text, shown in [("local", "local"), ("majority", "majority"), ("majority:3", "majority:3")]:
            self.assertEqual(str(Acknowledge.parse(text)), shown)
        for text in ("", "all", "local:3", "majority:", "majority:1", "majority:x", "majority:100", "majority:-3"):
            self.assertIn("must be local, majority or", str(self.assertRaises(ValueError, Acknowledge.parse, text)))

    def acknowledged(self, text, acknowledge):
        return self.chosen(text, acknowledge=Acknowledge.parse(acknowledge)).facts()["acknowledged"]

    def test_where_majorities_acknowledge(self):
        self.assertNotIn("servers", self.acknowledged("redis:one:6379", "local"))
        self.assertIn("3 of 5 Redis servers have it", self.acknowledged("redis:one:6379", "majority:5"))
        self.assertIn("3 of 5 Redis servers have it", self.acknowledged("redis+sentinel:main@one:1", "majority:5"))
        self.assertIn("2 of 3 Redis servers have it", self.acknowledged("redis+cluster:one:1", "majority:3"))
        # Before a Sentinel, or a node of the cluster, says of how many.
        self.assertIn("2 of 2 Redis servers have it", self.acknowledged("redis+cluster:one:1", "majority"))
        self.assertIn("2 of 2 Redis servers have it", self.acknowledged("redis+sentinel:main@one:1", "majority"))
        for text, words in [("redis:one:6379", "such as majority:3"), ("sqlite:x.db", "must be local")]:
            error = self.assertRaises(
                InvalidField,
                store_from,
                text,
                MemoryReactorClock(),
                time_of_day=float,
                acknowledge=Acknowledge.parse("majority"),
            )
            self.assertEqual(error.field, "acknowledge")
            self.assertIn(words, error.message)

    def file(self, pem, mode=0o600):
        path = Path(self.mktemp())
        path.write_bytes(pem)
        path.chmod(mode)
        return str(path)

    def test_tls(self):
        own = certified("route-1")
        # Whom to trust is no secret; what is shown holds a key.
        access = RedisAccess("cim", "hunter2", self.file(own.certificate_pem, 0o644), self.file(own.pem))
        for text in ("rediss:redis.internal:6380/3", "rediss:[::1]:6379"):
            self.assertIsInstance(self.chosen(text), RedisStore)
            self.assertIsInstance(self.chosen(text, access=access), RedisStore)
        self.assertIn("must name a host and a port, rediss:HOST", self.refused("rediss:localhost"))

    def test_certificates_that_cannot_be_used(self):
        own = certified("route-1")
        text = "rediss:redis1:6379"
        self.assertIn("/nowhere cannot be read: No such file", self.refused(text, ca="/nowhere"))
        self.assertIn("/nowhere cannot be read: No such file", self.refused(text, certificate="/nowhere"))
        for name in ("ca", "certificate"):
            self.assertIn("holds no PEM certificate", self.refused(text, **{name: self.file(b"hello")}))
        self.assertIn("holds no key", self.refused(text, certificate=self.file(own.certificate_pem)))
        others = self.file(own.certificate_pem + certified("route-2").key_pem)
        self.assertIn("is of another key", self.refused(text, certificate=others))
        self.assertIn("mode 0640", self.refused(text, certificate=self.file(own.pem, 0o640)))
