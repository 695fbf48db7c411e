"""The processes that other tests stand on, with real ones."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from kazoo.client import KazooClient

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.harness.daemons import environment
from tests.harness.processes import DaemonProcess, ProcessFailed, RedisProcess, ZooKeeperProcess, shared_zookeeper
from tests.harness.spawning import free_port, launched

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
print("unfinished", end="", flush=True)
sys.exit(3)
"""


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


class RealTestCase(TestCase):
    timeout = 60

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor


class DaemonTests(RealTestCase):
    def process(self, code, **keywords):
        process = DaemonProcess(self.reactor, [sys.executable, "-c", code], **keywords)
        self.addCleanup(process.kill)
        return process

    async def test_a_conversation(self):
        seen = []
        process = self.process(ECHO, ready_when="ready", on_line=lambda line, error: seen.append((line, error)))
        await process.start()
        process.write("你好\n")
        self.assertEqual(await process.wait_for_line("heard"), "heard 你好")
        process.close_stdin()
        self.assertEqual(await process.wait_for_exit(), 3)
        self.assertEqual(list(process.out), ["ready", "heard 你好", "unfinished"])
        self.assertEqual(seen[0], ("ready", False))
        await process.start()
        self.assertEqual(list(process.out).count("ready"), 2)

    async def test_stderr_is_not_stdout(self):
        process = self.process("import sys; print('a'); sys.stdout.flush(); print('b', file=sys.stderr)")
        await process.start()
        await process.wait_for_exit()
        self.assertEqual(list(process.out), ["a"])
        self.assertEqual(sorted(process.lines), ["a", "b"])

    async def test_death_before_readiness(self):
        process = self.process("import sys; print('so it went'); sys.exit(4)", ready_when="never")
        failure = await self.assertFailure(process.start(), ProcessFailed)
        self.assertIn("status 4", str(failure))
        self.assertIn("so it went", str(failure))

    async def test_readiness_too_late(self):
        process = self.process(ECHO, ready_when="never")
        failure = await self.assertFailure(process.start(0.5), ProcessFailed)
        self.assertIn("was not ready within 0.5 s", str(failure))
        self.assertIsNone(process.pid)

    async def test_a_line_that_never_comes(self):
        process = self.process(ECHO, ready_when="ready")
        await process.start()
        await self.assertFailure(process.wait_for_line("never", 0.1), ProcessFailed)
        waiting = self.assertFailure(process.wait_for_line("never"), ProcessFailed)
        self.assertEqual(await process.kill(), -signal.SIGKILL)
        await waiting

    async def test_stop_kills_what_does_not_listen(self):
        code = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
        )
        process = self.process(code + "\nsignal.pause()", ready_when="ready")
        await process.start()
        self.assertEqual(await process.stop(0.2), -signal.SIGKILL)

    async def test_stop_ends_a_frozen_process(self):
        process = self.process(ECHO, ready_when="ready")
        await process.start()
        process.pause()
        self.assertEqual(await process.stop(), -signal.SIGTERM)

    async def test_a_process_dies_with_its_parent(self):
        inner = launched([sys.executable, "-c", "import time; time.sleep(600)"])
        outer = (
            "import os, subprocess, time\n"
            f"argv = {inner!r}\nargv[5] = str(os.getpid())\n"
            "print(subprocess.Popen(argv).pid, flush=True)\ntime.sleep(600)"
        )
        parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE)
        self.addCleanup(parent.stdout.close)
        child = int(parent.stdout.readline())
        self.assertIn(child, children_of(parent.pid))
        pidfd = os.pidfd_open(child)
        self.addCleanup(os.close, pidfd)
        parent.kill()
        parent.wait()
        readable, _, _ = await deferToThread(select.select, [pidfd], [], [], 10.0)
        self.assertEqual(readable, [pidfd])


class PortTests(RealTestCase):
    def test_a_port_is_given_to_one_process_alone(self):
        ports = [free_port() for _ in range(300)]
        self.assertEqual(len(set(ports)), 300)
        code = "from tests.harness.spawning import free_port; print(*[free_port() for _ in range(300)])"
        others = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, check=True, timeout=50
        )
        self.assertEqual({*map(int, others.stdout.split())} & {*ports}, set())


class RedisTests(RealTestCase):
    async def test_data_outlives_a_kill(self):
        redis = RedisProcess(self.reactor, self.mktemp(), password="geheim wort")
        self.addCleanup(redis.kill)
        await redis.start()
        port = redis.port
        self.assertEqual(await redis.command("SET", "key", "值"), b"+OK\r\n")
        await redis.kill()
        self.assertEqual(await redis.command("GET", "key"), b"")
        await redis.start()
        self.assertEqual(redis.port, port)
        self.assertEqual(await redis.command("GET", "key"), b"$3\r\n\xe5\x80\xbc\r\n")
        await redis.restart()
        self.assertEqual(await redis.command("GET", "key"), b"$3\r\n\xe5\x80\xbc\r\n")
        with open(os.path.join(redis.directory, "redis.conf")) as file:
            self.assertEqual(os.fstat(file.fileno()).st_mode & 0o777, 0o600)

    async def test_a_lost_port_is_replaced(self):
        first = RedisProcess(self.reactor, self.mktemp(), appendonly=False)
        second = RedisProcess(self.reactor, self.mktemp(), appendonly=False)
        self.addCleanup(lambda: gatherResults([first.kill(), second.kill()]))
        await first.start()
        second.port = first.port
        await second.start()
        self.assertNotEqual(second.port, first.port)

    async def test_a_given_port_is_not(self):
        first = RedisProcess(self.reactor, self.mktemp(), appendonly=False)
        self.addCleanup(first.kill)
        await first.start()
        second = RedisProcess(self.reactor, self.mktemp(), port=first.port)
        await self.assertFailure(second.start(), ProcessFailed)

    async def test_pausing(self):
        redis = RedisProcess(self.reactor, self.mktemp(), appendonly=False)
        self.addCleanup(redis.kill)
        await redis.start()
        redis.pause()
        self.assertEqual(await redis.command("PING", timeout=0.2), b"")
        redis.resume()
        self.assertEqual(await redis.command("PING"), b"+PONG\r\n")


class ZooKeeperTests(RealTestCase):
    def nodes(self, hosts, make=None):
        client = KazooClient(hosts, timeout=10.0)
        client.start(15.0)
        try:
            if make:
                client.create(make)
            return client.get_children("/")
        finally:
            client.stop()
            client.close()

    async def test_its_own_and_restarted(self):
        zookeeper = ZooKeeperProcess(self.reactor, self.mktemp())
        self.addCleanup(zookeeper.kill)
        await zookeeper.start()
        await deferToThread(self.nodes, zookeeper.address, "/kept")
        await zookeeper.kill()
        await zookeeper.start()
        self.assertIn("kept", await deferToThread(self.nodes, zookeeper.address))

    async def test_shared_by_all_tests(self):
        one, other = await gatherResults([shared_zookeeper(self.reactor), shared_zookeeper(self.reactor)])
        self.assertEqual(one.split("/")[0], other.split("/")[0])
        self.assertEqual(await deferToThread(self.nodes, one, "/here"), ["here"])
        self.assertEqual(await deferToThread(self.nodes, other), [])

    async def test_shared_survives_the_end_of_a_test(self):
        self.assertEqual(await deferToThread(self.nodes, await shared_zookeeper(self.reactor)), [])
