"""A cluster of real processes whose Redis is emptied, goes back to minutes ago, or comes with other data.

Whatever was lost with it, logins, messages, groups and pages work within seconds, without a restart of anything else.
"""

from __future__ import annotations

import os
import shutil

from twisted.internet.defer import gatherResults

from cim.client.client import Client
from cim.client.values import Password, State
from cim.daemon.clock import time_of_day
from cim.errors import Unauthorized
from cim.route.messages.delivery import BY_USER
from cim.store.choose import RedisAccess, store_from
from cim.wire import positions
from tests.client.client_case import Listener
from tests.harness.daemons import UNLIMITED
from tests.integration.cluster_case import PASSWORD, ClusterCase

#: Within how many seconds all is to work again, on a busy machine.
SECONDS = 15.0


class RestoreCase(ClusterCase):
    timeout = 300

    def client(self, name, device, *, create=True, route=0):
        """Return a running client that remembers what it heard."""
        credentials = Password(name, f"password of {name}", create=create)
        client = Client(self.reactor, self.routes[route].url, credentials, device=device)
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def ready(self, *clients):
        await gatherResults([client.when_ready() for client in clients]).addTimeout(SECONDS, self.reactor)

    def look_into_redis(self):
        """Return a store of the test's own on the same Redis."""
        store = store_from(
            f"redis:{self.redis.address}", self.reactor, time_of_day=time_of_day, access=RedisAccess(password=PASSWORD)
        )
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def begin(self):
        """Start a cluster, and have two talk."""
        self.servers, self.routes = await self.cluster(2, 2, *UNLIMITED, "--login-policy", "many")
        self.store = self.look_into_redis()
        self.alice, self.bob = self.client("alice", "desk"), self.client("bob", "phone", route=1)
        await self.ready(self.alice, self.bob)
        self.said = []
        await self.say(self.alice, self.bob.me, "first")

    async def say(self, client, to, text):
        """Say something, and return its position, which must be a new one."""
        sent = await client.send(to, text).addTimeout(SECONDS, self.reactor)
        self.assertNotIn((sent.conversation, sent.position), self.said)
        self.said.append((sent.conversation, sent.position))
        return sent.position

    async def hears(self, client, *texts):
        """Wait until a client has heard texts, each once and in this order."""
        await self.until(
            lambda: [text for text in client.heard.texts if text in texts],
            lambda heard: heard == list(texts),
            f"{client.me} hears {texts}",
            SECONDS,
        )

    async def group_of_many(self):
        """Return a large group with alice and bob, which all servers know; the others are never there."""
        groups = self.store.groups
        group = await groups.create(self.alice.me.id, "many", open=True, history=True)
        users = [self.bob.me.id, *range(1, BY_USER + 10)]
        await gatherResults([groups.add(group.id, user, user) for user in users])
        await self.is_known_in(group.id, self.bob)
        return group.id

    async def is_known_in(self, group, member):
        """Wait until a member's server knows it: routes look every two seconds what others have changed."""
        text = f"are you there, {member.me.name}?"

        async def heard():
            await self.say(self.alice, f"g:{group}", text)
            return member.heard.texts

        await self.until(heard, lambda texts: text in texts, f"{member.me} is in the index", SECONDS)

    async def works(self, text):
        """Two who are new log in over different routes, and talk with those who were there."""
        new = self.client(f"new {text}", "desk"), self.client(f"newer {text}", "phone", route=1)
        await self.ready(*new)
        await self.say(new[0], new[1].me, f"{text} 1")
        await self.say(new[1], new[0].me, f"{text} 2")
        await self.hears(new[0], f"{text} 2")
        await self.hears(new[1], f"{text} 1")
        group = await self.store.groups.create(new[0].me.id, "group", open=True, history=True)
        await self.store.groups.add(group.id, new[1].me.id, new[1].me.id)
        await self.say(new[0], f"g:{group.id}", f"{text} 3")
        await self.hears(new[1], f"{text} 3")
        guests = await self.users(self.routes[0].url, f"guest {text}", f"other {text}")
        await self.everyone_hears(guests[0], [guests[1]], [route.url for route in self.routes], text)


class EmptiedTests(RestoreCase):
    async def test_while_it_runs_and_by_a_restart(self):
        await self.begin()
        (guest,) = await self.users(self.routes[0].url, "guest")
        group = await self.group_of_many()
        await self.say(self.alice, f"g:{group}", "to many")
        await self.hears(self.bob, "to many")
        await self.redis.command("FLUSHALL")
        for client in (self.alice, self.bob):
            with self.assertRaises(Unauthorized):
                await client.when_closed().addTimeout(SECONDS, self.reactor)
        await guest.connection.lost.addTimeout(SECONDS, self.reactor)
        await self.works("flushed")
        await self.redis.kill()
        shutil.rmtree(os.path.join(self.redis.directory, "appendonlydir"))
        await self.redis.start()
        await self.works("restarted")


class RestoredTests(RestoreCase):
    async def test_minutes_ago(self):
        await self.begin()
        group = await self.group_of_many()
        urls = [route.url for route in self.routes]
        guest, other = await self.users(urls[0], "guest", "other")
        tablet = self.client("alice", "tablet")
        await self.ready(tablet)
        await self.say(self.bob, self.alice.me, "kept")
        await self.hears(self.alice, "first", "kept")
        await self.redis.command("SAVE")
        copy = os.path.join(self.directory, "copy")
        shutil.copytree(self.redis.directory, copy)

        # Much goes on: the log of groups goes on, a device logs in again, accounts are made, members come and go.
        carol = self.client("carol", "desk")
        await self.ready(carol)
        await tablet.close()
        tablet = self.client("alice", "tablet", route=1)
        await self.ready(tablet)
        groups = self.store.groups
        await groups.remove(group, self.bob.me.id, self.bob.me.id)
        await groups.add(group, carol.me.id, carol.me.id)
        late = await groups.create(carol.me.id, "late", open=True, history=True)
        for _ in range(20):
            await groups.add(late.id, self.bob.me.id, self.bob.me.id)
            await groups.remove(late.id, self.bob.me.id, self.bob.me.id)
        await self.is_known_in(group, carol)
        await self.say(self.alice, f"g:{group}", "lost")
        await self.say(self.bob, self.alice.me, "lost, too")
        await self.hears(carol, "lost")
        await self.hears(tablet, "lost", "lost, too")

        await self.redis.kill()
        shutil.rmtree(self.redis.directory)
        shutil.copytree(copy, self.redis.directory)
        await self.redis.start()
        with self.assertRaises(Unauthorized):
            await carol.when_closed().addTimeout(SECONDS, self.reactor)
        # Who has an account is there all the time, and in the groups that the store knows, each on every device.
        await self.works("restored")
        await self.say(self.alice, f"g:{group}", "to many")
        await self.say(self.bob, self.alice.me, "after")
        await self.hears(self.bob, "first", "to many")
        for client in (self.alice, tablet):
            await self.hears(client, "lost", "lost, too", "to many", "after")
        await self.everyone_hears(guest, [other], urls, "guests go on")
        self.assertEqual([client.state for client in (self.alice, self.bob, tablet)], [State.READY] * 3)
        # Who comes without a history is given what the store has, once and in order.
        again = self.client("bob", "another", route=1)
        await self.ready(again)
        page = await self.store.conversations.read(f"g:{group}", limit=100)
        rising = [positions.parse(entry.position) for entry in page.entries]
        self.assertEqual(rising, sorted(set(rising)))
