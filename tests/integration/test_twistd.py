"""Tests of the daemons under twistd: side by side in one directory, with signals, busy ports and exit statuses."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.harness.daemons import environment, loopback
from tests.harness.spawning import HOST, DaemonProcess, free_port

TWISTD = [sys.executable, str(Path(sys.executable).parent / "twistd")]
DEMO_DROPIN = """
from twisted.application.service import ServiceMaker
demo = ServiceMaker("demo", "demo_tap", "A daemon that does as it is told.", "cim-demo")
"""
DEMO_TAP = """
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from cim.daemon.config import DaemonOptions
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit

class Options(DaemonOptions):
    daemon = "demo"
    optFlags = [["stuck", None, "Never stop."], ["leave", None, "Leave with status 3."]]

class Demo(Service):
    def __init__(self, options, exit):
        self.options, self.exit = options, exit
    def startService(self):
        super().startService()
        if self.options["leave"]:
            self.exit.leave(3, "nothing to do")
    def stopService(self):
        return Deferred() if self.options["stuck"] else None

def makeService(options):
    from twisted.internet import reactor
    exit = Exit(reactor)
    root = DaemonRoot(options, "server", reactor, exit, stop_timeout=60.0, total=60.0)
    root.add(Demo(options, exit))
    return root
"""


class TwistdCase(TestCase):
    timeout = 90

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)

    def process(self, *arguments, ready_when=None, env=None):
        process = DaemonProcess(
            self.reactor, [*TWISTD, *arguments], environment(env), self.directory, ready_when=ready_when
        )
        self.addCleanup(process.kill)
        return process

    def suite(self, *flags, ready_when="is ready"):
        self.http, self.tcp = free_port(), free_port()
        arguments = ["cim", "--data", "data", "--http", loopback(self.http), "--listen", loopback(self.tcp)]
        return self.process(*flags, *arguments, ready_when=ready_when)

    def assertQuiet(self, process):
        self.assertNotIn("Traceback", "\n".join(process.lines))

    async def until(self, condition):
        """Wait for a condition; the test's own timeout is the deadline."""
        while not condition():
            await deferLater(self.reactor, 0.02, lambda: None)


class ForegroundTests(TwistdCase):
    async def test_signals_end_it_well(self):
        for name in ("TERM", "INT", "HUP"):
            suite = self.suite("-n")
            await suite.start()
            suite.signal(name)
            self.assertEqual(await suite.wait_for_exit(), 0, name)
            self.assertTrue(any(f"stopping on SIG{name}" in line for line in suite.lines))
            self.assertQuiet(suite)
        self.assertEqual([name for name in os.listdir(self.directory) if name.endswith(".pid")], [])

    async def test_busy_port(self):
        with socket.socket() as taken:
            suite = self.suite("-n", ready_when=None)
            taken.bind((HOST, self.http))
            taken.listen()
            await suite.start()
            self.assertEqual(await suite.wait_for_exit(), 1)
        (line,) = [line for line in suite.lines if f"--http {loopback(self.http)}: cannot listen" in line]
        self.assertIn("in use", line)
        self.assertQuiet(suite)

    async def test_wrong_option(self):
        process = self.process("-n", "cim-server", "--idle-seconds", "soon")
        await process.start()
        self.assertEqual(await process.wait_for_exit(), 1)
        self.assertTrue(any("--idle-seconds must be" in line for line in process.lines), process.lines)
        self.assertQuiet(process)

    async def test_secrets_that_others_can_read(self):
        """Whichever file it is: one line that names it, its mode, and what to do."""
        path = Path(self.directory, "public")
        path.write_text(f"{'0123456789abcdef' * 4}x\n")
        path.chmod(0o644)
        ours = ("--registry=memory", "--http", loopback(free_port()))
        for *arguments, option in (
            ("cim-server", *ours, "--secret-file"),
            ("cim-route", *ours, "--store=sqlite:route.db", "--secret-file"),
            ("cim-route", *ours, "--store=sqlite:route.db", "--api-key-file"),
            ("cim-route", *ours, "--store=redis:127.0.0.1:1", "--store-password-file"),
            ("cim-route", "--registry=zookeeper:127.0.0.1:1", "--registry-auth-file"),
            ("cim", "--data=data", *ours[1:], "--listen", loopback(free_port()), "--api-key-file"),
            ("cim-client", "--user=alice", "--data=alice", "--route=http://127.0.0.1:1", "--password-file"),
        ):
            process = self.process("-n", *arguments, option, str(path))
            await process.start()
            self.assertEqual(await process.wait_for_exit(), 1, (arguments, process.lines))
            (line,) = [line for line in process.lines if str(path) in line] or process.lines
            self.assertIn(f"{path} is open to others than its owner (mode 0644): chmod 600 {path}", line)
            self.assertQuiet(process)

    async def test_json_log(self):
        process = self.suite("-n", ready_when="is ready")
        process.argv += ["--log-format", "json"]
        await process.start()
        await process.stop()
        self.assertTrue(any(line.startswith('{"time": ') and '"level": "info"' in line for line in process.out))


class DaemonizedTests(TwistdCase):
    async def daemonize(self, process):
        """Run bare twistd, which ends when its daemon runs."""
        await process.start()
        return await process.wait_for_exit()

    def kill(self, file):
        """End a daemon that a failed test left behind."""
        if file.exists():
            os.kill(int(file.read_text()), signal.SIGKILL)

    async def test_side_by_side(self):
        """Three daemons in one directory, each with files of its own; each ends when it is told."""
        daemons = {
            "cim": self.suite(ready_when=None),
            "cim-server": self.process(
                "cim-server", "--registry=memory", "--http", loopback(free_port()), "--listen", loopback(free_port())
            ),
            "cim-route": self.process(
                *("cim-route", "--registry=memory", "--store=sqlite:route.db"),
                *("--http", loopback(free_port()), "--link", loopback(free_port())),
            ),
        }
        files = {}
        for name, process in daemons.items():
            self.assertEqual(await self.daemonize(process), 0, (name, process.lines))
            files[name] = Path(self.directory, f"twistd-{name}.pid")
            self.addCleanup(self.kill, files[name])
        for name, file in files.items():
            os.kill(int(file.read_text()), signal.SIGTERM)
            await self.until(lambda file=file: not file.exists())
            log = Path(self.directory, f"{name}.log").read_text()
            self.assertIn("stopping on SIGTERM", log)
            self.assertNotIn("Traceback", log)

    async def test_busy_port(self):
        with socket.socket() as taken:
            suite = self.suite(ready_when=None)
            taken.bind((HOST, self.http))
            taken.listen()
            self.assertEqual(await self.daemonize(suite), 1)
        self.assertTrue(any(f"--http {loopback(self.http)}: cannot" in line for line in suite.lines), suite.lines)
        # twistd says how it went before it takes its file away.
        await self.until(lambda: not Path(self.directory, "twistd-cim.pid").exists())
        self.assertNotIn("Traceback", Path(self.directory, "cim.log").read_text())


class ExitTests(TwistdCase):
    def demo(self, *arguments, **keywords):
        plugins = Path(self.directory, "demo", "twisted", "plugins")
        plugins.mkdir(parents=True, exist_ok=True)
        Path(plugins, "demo_dropin.py").write_text(DEMO_DROPIN)
        Path(self.directory, "demo", "demo_tap.py").write_text(DEMO_TAP)
        path = os.pathsep.join((str(plugins.parent.parent), environment()["PYTHONPATH"]))
        return self.process("-n", "cim-demo", *arguments, env={"PYTHONPATH": path}, **keywords)

    async def test_a_service_ends_the_process(self):
        demo = self.demo("--leave")
        await demo.start()
        self.assertEqual(await demo.wait_for_exit(), 3)
        self.assertTrue(any("nothing to do" in line for line in demo.lines))

    async def test_user_signals_end_nothing(self):
        demo = self.demo("--stuck", ready_when="open-file limit")
        await demo.start()
        demo.signal("USR1")
        await demo.wait_for_line("SIGUSR1 is for daemons that log to a file")
        demo.signal("USR2")
        await demo.wait_for_line("SIGUSR2 does nothing here")

    async def test_a_log_that_was_moved(self):
        """As by logrotate: what is logged after the signal is in a file of the old name."""
        log = Path(self.directory, "cim.log")
        suite = self.suite("-n", "--logfile", str(log))
        await suite.start()
        log.rename(log.with_suffix(".old"))
        suite.signal("USR1")
        await self.until(log.exists)
        await suite.stop()
        self.assertIn("stopping on SIGTERM", log.read_text())
        self.assertNotIn("stopping on SIGTERM", log.with_suffix(".old").read_text())

    async def test_second_signal_ends_at_once(self):
        demo = self.demo("--stuck", ready_when="open-file limit")
        await demo.start()
        # The handlers are there as soon as the reactor runs, a moment after that line.
        await self.until(lambda: demo.pid is None or _handles(demo.pid, signal.SIGTERM, signal.SIGHUP))
        demo.signal("TERM")
        await demo.wait_for_line("stopping on SIGTERM")
        demo.signal("TERM")
        self.assertEqual(await demo.wait_for_exit(), 128 + signal.SIGTERM)


def _handles(pid, *numbers):
    with open(f"/proc/{pid}/status") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return all(caught >> (number - 1) & 1 for number in numbers)
