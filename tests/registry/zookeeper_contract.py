"""The contract of every IZooKeeper; run on the one in memory and on the real one."""

from __future__ import annotations

from functools import wraps

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import RegistryUnavailable
from cim.registry.izookeeper import (
    IZooKeeper,
    NodeChange,
    NodeExists,
    NodeStat,
    NoNode,
    RegistryRefused,
    ZooKeeperState,
)


def scenario(method):
    """Turn a coroutine method into a test, which the test case's `play` runs."""

    @wraps(method)
    def test(self):
        return self.play(method(self))

    return test


class ZooKeeperContract:
    """A test case provides `root` (a node's path), `connect()`, `unstarted()`, `expire(client)`, `play(coroutine)`."""

    def path(self, name):
        return f"{self.root}/{name}"

    async def failing(self, deferred, error):
        try:
            result = await deferred
        except error:
            return
        self.fail(f"no {error.__name__}, but {result!r}")

    @scenario
    async def test_interface(self):
        verifyObject(IZooKeeper, await self.connect())

    @scenario
    async def test_create_get(self):
        client = await self.connect()
        self.assertEqual(await client.create(self.path("a"), b"one"), self.path("a"))
        self.assertEqual(await client.get(self.path("a")), (b"one", NodeStat(0, 0)))
        await client.create(self.path("e"), b"two", ephemeral=True)
        self.assertEqual(await client.get(self.path("e")), (b"two", NodeStat(client.session, 0)))

    @scenario
    async def test_missing_and_existing_nodes(self):
        client = await self.connect()
        await client.create(self.path("a"))
        await self.failing(client.create(self.path("a")), NodeExists)
        await self.failing(client.create(self.path("b/c")), NoNode)
        await self.failing(client.get(self.path("b")), NoNode)
        await self.failing(client.set(self.path("b"), b""), NoNode)
        await self.failing(client.delete(self.path("b")), NoNode)
        await self.failing(client.children(self.path("b")), NoNode)
        self.assertIsNone(await client.exists(self.path("b")))

    @scenario
    async def test_set_and_versions(self):
        client = await self.connect()
        await client.create(self.path("a"), b"one")
        self.assertEqual(await client.set(self.path("a"), b"two", 0), NodeStat(0, 1))
        self.assertEqual(await client.get(self.path("a")), (b"two", NodeStat(0, 1)))
        await self.failing(client.set(self.path("a"), b"three", 0), RegistryRefused)
        await self.failing(client.delete(self.path("a"), 0), RegistryRefused)
        await client.delete(self.path("a"), 1)
        self.assertIsNone(await client.exists(self.path("a")))

    @scenario
    async def test_refused(self):
        client = await self.connect()
        await client.create(self.path("e"), ephemeral=True)
        await self.failing(client.create(self.path("e/child")), RegistryRefused)
        await client.ensurePath(self.path("a/b"))
        await self.failing(client.delete(self.path("a")), RegistryRefused)

    @scenario
    async def test_children(self):
        client = await self.connect()
        self.assertEqual(await client.children(self.root), [])
        await client.create(self.path("a"))
        await client.create(self.path("b"))
        await client.create(self.path("a/inner"))
        self.assertEqual(sorted(await client.children(self.root)), ["a", "b"])

    @scenario
    async def test_ensure_path(self):
        client = await self.connect()
        await gatherResults([client.ensurePath(self.path("a/b/c")), client.ensurePath(self.path("a/b/d"))])
        await client.ensurePath(self.path("a/b/c"))
        self.assertEqual(sorted(await client.children(self.path("a/b"))), ["c", "d"])

    @scenario
    async def test_replies_come_in_the_order_of_calls(self):
        client = await self.connect()
        seen = []
        calls = [
            client.create(self.path("a")),
            client.get(self.path("a")),
            client.create(self.path("b")),
            client.children(self.root),
            client.exists(self.path("b")),
        ]
        for number, call in enumerate(calls):
            call.addCallback(lambda _, number=number: seen.append(number))
        await gatherResults(calls)
        self.assertEqual(seen, [0, 1, 2, 3, 4])

    @scenario
    async def test_child_watch(self):
        client, other = await self.connect(), await self.connect()
        names, watch = client.childrenAndWatch(self.root)
        self.assertEqual(await names, [])
        await other.create(self.path("a"))
        self.assertIs(await watch, NodeChange.CHILDREN)
        names, watch = client.childrenAndWatch(self.root)
        self.assertEqual(await names, ["a"])
        await other.set(self.path("a"), b"changed")
        await client.exists(self.path("a"))
        self.assertFalse(watch.called, "data is not children")
        await other.delete(self.path("a"))
        self.assertIs(await watch, NodeChange.CHILDREN)

    @scenario
    async def test_child_watch_of_a_folder_that_is_deleted(self):
        client = await self.connect()
        await client.create(self.path("a"))
        names, watch = client.childrenAndWatch(self.path("a"))
        await names
        await client.delete(self.path("a"))
        self.assertIs(await watch, NodeChange.DELETED)

    @scenario
    async def test_node_watches(self):
        client, other = await self.connect(), await self.connect()
        there, watch = client.existsAndWatch(self.path("a"))
        self.assertIsNone(await there)
        await other.create(self.path("a"), b"one")
        self.assertIs(await watch, NodeChange.CREATED)
        read, watch = client.getAndWatch(self.path("a"))
        self.assertEqual((await read)[0], b"one")
        await other.set(self.path("a"), b"two")
        self.assertIs(await watch, NodeChange.CHANGED)
        read, watch = client.getAndWatch(self.path("a"))
        await read
        await other.delete(self.path("a"))
        self.assertIs(await watch, NodeChange.DELETED)

    @scenario
    async def test_a_watch_that_was_not_set_never_fires(self):
        client = await self.connect()
        read, watch = client.getAndWatch(self.path("a"))
        await self.failing(read, NoNode)
        await client.create(self.path("a"))
        await client.set(self.path("a"), b"two")
        await self.expire(client)
        self.assertFalse(watch.called)

    @scenario
    async def test_cancelled_watch(self):
        client = await self.connect()
        names, cancelled = client.childrenAndWatch(self.root)
        await names
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        names, watch = client.childrenAndWatch(self.root)
        await names
        await client.create(self.path("a"))
        self.assertIs(await watch, NodeChange.CHILDREN)

    @scenario
    async def test_end_of_a_session(self):
        client, other = await self.connect(), await self.connect()
        await other.create(self.path("e"), ephemeral=True)
        names, watch = client.childrenAndWatch(self.root)
        self.assertEqual(await names, ["e"])
        states = []
        other.onStateChange(lambda state, session: states.append(state))
        await other.stopService()
        self.assertIs(await watch, NodeChange.CHILDREN)
        self.assertEqual(await client.children(self.root), [])
        self.assertEqual(states, [ZooKeeperState.LOST])
        await self.failing(other.children(self.root), RegistryUnavailable)

    @scenario
    async def test_expiry(self):
        client = await self.connect()
        session = client.session
        await client.create(self.path("e"), ephemeral=True)
        await client.create(self.path("p"))
        names, watch = client.childrenAndWatch(self.root)
        await names
        read, node_watch = client.getAndWatch(self.path("p"))
        await read
        changes = []
        client.onStateChange(lambda state, session: changes.append((state, session)))
        await self.expire(client)
        self.assertIs(await watch, NodeChange.UNKNOWN)
        self.assertIs(await node_watch, NodeChange.UNKNOWN)
        self.assertNotEqual(client.session, session)
        self.assertEqual(
            changes,
            [
                (ZooKeeperState.SUSPENDED, session),
                (ZooKeeperState.LOST, session),
                (ZooKeeperState.CONNECTED, client.session),
            ],
        )
        self.assertEqual(await client.children(self.root), ["p"])

    @scenario
    async def test_before_it_is_connected(self):
        client = self.unstarted()
        self.assertEqual((client.state, client.session), (ZooKeeperState.LOST, None))
        await self.failing(client.children(self.root), RegistryUnavailable)
        read, _ = client.childrenAndWatch(self.root)
        await self.failing(read, RegistryUnavailable)
        connected = client.whenConnected()
        cancelled = client.whenConnected().addErrback(lambda _: None)
        cancelled.cancel()
        seen = []
        unsubscribe = client.onStateChange(lambda state, session: seen.append("no more"))
        client.onStateChange(lambda state, session: seen.append((state, session)))
        unsubscribe()
        unsubscribe()
        self.assertFalse(connected.called)
        client.startService()
        await connected
        self.assertEqual(seen, [(ZooKeeperState.CONNECTED, client.session)])
        await client.whenConnected()

    @scenario
    async def test_stop_ends_what_waits(self):
        client = await self.connect()
        calls = [client.children(self.root), client.childrenAndWatch(self.root)[0]]
        stopped = client.stopService()
        for call in calls:
            await self.failing(call, RegistryUnavailable)
        await stopped
        unstarted = self.unstarted()
        connected = unstarted.whenConnected()
        await unstarted.stopService()
        await self.failing(connected, RegistryUnavailable)
