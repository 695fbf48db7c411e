"""Stores on a Redis with replicas and Sentinels, whose master dies, hangs, or loses its replicas."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import ClassVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import TestCase

from cim.daemon.clock import time_of_day
from cim.errors import StoreUnavailable
from cim.model import Append, Appended
from cim.store.choose import Acknowledge, RedisAccess, store_from
from cim.wire import native, positions
from cim.wire.cim_pb2 import TEXT, Send
from tests.harness.redis_set import NAME, RedisSet, Sentinel
from tests.harness.spawning import THIS_MACHINE, free_port
from tests.harness.valkey import valkey_server
from tests.integration.test_store_tls import OTHERS, TLSCase, away, file_of

ETC = Path(__file__).parent.parent.parent / "etc"


class Talk:
    """One who says numbers in a conversation of its own through a store, each until it is accepted, and one who reads.

    :ivar accepted: number -> position
    :ivar seen: position -> number, as the reader saw it
    :ivar wrong: what may not happen
    """

    def __init__(self, reactor, user, writes, reads):
        self._reactor = reactor
        self.user = user
        self.conversation = f"p:{user}:{user + 1}"
        self._writes, self._reads = writes, reads
        self._ended = False
        self.accepted = {}
        self.seen = {}
        self.wrong = []
        self.unknown = 0
        self._work = [Deferred.fromCoroutine(work) for work in (self._say(), self._read())]

    async def end(self):
        self._ended = True
        await gatherResults(self._work)

    async def _say(self):
        number = 0
        while not self._ended:
            number += 1
            after = str(number - 1) if number > 1 else ""
            sent_at = int(time_of_day() * 1000)
            send = Send(client_id=str(number), text=str(number), kind=TEXT)
            body = native.body_of(send, self.user, "", sent_at)
            digest = native.digest(send)
            item = Append(self.conversation, self.user, str(number), digest, body, sent_at, after=after)
            while number not in self.accepted and not self._ended:
                try:
                    (result,) = await self._writes.conversations.append([item])
                except StoreUnavailable as error:
                    result = error
                if isinstance(result, Appended):
                    self.accepted[number] = result.position
                else:
                    self.unknown += 1
                    if not isinstance(result, StoreUnavailable):
                        self.wrong.append(f"{number}: {result!r}")
                    await deferLater(self._reactor, 0.05)

    async def _read(self):
        while not self._ended:
            try:
                await self.look(self._reads)
            except StoreUnavailable:
                pass
            await deferLater(self._reactor, 0.02)

    async def look(self, store, after=None):
        """Read what is new, or all after a position."""
        start = after if after is not None else max(self.seen, key=positions.parse, default="")
        found = {}
        more = True
        while more:
            page = await store.conversations.read(self.conversation, after=start, limit=500)
            found.update({entry.position: int(native.parse_body(entry.body).text) for entry in page.entries})
            start, more = page.upto, page.more
        self.seen.update(found)
        return found

    async def judge(self, store):
        """Return what is wrong: lost, doubled, reordered, or seen and gone."""
        found = await self.look(store, "")
        numbers = [found[position] for position in sorted(found, key=positions.parse)]
        wrong = list(self.wrong)
        if numbers != sorted(set(numbers)):
            wrong.append(f"doubled or reordered: {numbers}")
        wrong += [f"lost: {number}" for number, at in self.accepted.items() if found.get(at) != number]
        wrong += [f"seen and gone: {number} at {at}" for at, number in self.seen.items() if found.get(at) != number]
        return wrong


class SentinelCase(TestCase):
    timeout = 120
    acknowledge = "majority"
    access = RedisAccess()
    settings: dict[str, str] = {}
    sentinel_settings: dict[str, str] = {}
    program = "redis-server"

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        directory = self.mktemp()
        os.makedirs(directory)
        self.set = RedisSet(
            reactor,
            directory,
            settings=self.settings,
            sentinel_settings=self.sentinel_settings,
            program=self.program,
        )
        self.addCleanup(self.set.stop)
        await self.set.start()
        self.store, self.other = [self.started() for _ in range(2)]
        await self.until(lambda: not self.store.health() and not self.other.health())

    def started(self, where=None):
        store = store_from(
            where or self.set.store,
            self.reactor,
            time_of_day=time_of_day,
            access=self.access,
            acknowledge=Acknowledge.parse(self.acknowledge),
            random=lambda: 0.5,
        )
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def until(self, true, seconds=20.0):
        deadline = self.reactor.seconds() + seconds
        while not true():
            if self.reactor.seconds() > deadline:
                self.fail(f"not within {seconds} s: {self.store.health()!r}")
            await deferLater(self.reactor, 0.01)

    def talks(self, count=4):
        """Begin to talk: each is written through one store and read through the other."""
        stores = [self.store, self.other]
        return [Talk(self.reactor, 100 * number, *stores[:: number % 2 * 2 - 1]) for number in range(1, count + 1)]

    async def go_on(self, talks, more=20):
        """Wait until each talk has got further."""
        goals = [len(talk.accepted) + more for talk in talks]
        await self.until(lambda: all(len(talk.accepted) >= goal for talk, goal in zip(talks, goals, strict=True)))

    async def judged(self, talks):
        for talk in talks:
            await talk.end()
        wrong = [complaint for talk in talks for complaint in await talk.judge(self.store)]
        self.assertEqual(wrong, [])

    def said(self, part):
        lines = (event["log_format"].format(**event) for event in self.logged if event.get("log_format"))
        return [line for line in lines if part in line]


class MajorityTests(SentinelCase):
    async def test_the_master_is_killed_and_comes_back(self):
        talks = self.talks()
        await self.go_on(talks)
        master = await self.set.master()
        await master.kill()
        began = self.reactor.seconds()
        await self.go_on(talks)
        self.assertTrue(self.reactor.seconds() - began < 10)
        self.assertEqual(len(self.said(f"; it was at {master.address}")), 2)
        await master.start()
        await self.go_on(talks)
        await self.judged(talks)

    async def test_a_master_that_stood_still_is_left(self):
        talks = self.talks()
        await self.go_on(talks)
        master = await self.set.master()
        master.pause()
        self.addCleanup(master.resume)
        await self.go_on(talks)
        master.resume()
        await self.go_on(talks)
        await self.judged(talks)
        self.assertNotIn(master.address, self.store.facts()["store"])

    async def test_without_replicas_nothing_is_acknowledged_or_shown(self):
        """A majority of three is the master and one replica."""
        one, two = self.set.members[1:]
        talks = self.talks()
        await self.go_on(talks)
        one.pause()
        self.addCleanup(one.resume)
        await self.go_on(talks)
        two.pause()
        self.addCleanup(two.resume)
        await self.until(lambda: "no replica confirms what is written, and a majority of 3" in self.store.health())
        before = [dict(talk.accepted) for talk in talks]
        # Its master has it, but nobody is to see it.
        fresh = self.started()
        with self.assertRaises(StoreUnavailable):
            await fresh.conversations.read(talks[0].conversation, limit=10)
        self.assertEqual([talk.accepted for talk in talks], before)
        two.resume()
        await self.go_on(talks)
        one.resume()
        await self.judged(talks)

    async def test_too_few_that_lag_are_unavailable_and_lose_nothing(self):
        """What the master alone has is not acknowledged; when it dies, it is gone, and nobody has seen it."""
        talks = self.talks()
        await self.go_on(talks)
        replicas = self.set.members[1:]
        for replica in replicas:
            replica.pause()
            self.addCleanup(replica.resume)
        # What the master has sent them waits in their sockets.
        await self.set.members[0].command("CLIENT", "KILL", "TYPE", "replica")
        await deferLater(self.reactor, 1.5)  # routes write and look at the epoch
        await self.set.members[0].kill()
        for replica in replicas:
            replica.resume()
        await self.go_on(talks)
        await self.judged(talks)
        self.assertEqual(len(self.said("another process serves it")), 1)
        self.assertEqual(self.said("it is as it was before"), [])

    async def test_facts(self):
        facts = self.store.facts()
        self.assertEqual(facts["store"], f"Redis at {self.set.members[0].address}")
        self.assertIn("2 of 3 Redis servers have it", facts["acknowledged"])
        self.assertEqual(facts["sentinels"], "all 3 answer")
        await self.set.sentinels[1].kill()
        await self.until(lambda: f"Sentinel at {self.set.sentinels[1].address}: " in self.store.facts()["sentinels"])
        self.assertEqual(self.store.health(), "")


class LocalTests(SentinelCase):
    acknowledge = "local"

    async def test_a_master_that_is_cut_off_is_not_written_to_any_longer(self):
        """It goes on and would take writes, but all Sentinels name another one."""
        first = self.set.members[0]
        await self.store.accounts.register("alice")
        await self.set.sentinels[0].command("SENTINEL", "FAILOVER", NAME)
        # How often it is away and back in between differs from run to run.
        await self.until(lambda: not self.store.health() and first.address not in self.store.facts()["store"])
        self.assertEqual((await self.store.accounts.named("alice")).name, "alice")

    async def test_a_replica_that_is_named_is_said(self):
        replica = self.set.members[1]
        store = self.started(f"redis:{replica.address}")
        await self.until(lambda: "it is a replica, which takes no writes: name the master" in store.health())


def documented(name, line):
    """What follows the beginning of a line in a sample."""
    found = re.search(rf"^#   {re.escape(line)} (.+)$", (ETC / name).read_text(), re.MULTILINE)
    return found[1]


def user(name, file, password):
    """The setting of a user as in a sample."""
    rules = documented(file, f"user {name} on #HASH")
    return {f"user {name} on": f"#{hashlib.sha256(password.encode()).hexdigest()} {rules}"}


class DocumentedAccessTests(SentinelCase):
    """Users with the rules of the samples; the harness uses the default user, which the samples shut out."""

    access = RedisAccess("cim", "hunter2", sentinel_user="cim", sentinel_password="hunter3")
    settings: ClassVar = {
        **user("cim", "redis.conf", "hunter2"),
        **user("replica", "redis.conf", "hunter4"),
        **user("sentinel", "redis.conf", "hunter5"),
        "masteruser": "replica",
        "masterauth": "hunter4",
    }
    sentinel_settings: ClassVar = {
        f"sentinel auth-user {NAME}": "sentinel",
        f"sentinel auth-pass {NAME}": "hunter5",
        **user("cim", "sentinel.conf", "hunter3"),
    }

    async def test_they_suffice_for_a_failover(self):
        talks = self.talks(2)
        await self.go_on(talks)
        await (await self.set.master()).kill()
        await self.go_on(talks)
        await self.judged(talks)
        self.assertEqual([self.store.facts().get("store_refuses"), self.store.health()], [None, ""])


class ValkeyTests(SentinelCase):
    """Valkey's servers, and Sentinels of its own."""

    program = valkey_server()

    async def test_the_master_is_killed(self):
        talks = self.talks(2)
        await self.go_on(talks)
        await (await self.set.master()).kill()
        await self.go_on(talks)
        await self.judged(talks)
        self.assertIn("Valkey", self.store.facts()["version"])


class TLSTests(TLSCase):
    async def test_sentinels_and_redis_over_tls(self):
        settings = {name: value for name, value in self.settings.items() if name.startswith("tls")}
        settings |= {"tls-port": str(free_port()), "tls-replication": "yes"}
        settings[f"sentinel monitor {NAME}"] = f"127.0.0.1 {self.tls_port} 1"
        sentinel = Sentinel(self.reactor, self.mktemp(), self.redis, 1, settings, THIS_MACHINE)
        self.addCleanup(sentinel.kill)
        await sentinel.start()
        for ca, word in ((self.ca, ""), (file_of(self, OTHERS.certificate_pem), "certificate verify failed")):
            store = store_from(
                f"rediss+sentinel:{NAME}@127.0.0.1:{settings['tls-port']}",
                self.reactor,
                time_of_day=time_of_day,
                access=RedisAccess(ca=ca),
                random=lambda: 0.5,
            )
            store.startService()
            self.addCleanup(store.stopService)
            if word:
                await away(self, store, "no Sentinel names the master", word)
            else:
                account = await store.accounts.register("alice")
        self.assertEqual(await self.command("GET", f"cim-account:{account.id}"), b"alice")
