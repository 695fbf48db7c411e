"""A Redis Cluster, each of whose nodes is a process: masters with replicas of their own."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.harness.asking import ask
from tests.harness.processes import RedisProcess
from tests.harness.spawning import HOST, DaemonProcess, ProcessFailed, free_port, launched, require

SLOTS = 16384
#: After how many ms without an answer a node is down.
NODE_TIMEOUT_MS = 1500


class ClusterNode(RedisProcess):
    """A node of a cluster, which keeps what it knows of the others in a file of its own."""

    def __init__(self, reactor: Any, directory: str, timeout_ms: int, settings: Mapping[str, str], **more: Any) -> None:
        self.bus = free_port()
        cluster = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(timeout_ms),
            "cluster-config-file": "nodes.conf",
            "cluster-port": str(self.bus),
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
        }
        super().__init__(reactor, directory, settings={**cluster, **settings}, **more)

    async def said(self, *words: str) -> str:
        """Send it a command; return what it answers, a bulk or simple string, as text."""
        answer = (await self.command(*words, timeout=10.0)).decode(errors="replace")
        kind, _, rest = answer.partition("\r\n")
        if kind.startswith("-"):
            raise ProcessFailed(f"{self.name}: {' '.join(words)}: {kind}")
        return rest.removesuffix("\r\n") if kind.startswith("$") else kind[1:]

    async def id(self) -> str:
        """Return its id in the cluster."""
        return await self.said("CLUSTER", "MYID")


class RedisCluster:
    """Masters with replicas.

    :param settings: further lines of the configuration of each node
    :param timeout_ms: see NODE_TIMEOUT_MS
    :param password: that of all nodes; None if they need none
    :ivar nodes: first those that begin as masters, then their replicas in the same order
    """

    def __init__(
        self,
        reactor: Any,
        directory: str | Path,
        *,
        masters: int = 3,
        replicas: int = 1,
        appendfsync: str = "always",
        appendonly: bool = True,
        settings: Mapping[str, str] | None = None,
        timeout_ms: int = NODE_TIMEOUT_MS,
        password: str | None = None,
    ) -> None:
        self._reactor = reactor
        self.masters = masters
        self.nodes = [
            ClusterNode(
                reactor,
                str(Path(directory) / f"node-{number}"),
                timeout_ms,
                {**({"masterauth": password} if password else {}), **(settings or {})},
                appendfsync=appendfsync,
                appendonly=appendonly,
                password=password,
            )
            for number in range(1, masters * (1 + replicas) + 1)
        ]
        for number, node in enumerate(self.nodes, 1):
            node.name = f"node-{number}"

    @property
    def processes(self) -> Sequence[DaemonProcess]:
        """All processes."""
        return self.nodes

    @property
    def members(self) -> Sequence[ClusterNode]:
        """All nodes."""
        return self.nodes

    @property
    def store(self) -> str:
        """What `--store` calls it."""
        return f"redis+cluster:{','.join(one.address for one in self.nodes)}"

    def start(self) -> Deferred[None]:
        """Start all; fires when all slots are served and the replicas follow."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await gatherResults([node.start() for node in self.nodes], consumeErrors=True)
        masters = self.nodes[: self.masters]
        for number, node in enumerate(self.nodes, 1):
            await node.said("CLUSTER", "SET-CONFIG-EPOCH", str(number))
        first = self.nodes[0]
        for node in self.nodes[1:]:
            await node.said("CLUSTER", "MEET", first.machine.address, str(first.port), str(first.bus))
        for number, node in enumerate(masters):
            begin, end = (SLOTS * one // self.masters for one in (number, number + 1))
            await node.said("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end - 1))
        await self._until(self._all_know_all, "its nodes do not know each other")
        ids = [await node.id() for node in masters]
        for number, node in enumerate(self.nodes[self.masters :]):
            await node.said("CLUSTER", "REPLICATE", ids[number % self.masters])
        await self.whole()

    async def _all_know_all(self) -> bool:
        lines = [await node.said("CLUSTER", "NODES") for node in self.nodes]
        return all(len(one.splitlines()) == len(self.nodes) and "handshake" not in one for one in lines)

    def whole(self, seconds: float = 30.0) -> Deferred[None]:
        """Fire when all nodes call the cluster whole, and each replica follows its master."""
        return Deferred.fromCoroutine(self._until(self._is_whole, "it is not whole", seconds))

    async def _is_whole(self) -> bool:
        for node in self.nodes:
            if node.pid is None or "cluster_state:ok" not in await node.said("CLUSTER", "INFO"):
                return False
            replication = await node.said("INFO", "replication")
            if "role:slave" in replication and "master_link_status:up" not in replication:
                return False
        views = [await node.said("CLUSTER", "NODES") for node in self.nodes]
        return all("fail" not in one.replace("fail?", "fail") for one in views)

    async def _until(self, true: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
        deadline = self._reactor.seconds() + seconds
        while True:
            try:
                if await true():
                    return
            except ProcessFailed:
                pass
            if self._reactor.seconds() > deadline:
                raise ProcessFailed(f"the Redis Cluster: {what} after {seconds:g} s")
            await deferLater(self._reactor, 0.05)

    async def claims(self, but: ClusterNode | None = None) -> dict[ClusterNode, list[tuple[int, int]]]:
        """Return which node serves which ranges of slots, by the first node that answers, but for one."""
        by_port = {node.port: node for node in self.nodes}
        for node in self.nodes:
            if node.pid is None or node is but:
                continue
            try:
                lines = (await node.said("CLUSTER", "NODES")).splitlines()
            except ProcessFailed:
                continue
            found = {}
            for line in lines:
                _, where, flags, *_ = words = line.split(" ")
                slots = [one.split("-") for one in words[8:] if not one.startswith("[")]
                if slots and "fail" not in flags.split(","):
                    port = int(where.partition("@")[0].rpartition(":")[2])
                    found[by_port[port]] = [(int(one[0]), int(one[-1])) for one in slots]
            if found:
                return found
        raise ProcessFailed("no node of the Redis Cluster says who serves what")

    async def replica_of(self, master: ClusterNode) -> ClusterNode:
        """Return a replica of a master."""
        id = await master.id()
        for node in self.nodes:
            for line in (await node.said("CLUSTER", "NODES")).splitlines():
                words = line.split(" ")
                if "myself" in words[2] and words[3] == id:
                    return node
        raise ProcessFailed(f"no replica of {master.name} is there")

    def replaced(self, master: ClusterNode) -> Deferred[ClusterNode]:
        """Fire with the node that took over from a master which is not there any more."""
        return Deferred.fromCoroutine(self._replaced(master))

    async def _replaced(self, master: ClusterNode) -> ClusterNode:
        found: list[ClusterNode] = []

        async def is_replaced() -> bool:
            claims = await self.claims(master)
            served = sum(last - first + 1 for ranges in claims.values() for first, last in ranges)
            found[:] = [node for node in claims if node in self.nodes[self.masters :]] or list(claims)
            return master not in claims and served == SLOTS

        await self._until(is_replaced, f"nobody takes over from {master.name}")
        return found[0]

    def failover(self, node: ClusterNode) -> Deferred[None]:
        """Have a replica take over from its master, which knows of it."""
        return Deferred.fromCoroutine(self._failover(node))

    async def _failover(self, node: ClusterNode) -> None:
        await node.said("CLUSTER", "FAILOVER")

        async def is_master() -> bool:
            return "role:master" in await node.said("INFO", "replication")

        await self._until(is_master, f"{node.name} does not take over")

    async def move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move a slot with all that is in it, as `redis-cli --cluster reshard` does."""
        await self.begin(slot, source, target)
        while True:
            answer = await source.command("CLUSTER", "GETKEYSINSLOT", str(slot), "10", timeout=10.0)
            keys = [part.decode() for part in answer.split(b"\r\n")[2::2]]
            if not keys:
                break
            await self.carry(target, source, keys)
        id = await target.id()
        for node in (target, source, *(one for one in await self.claims() if one not in (source, target))):
            await node.said("CLUSTER", "SETSLOT", str(slot), "NODE", id)

    async def begin(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Begin to move a slot."""
        ids = await source.id(), await target.id()
        await target.said("CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[0])
        await source.said("CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[1])

    async def carry(self, target: ClusterNode, source: ClusterNode, keys: Sequence[str]) -> None:
        """Move keys of a slot that is being moved."""
        await source.said(
            *("MIGRATE", target.machine.address, str(target.port), "", "0", "5000"),
            *(("AUTH", target.password) if target.password else ()),
            *("KEYS", *keys),
        )

    def kill(self) -> Deferred[Any]:
        """Kill all processes."""
        return gatherResults([node.kill() for node in self.nodes])


class _SharedCluster:
    """Masters without replicas that do not belong to the reactor, because trial ends whatever a test leaves in it."""

    def __init__(self, masters: int = 3) -> None:
        self.directory = tempfile.mkdtemp(prefix="cim-redis-cluster-")
        self.ports = [free_port() for _ in range(masters)]
        self._processes = [self._spawn(port) for port in self.ports]
        self._made = False

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        folder = os.path.join(self.directory, str(port))
        os.makedirs(folder)
        lines = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", "", "--dir", folder)
        more = ("--stream-node-max-bytes", "512", "--bind", HOST, "--port", str(port))
        command = launched([require("redis-server", "redis-server"), *lines, *more])
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    async def ready(self, reactor: Any) -> list[int]:
        if not self._made:
            deadline = reactor.seconds() + 30.0
            for port in self.ports:
                while b"+PONG" not in await ask(reactor, HOST, port, b"PING\r\nQUIT\r\n"):
                    if reactor.seconds() > deadline:
                        raise ProcessFailed("the shared Redis Cluster did not start")
                    await deferLater(reactor, 0.03)
            places = [f"{HOST}:{port}" for port in self.ports]
            tool = require("redis-cli", "redis-tools")
            subprocess.run([tool, "--cluster", "create", *places, "--cluster-yes"], check=True, capture_output=True)
            while True:
                states = [await ask(reactor, HOST, port, b"CLUSTER INFO\r\nQUIT\r\n") for port in self.ports]
                if all(b"cluster_state:ok" in state for state in states):
                    break
                if reactor.seconds() > deadline:
                    raise ProcessFailed("the shared Redis Cluster is not whole")
                await deferLater(reactor, 0.03)
            self._made = True
        for port in self.ports:
            await ask(reactor, HOST, port, b"FLUSHALL\r\nQUIT\r\n")
        return self.ports

    def end(self) -> None:
        """Kill all and remove their data."""
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


_shared: _SharedCluster | None = None


def shared_cluster(reactor: Any) -> Deferred[list[int]]:
    """Fire with the ports of the masters of a cluster in which nothing is; it ends with the run."""
    global _shared
    if _shared is None:
        _shared = _SharedCluster()
        atexit.register(_shared.end)
    return Deferred.fromCoroutine(_shared.ready(reactor))
