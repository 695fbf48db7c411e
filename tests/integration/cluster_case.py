"""The base of tests with spawned daemons: a cluster that dies with the test, calls to it, and users."""

from __future__ import annotations

import os
import re
import sys

from kazoo.client import KazooClient

from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from bench.guests import GuestConnection
from cim.keys import make_secret_file
from cim.web.calling import JSONCalls
from cim.wire.error_table import SUCCESS
from cim.wire.guests import Generation
from tests.harness.asking import ask
from tests.harness.daemons import Daemon, loopback
from tests.harness.processes import HOST, RedisProcess, ZooKeeperProcess, free_port, private_file, shared_zookeeper

PASSWORD = 'pass "word" 密码'
#: How long a daemon may take to be ready on a busy machine, seconds.
STARTED = 60.0


class User:
    """A guest without a client library, so that a test sees every answer.

    :ivar texts: what was received, over all connections
    :ivar server: the node of the server of the last connection
    :ivar generation: what it speaks
    """

    def __init__(self, case, name):
        self.case = case
        self.name = name
        self.generation = Generation.W2
        self.id = 0
        self.texts = []
        self.connection = None
        self.server = ""

    async def register(self, url):
        """Create the account."""
        answer = await self.case.call(url, "registerAccount", userName=self.name)
        self.id = answer.result()["userId"]

    def ask_for_a_login(self, url):
        """Fire with the answer to /login."""
        return self.case.call(url, "login", userId=self.id, userName=self.name)

    async def connect(self, place, *, wrap=lambda endpoint: endpoint):
        """Connect to the server that /login named, and wait until the session is live."""
        endpoint = wrap(HostnameEndpoint(self.case.reactor, place["ip"], int(place["cimServerPort"])))
        connection = GuestConnection(self.id, self.name, self.hear, self.generation)
        await connectProtocol(endpoint, connection)
        self.case.addCleanup(connection.transport.abortConnection)
        await connection.live
        self.connection = connection
        self.server = f"{place['ip']}:{place['cimServerPort']}:{place['httpPort']}"

    def hear(self, _, text):
        """Note a text; W1 is told who said it in the same field."""
        self.texts.append(text.partition(":")[2] if self.generation is Generation.W1 else text)

    async def log_in(self, url, **options):
        """Register, log in and connect; return the answer to /login."""
        if not self.id:
            await self.register(url)
        place = (await self.ask_for_a_login(url)).result()
        await self.connect(place, **options)
        return place

    async def send(self, url, receiver, text):
        """Send a private message and return the code of the answer."""
        answer = await self.case.call(url, "p2pRoute", userId=self.id, receiveUserId=receiver.id, msg=text)
        return answer.code


class ClusterCase(TestCase):
    """Starts processes on ports from the kernel; when a test fails, their last output is shown."""

    timeout = 180

    def run(self, result):
        self._troubles = lambda: len(result.failures) + len(result.errors)
        return super().run(result)

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.directory = os.path.abspath(self.mktemp())
        self.processes = []
        self.calls = JSONCalls(reactor)
        self._before = self._troubles()
        self.addCleanup(self._kill_all)
        self.addCleanup(self.calls.close)

    def _kill_all(self):
        if self._troubles() > self._before:
            for process in self.processes:
                state = "still runs" if process.pid else f"ended with status {process.status}"
                sys.stdout.write("\n".join((f"\n--- {process.name} {state}:", *list(process.lines)[-60:], "")))
        return DeferredList([process.kill() for process in reversed(self.processes)])

    # What is started

    def added(self, process):
        """Have `process` killed when the test ends."""
        self.processes.append(process)
        return process

    def folder(self, name):
        """Return the path of a folder of this test's own."""
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def own_zookeeper(self):
        """Return a ZooKeeper, not started, whose sessions last 2 s."""
        zookeeper = ZooKeeperProcess(self.reactor, self.folder("zookeeper"), max_session_ms=2000)
        self.registry = zookeeper.address
        return self.added(zookeeper)

    def own_redis(self):
        """Return a Redis, not started, that asks for a password."""
        self.redis = RedisProcess(self.reactor, self.folder("redis"), password=PASSWORD)
        return self.added(self.redis)

    async def stores(self, *, zookeeper=None):
        """Start what daemons stand on: Redis, and `zookeeper` or the one that the run shares."""
        redis = self.own_redis()
        await gatherResults([redis.start(), *([zookeeper.start()] if zookeeper else [])], consumeErrors=True)
        self.registry = zookeeper.address if zookeeper else await shared_zookeeper(self.reactor)

    def _common(self, advertise):
        secret = os.path.join(self.folder("secret"), "secret")
        make_secret_file(secret, os.urandom)
        return ["--advertise", advertise, "--secret-file", secret, "--registry", f"zookeeper:{self.registry}"]

    def server(self, *options, advertise=HOST):
        """Return a server, not started."""
        tcp, http = free_port(), free_port()
        listening = ["--listen", loopback(tcp), "--http", loopback(http)]
        daemon = self.daemon("server", http, *listening, *self._common(advertise), *options)
        daemon.node = f"{HOST}:{tcp}:{http}"
        return daemon

    def route(self, *options, advertise=HOST):
        """Return a route, not started."""
        password = os.path.join(self.folder("secret"), "redis-password")
        private_file(password, PASSWORD)
        http, link = free_port(), free_port()
        store = ["--store", f"redis:{self.redis.address}", "--store-password-file", password]
        # Tests look who is online all the time.
        listening = ["--http", loopback(http), "--link", loopback(link), "--limit-address-online", "0"]
        daemon = self.daemon("route", http, *listening, *store, *self._common(advertise), *options)
        daemon.node = f"{HOST}:{http}:{link}"
        daemon.link_port = link
        return daemon

    def daemon(self, kind, http, *arguments):
        """Return a daemon, not started."""
        command = "cim" if kind == "suite" else f"cim-{kind}"
        number = 1 + sum(process.name.startswith(kind) for process in self.processes)
        name = f"{kind}-{number}"
        return self.added(Daemon(self.reactor, name, http, [command, *arguments], self.folder(name), None))

    async def started(self, *daemons):
        """Start daemons concurrently and wait until all are healthy."""
        await gatherResults([daemon.start(STARTED) for daemon in daemons], consumeErrors=True)

    async def cluster(self, servers, routes, *route_options, zookeeper=None):
        """Start a whole cluster, every server linked to every route; return its servers and its routes."""
        await self.stores(zookeeper=zookeeper)
        first = [self.server() for _ in range(servers)], [self.route(*route_options) for _ in range(routes)]
        await self.started(*first[0], *first[1])
        await self.linked(*first)
        return first

    async def linked(self, servers, routes):
        """Wait until those are the servers that those routes may send logins to."""
        names = sorted(server.node for server in servers)

        async def candidates():
            return [await self.fact(route, "servers") for route in routes]

        await self.until(candidates, lambda found: found == [names] * len(routes), f"{names} at each route")

    async def look_into_zookeeper(self):
        """Return a client of the registry itself."""
        client = KazooClient(self.registry)
        await deferToThread(client.start, 15)

        def end():
            client.stop()
            client.close()

        self.addCleanup(deferToThread, end)
        return client

    # What is asked

    def call(self, url, path, **fields):
        """Call upstream's API; fires with the envelope of the answer."""
        return self.calls.post(f"{url}/{path}", fields)

    async def online(self, *daemons):
        """Return the names of those who are online, as each route says."""
        found = []
        for daemon in daemons:
            answer = await self.calls.get(f"{daemon.url}/onlineUser")
            found.append(sorted(user["userName"] for user in answer.result()))
        return found

    async def fact(self, daemon, name):
        """Return the entry of /health with a name, or None."""
        _, said = await daemon.health()
        return said["facts"].get(name) if said else None

    async def trouble(self, daemon):
        """Return the status of /health and the parts that are not well."""
        status, said = await daemon.health()
        return status, {name: text for name, text in said["parts"].items() if text != "ok"} if said else {}

    async def metric(self, daemon, name):
        """Return a number of /metrics."""
        request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        text = (await ask(self.reactor, HOST, daemon.http_port, request)).decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)\r?$", text, re.MULTILINE)[1])

    async def until(self, look, good, what, seconds=30.0):
        """Poll a value until it is as wanted, and return it."""
        deadline = self.reactor.seconds() + seconds
        while True:
            seen = look()
            if hasattr(seen, "__await__"):
                seen = await seen
            if good(seen):
                return seen
            if self.reactor.seconds() > deadline:
                self.fail(f"in vain for {seconds:g} s: {what}; at last {seen!r}")
            await deferLater(self.reactor, 0.02)

    async def users(self, url, *names):
        """Return users who are logged in."""
        users = [User(self, name) for name in names]
        for user in users:
            await user.log_in(url)
        await self.known_to_all_routes(*users)
        return users

    async def known_to_all_routes(self, *users):
        """Wait until every route that runs has heard of them: a session is live a moment before that."""
        routes = [process for process in self.processes if process.name.startswith("route") and process.pid]
        names = {user.name for user in users}
        await self.until(
            lambda: self.online(*routes), lambda seen: all(names <= {*online} for online in seen), f"{names} are known"
        )

    async def everyone_hears(self, sender, receivers, urls, text):
        """Send a private message to each through each route and wait until all arrived, each once."""
        sent = [f"{text} {number}" for number, _ in enumerate(urls)]
        for url, one in zip(urls, sent, strict=True):
            for receiver in receivers:
                self.assertEqual(await sender.send(url, receiver, one), SUCCESS)
        await self.until(
            lambda: [[heard for heard in receiver.texts if heard in sent] for receiver in receivers],
            lambda heard: heard == [sent] * len(receivers),
            f"{text!r} arrived",
        )
