"""What `make cluster` shows and which ports it takes."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.cluster import Cluster, DataInUse, Ports
from bench.foreground import Terminal, announcement
from tests.harness.processes import HOST


class TerminalTests(SynchronousTestCase):
    def shown(self, colour, *lines):
        written = []
        terminal = Terminal(written.append, colour)
        for name, line in lines:
            terminal.line(name, line)
        return written

    def test_a_prefix_for_each(self):
        self.assertEqual(
            self.shown(False, ("route-1", "你好"), ("server-1", "b")), ["route-1      | 你好\n", "server-1     | b\n"]
        )

    def test_one_colour_for_each(self):
        one, other, again = self.shown(True, ("a", "x"), ("b", "x"), ("a", "x"))
        self.assertEqual(one, again)
        self.assertNotEqual(one[:5], other[:5])

    def test_no_control_characters(self):
        self.assertEqual(self.shown(False, ("a", "x\x1b[2Jy\tz")), ["a            | x�[2Jy  z\n"])


class PortsTests(SynchronousTestCase):
    def test_the_wanted_one_unless_taken(self):
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assertNotEqual(Ports(True).get(port), port)
        ports = Ports(True)
        self.assertEqual(ports.get(port), port)
        self.assertNotEqual(ports.get(port), port)
        self.assertNotEqual(Ports(False).get(port), port)


class ClusterTests(SynchronousTestCase):
    def test_the_secret_and_the_lock(self):
        directory = Path(self.mktemp())
        cluster = Cluster(Clock(), directory)
        self.assertEqual((directory / "secret").stat().st_mode & 0o777, 0o600)
        self.assertRaises(DataInUse, Cluster, Clock(), directory)
        self.successResultOf(cluster.stop())
        secret = (directory / "secret").read_bytes()
        again = Cluster(Clock(), directory)
        self.addCleanup(again.stop)
        self.assertEqual((directory / "secret").read_bytes(), secret)

    def test_everything_listens_on_loopback_and_the_announcement_says_how_to_join(self):
        cluster = Cluster(Clock(), self.mktemp())
        self.addCleanup(cluster.stop)
        for daemon in (*cluster.servers, *cluster.routes):
            endpoints = [word for word in daemon.argv if word.startswith("tcp:")]
            self.assertEqual(len(endpoints), 3 if daemon in cluster.servers else 2)
            for endpoint in endpoints:
                self.assertIn("interface=127.0.0.1", endpoint)
            self.assertNotIn((cluster.directory / "secret").read_text().strip(), " ".join(daemon.argv))
        for url in cluster.route_urls:
            self.assertIn(f"  make client NAME=alice ROUTE={url}", announcement(cluster))
