"""Redis over TLS, with users and an ACL."""

from __future__ import annotations

import os
import re
from pathlib import Path

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import TestCase

from cim.daemon.clock import time_of_day
from cim.errors import StoreUnavailable
from cim.store.choose import RedisAccess, store_from
from tests.harness.certificates import certified
from tests.harness.spawning import free_port, private_file
from tests.integration.redis_case import RedisCase
from tests.store.contract import StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import RETENTION
from tests.store.credentials_contract import CredentialsContract
from tests.store.devices_contract import DevicesContract
from tests.store.groups_contract import GroupsContract

ETC = Path(__file__).resolve().parents[2] / "etc"

AUTHORITY = certified("an authority", ca=True)
OTHERS = certified("another authority", ca=True)
HOST = certified("127.0.0.1", signer=AUTHORITY)
CLIENT = certified("route-1", signer=AUTHORITY)


def file_of(case, pem):
    """A file with that, which only its owner can read."""
    path = os.path.abspath(case.mktemp())
    private_file(path, pem.decode())
    return path


async def away(case, store, *words):
    """Wait until the store says that Redis is away, and all of these words."""
    while not all(word in store.health() for word in ("is away", *words)):
        await deferLater(case.reactor, 0.01)
    return store.health()


class TLSCase(RedisCase):
    """A Redis with a TLS port beside the plain one, by which the test looks at it."""

    shown = HOST
    clients = "no"

    def process(self, **options):
        self.tls_port = free_port()
        self.ca = file_of(self, AUTHORITY.certificate_pem)
        self.settings = {
            "appendonly": "no",
            "tls-port": str(self.tls_port),
            "tls-cert-file": file_of(self, self.shown.certificate_pem),
            "tls-key-file": file_of(self, self.shown.key_pem),
            "tls-ca-cert-file": self.ca,
            "tls-auth-clients": self.clients,
        }
        return super().process(**options)

    def secured(self, *, host="127.0.0.1", **access):
        """A store over TLS as `--store` makes it, started."""
        access.setdefault("ca", self.ca)
        text = f"rediss:{host}:{self.tls_port}"
        store = store_from(
            text, self.reactor, time_of_day=time_of_day, access=RedisAccess(**access), random=lambda: 0.5
        )
        store.startService()
        self.addCleanup(store.stopService)
        return store


class TLSTests(TLSCase):
    async def test_a_store_works_over_it(self):
        store = self.secured()
        alice = await store.accounts.register("alice")
        self.assertEqual(await self.command("GET", f"cim-account:{alice.id}"), b"alice")
        self.assertEqual(store.health(), "")
        # Large replies, too.
        names = [f"name-{number}-{'x' * 1000}" for number in range(300)]
        for name in names:
            await self.command("SADD", "big", name)
        self.assertEqual(len(await store._connection.command("test", "SMEMBERS", "big")), 300)

    async def test_it_comes_back(self):
        store = self.secured()
        await store.accounts.register("alice")
        await self.redis.kill()
        await self.until(lambda: store.health())
        await self.redis.start()
        await self.until(lambda: not store.health())
        await store.accounts.register("bob")

    async def test_a_certificate_of_an_authority_that_is_not_trusted(self):
        store = self.secured(ca=file_of(self, OTHERS.certificate_pem))
        await away(self, store, "TLS failed: certificate verify failed")

    async def test_with_the_systems_authorities_alone(self):
        store = self.secured(ca=None)
        await away(self, store, "certificate verify failed")

    async def test_a_certificate_for_another_host(self):
        store = self.secured(host="localhost")
        await away(self, store, "its certificate is for another host")

    async def test_tls_where_none_is_spoken(self):
        store = self.started(port=self.tls_port)
        await away(self, store)


class ExpiredTests(TLSCase):
    shown = certified("127.0.0.1", signer=AUTHORITY, days=-1)

    async def test_an_expired_certificate(self):
        await away(self, self.secured(), "TLS failed: certificate verify failed")


class ClientCertificateTests(TLSCase):
    """A Redis that wants to know who its clients are, as it does when nobody tells it otherwise."""

    clients = "yes"

    async def test_whoever_has_one_is_let_in(self):
        store = self.secured(certificate=file_of(self, CLIENT.pem))
        await store.accounts.register("alice")

    async def test_others_are_not(self):
        await away(self, self.secured())


class Listening(Protocol):
    """Takes what it is told."""

    def dataReceived(self, data):
        self.factory.heard += data


class PasswordTests(TestCase):
    """A password is for Redis, and for nobody in its place."""

    timeout = 30

    async def heard(self, shown, **access):
        """What somebody at the port of `--store` is told by a route."""
        from twisted.internet import reactor

        self.reactor = reactor
        factory = Factory.forProtocol(Listening)
        factory.heard = b""
        certificate = PrivateCertificate.loadPEM(shown.pem)
        listening = TLSMemoryBIOFactory(certificate.options(), False, factory)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(listening)
        self.addCleanup(port.stopListening)
        access = RedisAccess(password="hunter2", ca=file_of(self, AUTHORITY.certificate_pem))
        store = store_from(f"rediss:127.0.0.1:{port.getHost().port}", reactor, time_of_day=time_of_day, access=access)
        store.startService()
        self.addCleanup(store.stopService)
        while "it did not answer" not in store.health() and "certificate" not in store.health():
            await deferLater(reactor, 0.01)
        return factory.heard

    async def test_redis_is_told(self):
        self.assertIn(b"hunter2", await self.heard(HOST))

    async def test_others_are_not(self):
        for shown in (
            certified("127.0.0.1"),
            certified("127.0.0.1", signer=OTHERS),
            certified("127.0.0.2", "redis.example", signer=AUTHORITY),
            certified("127.0.0.1", signer=AUTHORITY, days=-1),
        ):
            self.assertEqual(await self.heard(shown), b"")


class UserTests(RedisCase):
    """A user whom Redis's ACL knows."""

    settings = {"appendonly": "no"}

    async def user(self, *rules, password="hunter2", **access):
        """A store of a user of the ACL, over the plain port."""
        await self.command("ACL", "SETUSER", "cim", "reset", "on", ">hunter2", *rules)
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        access = RedisAccess(user="cim", password=password)
        store = store_from(
            f"redis:{self.redis.address}", self.reactor, time_of_day=time_of_day, access=access, random=lambda: 0.5
        )
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def refused(self):
        """Which commands the log says are refused, and what it says follows."""
        return [
            (event["command"], event["follows"])
            for event in self.log
            if "refuses {command}" in (event["log_format"] or "")
        ]

    async def test_one_who_may_do_all(self):
        store = await self.user("~*", "+@all")
        await store.accounts.register("alice")
        self.assertEqual(self.refused(), [])
        self.assertNotIn("store_refuses", store.facts())

    async def test_a_wrong_password(self):
        store = await self.user("~*", "+@all", password="hunter3")
        await away(self, store, "it refuses the user or the password (WRONGPASS")

    async def test_info_and_config_are_not_needed(self):
        store = await self.user("~*", "+@all", "-info", "-config")
        alice = await store.accounts.register("alice")
        self.assertEqual(await store.accounts.account(alice.id), alice)
        self.assertEqual(store.health(), "")
        self.assertEqual(store.facts()["store_refuses"], ["CONFIG", "INFO"])
        (info, follows_info), (config, follows_config) = self.refused()
        self.assertEqual((info, config), ("INFO", "CONFIG"))
        self.assertIn("no replica", follows_info)
        self.assertIn("what an acknowledged message has survived", follows_config)

    async def test_without_info_every_connection_begins_an_epoch(self):
        store = await self.user("~*", "+@all", "-info")
        await store.accounts.register("alice")
        first = store._connection.epoch.number
        await self.command("CLIENT", "KILL", "USER", "cim")
        await self.until(lambda: store._connection.epoch.number > first)
        await store.accounts.register("bob")
        # It is told once, and not again with each connection.
        self.assertEqual(len(self.refused()), 1)

    async def test_with_it_one_run_of_redis_has_one(self):
        store = await self.user("~*", "+@all")
        await store.accounts.register("alice")
        first = store._connection.epoch.number
        before = store._connection._protocol
        await self.command("CLIENT", "KILL", "USER", "cim")
        await self.until(lambda: store._connection._protocol not in (None, before))
        self.assertEqual(store._connection.epoch.number, first)

    async def test_what_is_needed_is_named(self):
        for rule, words in (
            ("-time", "it refuses TIME, without which nothing can be stored (NOPERM"),
            ("-ping", "'ping'"),
        ):
            store = await self.user("~*", "+@all", rule)
            await away(self, store, words)

    async def test_a_call_that_is_refused_is_named(self):
        store = await self.user("~*", "+@all", "-mget")
        account = store.accounts.account(1)
        await self.assertFailure(account, Exception)
        self.assertIn("NOPERM", store.health())


class AsDocumented(RedisCase):
    """The rules for a route that etc/redis.conf shows are enough for all that a store does."""

    rules = re.search(r"^#   user cim on #HASH (.+)$", (ETC / "redis.conf").read_text(), re.MULTILINE)[1]
    settings = {"appendonly": "no", "user": f"cim on >hunter2 {rules}"}

    def started(self, **options):
        return super().started(user="cim", password="hunter2", **options)


class DocumentedACLTests(StoreContract, DevicesContract, AsDocumented):
    async def test_what_a_route_does_at_start_and_with_accounts_of_upstream(self):
        await self.command("SET", "cim-account:1545574049323", "zhangsan")
        await self.command("SET", "zhangsan", "cim-account:1545574049323")
        account = await self.store.accounts.register("zhangsan")
        self.assertEqual(account.id, 1545574049323)
        self.assertNotIn("store_refuses", self.store.facts())
        self.assertIn("acknowledged", self.store.facts())

    async def test_what_is_none_of_its_business(self):
        await self.until(lambda: self.store._connection._protocol)
        for words in (
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("CONFIG", "SET", "appendonly", "no"),
            ("ACL", "LIST"),
            ("SHUTDOWN", "NOSAVE"),
        ):
            await self.assertFailure(self.store._connection.command("test", *words), StoreUnavailable)
            self.assertIn("NOPERM", self.store.health(), words)


class DocumentedACLConversationsTests(ConversationsContract, AsDocumented):
    retention = RETENTION


class DocumentedACLGroupsTests(GroupsContract, CredentialsContract, AsDocumented):
    pass
