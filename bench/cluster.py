"""A whole CIM on one machine: a Redis, a ZooKeeper, servers and routes, each a process of its own."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults

from bench.hosts import Network
from bench.proxy import Proxy
from cim.keys import make_secret_file
from tests.harness.daemons import Daemon, OnLine, loopback
from tests.harness.processes import (
    HOST,
    THIS_MACHINE,
    DaemonProcess,
    Machine,
    RedisProcess,
    ZooKeeperProcess,
    free_port,
)
from tests.harness.redis_cluster import RedisCluster
from tests.harness.redis_set import DOWN_AFTER_MS, RedisSet

#: How many Redis servers there are where there is not just one; each has a Sentinel beside it.
REDUNDANT = 3


class DataInUse(Exception):
    """Raised if another running cluster uses the data."""


class Ports:
    """Gives ports: the wanted one if nothing listens there and it was not given before, else a free one.

    :param fixed: False to always give a free one
    """

    def __init__(self, fixed: bool) -> None:
        self.fixed = fixed
        self._given: set[int] = set()

    def get(self, wanted: int) -> int:
        """Return a port."""
        if self.fixed and wanted not in self._given:
            self._given.add(wanted)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, wanted))
                except OSError:
                    pass
                else:
                    return wanted
        return free_port()


def machine_names(servers: int, routes: int, redundant: bool = False) -> list[str]:
    """Return the names of all machines of a cluster, but for its clients'."""
    numbered = (("redis", REDUNDANT if redundant else 0), ("route", routes), ("server", servers))
    names = [f"{kind}-{one}" for kind, many in numbered for one in range(1, many + 1)]
    return [*([] if redundant else ["redis"]), "zookeeper", *names]


class Cluster:
    """All processes of a cluster, which listen only on the loopback interface, unless they have machines of their own.

    :param directory: for the data of all processes and the cluster's secret; locked until `stop`
    :param fixed_ports: use the same ports each time, as far as they are free
    :param on_line: called with every line of the processes' output
    :param server_options: further options of all servers
    :param route_options: further options of all routes
    :param proxied: whether connections between the processes go through `proxies`
    :param durable: whether Redis syncs writes to disk before it acknowledges them
    :param network: has a machine for each process
    :param down_after_ms: of the Sentinels, if there are some
    :param redundant: whether there are three Redis servers, and Sentinels, instead of one Redis; not with `proxied`
    :param sharded: whether there is a Redis Cluster of three masters with a replica each; not with `proxied`
    :ivar store: the value of the routes' option --store
    :ivar link_ports: where the routes take links
    :ivar redis: the Redis, or the first master
    :ivar redis_set: the Redis servers, if there are several, as a set or as a cluster
    :ivar proxies: the proxies by kind of connection: "link" (one for each route), "redis", "zookeeper"
    :raises DataInUse: another cluster has the directory
    """

    def __init__(
        self,
        reactor: Any,
        directory: str | Path,
        *,
        servers: int = 2,
        routes: int = 2,
        fixed_ports: bool = False,
        on_line: OnLine | None = None,
        server_options: tuple[str, ...] = (),
        route_options: tuple[str, ...] = (),
        proxied: bool = False,
        durable: bool = True,
        network: Network | None = None,
        redundant: bool = False,
        sharded: bool = False,
        down_after_ms: int = DOWN_AFTER_MS,
    ) -> None:
        self._network = network
        self.proxies: dict[str, list[Proxy]] = {}
        self._proxied = proxied
        self._reactor = reactor
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.secret_file = self.directory / "secret"
        self._lock = _lock(self.directory / "lock")
        make_secret_file(self.secret_file, os.urandom)
        ports = Ports(fixed_ports)
        self.redis_set: RedisSet | RedisCluster | None = None
        fsync = "always" if durable else "no"
        if sharded:
            self.redis_set = RedisCluster(reactor, self._folder("redis"), appendfsync=fsync)
            self.redis: RedisProcess = self.redis_set.members[0]
        elif redundant:
            self.redis_set = RedisSet(
                reactor,
                self._folder("redis"),
                appendfsync=fsync,
                down_after_ms=down_after_ms,
                machines=[self._machine(f"redis-{number}") for number in range(1, REDUNDANT + 1)],
            )
            self.redis = self.redis_set.members[0]
        else:
            self.redis = RedisProcess(
                reactor,
                self._folder("redis"),
                port=ports.get(16379),
                appendonly=durable,
                machine=self._machine("redis"),
            )
        self.zookeeper = ZooKeeperProcess(
            reactor,
            self._folder("zookeeper"),
            port=ports.get(12181),
            tick_ms=1000,
            machine=self._machine("zookeeper"),
        )
        for process in (*self._stores, self.zookeeper):
            process.on_line = self._teller(process.name, on_line)
        if self.redis_set is not None:
            self.store = self.redis_set.store
        else:
            self.store = f"redis:{self.redis.machine.address}:{self._reached('redis', self.redis.port)}"
        zookeeper = f"{self.zookeeper.machine.address}:{self._reached('zookeeper', self.zookeeper.port)}"
        registry = f"--registry=zookeeper:{zookeeper}"
        common = ["--secret-file", str(self.secret_file), registry]
        self.servers: list[Daemon] = []
        for number in range(1, servers + 1):
            tcp, http, websocket = (ports.get(first + number) for first in (21210, 28180, 21220))
            at = self._machine(f"server-{number}")
            listening = ["--listen", at.endpoint(tcp), "--http", at.endpoint(http)]
            listening += ["--websocket", at.endpoint(websocket), "--advertise", at.address]
            self.servers.append(
                self._daemon(reactor, "server", number, http, [*listening, *common, *server_options], on_line)
            )
        self.routes: list[Daemon] = []
        self.link_ports: list[int] = []
        for number in range(1, routes + 1):
            http, link = ports.get(28080 + number), ports.get(28090 + number)
            self.link_ports.append(link)
            at = self._machine(f"route-{number}")
            listening = ["--http", at.endpoint(http), "--link", at.endpoint(link), "--store", self.store]
            listening += ["--advertise", f"{at.address}:{http}:{self._reached('link', link)}"]
            self.routes.append(
                self._daemon(reactor, "route", number, http, [*listening, *common, *route_options], on_line)
            )

    def _reached(self, kind: str, port: int) -> int:
        """Return the port at which other processes reach the listener on `port`."""
        if not self._proxied:
            return port
        proxy = Proxy(self._reactor, kind, free_port(), port)
        self.proxies.setdefault(kind, []).append(proxy)
        return proxy.port

    def _machine(self, name: str) -> Machine:
        return THIS_MACHINE if self._network is None else self._network.machines[name]

    def _folder(self, name: str) -> str:
        return str(self.directory / name)

    def _teller(self, name: str, on_line: OnLine | None) -> Callable[[str, bool], None] | None:
        return None if on_line is None else lambda line, error: on_line(name, line)

    def _daemon(
        self, reactor: Any, kind: str, number: int, http: int, arguments: list[str], on_line: OnLine | None
    ) -> Daemon:
        name = f"{kind}-{number}"
        argv = [f"cim-{kind}", *arguments]
        return Daemon(reactor, name, http, argv, self._folder(name), on_line, self._machine(name))

    @property
    def processes(self) -> list[DaemonProcess]:
        """All processes, in the order in which they start."""
        return [*self._stores, self.zookeeper, *self.routes, *self.servers]

    @property
    def redis_servers(self) -> Sequence[RedisProcess]:
        """The Redis servers, of which there may be just one."""
        return [self.redis] if self.redis_set is None else self.redis_set.members

    @property
    def _stores(self) -> Sequence[DaemonProcess]:
        return [self.redis] if self.redis_set is None else self.redis_set.processes

    @property
    def kinds(self) -> dict[str, Sequence[DaemonProcess]]:
        """All processes by what they are."""
        return {
            "server": self.servers,
            "route": self.routes,
            "redis": self.redis_servers,
            "zookeeper": [self.zookeeper],
            **({"sentinel": self.redis_set.sentinels} if isinstance(self.redis_set, RedisSet) else {}),
        }

    @property
    def route_urls(self) -> list[str]:
        """The URLs at which clients log in."""
        return [route.url for route in self.routes]

    def keep_output(self, folder: str) -> None:
        """Write the last lines of output of each process into a file of its own in a folder."""
        os.makedirs(folder, exist_ok=True)
        for process in self.processes:
            with open(os.path.join(folder, f"{process.name}.log"), "w") as file:
                file.writelines(f"{line}\n" for line in process.lines)

    def start(self) -> Deferred[None]:
        """Start all processes; fires when all are healthy and every route has a link to every server."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        for proxy in chain.from_iterable(self.proxies.values()):
            proxy.start()
        await _all([(self.redis if self.redis_set is None else self.redis_set).start(), self.zookeeper.start()])
        await _all([daemon.start() for daemon in (*self.routes, *self.servers)])
        await _all([route.linked(len(self.servers)) for route in self.routes])

    def stop(self) -> Deferred[None]:
        """Stop all processes, servers and routes first; fires when all have ended, and never fails."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for group in (self.servers, self.routes, [self.zookeeper, *self._stores]):
            await DeferredList([process.stop() for process in group], consumeErrors=True)
        for proxy in chain.from_iterable(self.proxies.values()):
            await proxy.stop()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Suite:
    """The suite, which listens only on the loopback interface.

    :param directory: for its data
    :param options: further options
    """

    def __init__(self, reactor: Any, directory: str | Path, *, options: tuple[str, ...] = ()) -> None:
        tcp, http, websocket = free_port(), free_port(), free_port()
        listening = ["--listen", loopback(tcp), "--http", loopback(http), "--websocket", loopback(websocket)]
        data = ["--data", str(Path(directory) / "data")]
        self._daemon = Daemon(reactor, "suite", http, ["cim", *listening, *data, *options], str(directory), None)
        self.servers = [self._daemon]
        self.processes: list[DaemonProcess] = [self._daemon]

    @property
    def route_urls(self) -> list[str]:
        """The URLs at which clients log in."""
        return [self._daemon.url]

    def start(self) -> Deferred[None]:
        """Start the suite; fires when it is healthy."""
        return self._daemon.start()

    def stop(self) -> Deferred[None]:
        """Stop the suite."""
        return self._daemon.stop().addCallback(lambda _: None)


def _lock(path: Path) -> int:
    """Return a descriptor that holds the lock for as long as this process lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataInUse(f"another cluster uses the data in {path.parent}: stop it, or choose another folder") from None
    return descriptor


async def _all(starting: list[Deferred[None]]) -> None:
    try:
        await gatherResults(starting, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
