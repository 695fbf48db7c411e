"""Machines in network namespaces: what cuts, loss and delay do to packets, what is left at the end, and a short chaos.

Where namespaces cannot be made, these tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

from twisted.trial.unittest import TestCase

from bench.hosts import unavailable
from tests.harness.daemons import ROOT, environment
from tests.integration.bench_case import BenchCase

SKIP = unavailable() or None
#: Makes two machines and says, for each way of breaking what is between them, which packets arrive.
PROBE = """
import json, socket, subprocess, sys, time
from bench.hosts import Network
from tests.harness.spawning import launched

network = Network("one", ["other"])
other = network.machines["other"]
echo = '''
import socket
at = socket.socket(type=socket.SOCK_DGRAM)
at.bind(("0.0.0.0", 7007))
print("ready", flush=True)
while True:
    said, sender = at.recvfrom(100)
    print(said.decode(), flush=True)
    at.sendto(said, sender)
'''
answering = subprocess.Popen(
    launched([*other.enter, sys.executable, "-c", echo]), stdout=subprocess.PIPE, text=True
)
answering.stdout.readline()
said = socket.socket(type=socket.SOCK_DGRAM)
said.settimeout(0.2)

def exchange(address, count=1):
    answers = 0
    for _ in range(count):
        said.sendto(b"hello", (address, 7007))
        try:
            answers += len(said.recv(100)) == 5
        except TimeoutError:
            pass
    return answers

def arrived():
    said.sendto(b"end", (other.control, 7007))
    said.recv(100)
    count = 0
    while (line := answering.stdout.readline().strip()) != "end":
        count += 1
    return count

def tried(*broken):
    answers = exchange(other.address)
    found = [answers, arrived()]
    for mend in broken:
        mend()
    return found

found = {"whole": tried()}
found["into"] = tried(network.drop("one", "other"))
found["out of"] = tried(network.drop("other", "one"))
found["both"] = tried(network.drop("other", "one"), network.drop("one", "other"))
mend = network.drop("one", "other")
found["control"] = exchange(other.control)
mend()
mend = network.drop("one", "other", 0.5)
found["half"] = exchange(other.address, 40)
mend()
found["mended"] = exchange(other.address)
network.lay_cable().write("0.04 0 0\\n")
network.move("other", True)
exchange(other.address)
began = time.monotonic()
found["far"] = exchange(other.address)
found["took"] = time.monotonic() - began
network.move("other", False)
exchange(other.address)
began = time.monotonic()
found["near"] = exchange(other.address)
found["took then"] = time.monotonic() - began
try:
    said.connect(("192.0.2.1", 7007))
    found["outside"] = "reached"
except OSError as error:
    found["outside"] = error.strerror
found["pids"] = [network.middle.pid, answering.pid]
print(json.dumps(found), flush=True)
sys.stdin.read()
"""


class MachineTests(TestCase):
    skip = SKIP
    timeout = 60

    def test_what_arrives(self):
        interfaces = os.listdir("/sys/class/net")
        probe = subprocess.Popen(
            [sys.executable, "-c", PROBE],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(probe.stdin.close)
        self.addCleanup(probe.stdout.close)
        self.addCleanup(probe.wait)
        self.addCleanup(probe.kill)
        found = json.loads(probe.stdout.readline())
        # How many were answered, and how many of what was asked arrived.
        self.assertEqual(found["whole"], [1, 1])
        self.assertEqual(found["into"], [0, 0])
        self.assertEqual(found["out of"], [0, 1])
        self.assertEqual(found["both"], [0, 0])
        self.assertEqual(found["control"], 1)
        self.assertTrue(5 <= found["half"] <= 35, found["half"])
        self.assertEqual(found["mended"], 1)
        self.assertEqual([found["far"], found["near"]], [1, 1])
        self.assertTrue(found["took"] >= 0.08, found["took"])
        self.assertTrue(found["took then"] < 0.08, found["took then"])
        self.assertEqual(found["outside"], "Network is unreachable")
        # Whatever ends it, the kernel takes everything away.
        probe.send_signal(signal.SIGKILL)
        probe.wait()
        for pid in found["pids"]:
            self.assertTrue(self.gone(pid), pid)
        self.assertEqual(os.listdir("/sys/class/net"), interfaces)

    def gone(self, pid):
        """Whether a process ends by itself within a few seconds."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], 5.0)[0])
        finally:
            os.close(descriptor)


class ChaosTests(BenchCase):
    skip = SKIP
    timeout = 200

    async def test_cut_both_ways_and_one_way(self):
        faults = ["part server", "part route", "deafen route", "silence server", "part redis", "silence redis"]
        crowd = ("--members=10", "--library=3", "--guests=2", "--groups=2", "--rate=60")
        pace = ("--seconds=15", "--longest=4", "--pause=1", "--at-once=2")
        output = await self.chaos("--hosts", *crowd, *pace, *(f"--fault={fault}" for fault in faults), accepted=100)
        # Each kind, since a deck deals each once before any comes again.
        for fault in faults:
            self.assertGreaterEqual(self.made(output, fault), 1, output)
