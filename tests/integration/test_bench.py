"""Tests of `python -m bench cluster` and `python -m bench load` with real processes, as a user starts them."""

from __future__ import annotations

import os
import re
import signal

from tests.integration.bench_case import BenchCase

STARTED = 60.0
#: The order in which the processes must have ended; those of one group in any order.
GROUPS = ("server", "route", "redis-server")


class BenchTests(BenchCase):
    timeout = 240

    async def test_the_cluster_until_ctrl_c(self):
        directory = os.path.abspath(self.mktemp())
        process = self.bench("cluster", "--data", directory, ready_when="Press Ctrl-C to stop the cluster.")
        await process.start(STARTED)
        output = "\n".join(process.lines)
        self.assertEqual(len(re.findall(r"make client NAME=alice ROUTE=http://127.0.0.1:\d+", output)), 2)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        self.assertEqual(len(children), 6)
        os.kill(next(pid for pid in children if b"cim-server" in command_line(pid)), signal.SIGKILL)
        await process.wait_for_line("ended with status -9; the other processes go on")
        process.signal("INT")
        self.assertEqual(await process.wait_for_exit(60), 0)
        stopping = [line for line in process.lines if "stopping on SIGTERM" in line or "SIGTERM scheduling" in line]
        names = [re.split(r"(-\d+)? +\|", line)[0] for line in stopping]
        self.assertEqual(names, sorted(names, key=GROUPS.index))
        self.assertEqual(set(names), set(GROUPS))
        self.assertEqual([pid for pid in children if os.path.exists(f"/proc/{pid}")], [])

    async def test_a_second_cluster_on_the_same_data(self):
        directory = os.path.abspath(self.mktemp())
        first = self.bench("cluster", "--data", directory, "--servers=0", "--routes=0", ready_when="Press Ctrl-C")
        await first.start(STARTED)
        second = self.bench("cluster", "--data", directory)
        await second.start()
        self.assertEqual(await second.wait_for_exit(), 1)
        self.assertIn("another cluster uses the data in", second.out[0])
        await first.stop(30)

    async def test_a_small_load(self):
        process = self.bench(
            *("load", "--own-cluster", "--users=20", "--idle=20", "--seconds=1", "--rate=100", "--groups=3")
        )
        await process.start()
        self.assertEqual(await process.wait_for_exit(STARTED + 30), 0, "\n".join(process.lines))
        output = "\n".join(process.out)
        found = re.search(r"all messages: delivered (\d+), lost 0, doubled 0, reordered 0", output)
        self.assertIsNotNone(found, output)
        sent = sum(int(number) for number in re.findall(r"answers: 9000: (\d+)$", output, re.MULTILINE))
        self.assertGreaterEqual(sent, 100)
        self.assertEqual(int(found[1]), sent + 3 * 19)
        self.assertIn("complete: 3 of 3", output)
        self.assertRegex(output, r"memory of 20 idle sessions: -?[\d.]+ KiB each")

    async def test_what_naming_a_predecessor_costs(self):
        process = self.bench("predecessors", "--messages=500", "--rounds=1")
        await process.start()
        self.assertEqual(await process.wait_for_exit(STARTED + 30), 0, "\n".join(process.lines))
        told = re.findall(r"^(\w+), (\d+) a call, .*: [\d.]+ us .* \(x [\d.]+\)$", "\n".join(process.out), re.MULTILINE)
        wanted = [(store, batch) for store in ("redis", "sqlite") for batch in ("1", "50", "500") for _ in range(2)]
        self.assertEqual(told, wanted)

    async def test_what_more_routes_and_servers_cost(self):
        process = self.bench("scale", "1x2", "--users=10", "--seconds=0.5", "--group=20", "--members=30")
        await process.start()
        self.assertEqual(await process.wait_for_exit(STARTED + 30), 0, "\n".join(process.lines))
        rows = [line.split(" | ") for line in process.out if line.startswith("| 1x2")]
        wanted = ["a member, 1,000 a call, us", "a login, us", "a user online, bytes"]
        wanted += ["idle, 50 users online, ms a second", "a send, us"]
        self.assertEqual([row[1] for row in rows], [*wanted, "a message to a group of 30, 20 online, us"])
        # Whoever sends or gets a message has Redis, routes and servers work for it.
        for row in rows[4:]:
            self.assertTrue(all(float(part.replace(",", "")) > 50 for part in row[2:5]), row)

    async def test_a_load_on_nobody(self):
        process = self.bench("load", "--route", "http://127.0.0.1:1", "--users=2")
        await process.start()
        self.assertEqual(await process.wait_for_exit(30), 1)
        self.assertIn("no connection to 127.0.0.1:1", "\n".join(process.out))


def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
