"""What twistd does not do for a daemon. What needs a process is in tests/integration/test_twistd.py."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.usage import Options, UsageError
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon import runtime
from cim.daemon.runtime import (
    Exit,
    command,
    one_line_errors,
    prepare,
    raise_file_limit,
    refuse,
    refuse_in_twistd,
    sd_notify,
    spare_collector,
    start_error,
)
from cim.errors import StoreUnavailable


class PrepareTests(SynchronousTestCase):
    def twistd(self, daemon, **chosen):
        options = Options()
        options.parent = {"nodaemon": 0, "pidfile": "twistd.pid", "logfile": None, "syslog": 0, **chosen}
        prepare(options, daemon)
        return options.parent

    def test_daemons_do_not_share_files(self):
        parent = self.twistd("route")
        self.assertEqual((parent["pidfile"], parent["logfile"]), ("twistd-cim-route.pid", "cim-route.log"))
        self.assertEqual(self.twistd("suite")["pidfile"], "twistd-cim.pid")

    def test_foreground_needs_no_pid_file(self):
        parent = self.twistd("server", nodaemon=1)
        self.assertEqual((parent["pidfile"], parent["logfile"]), ("", None))

    def test_client_stays_in_the_foreground(self):
        parent = self.twistd("client")
        self.assertTrue(parent["nodaemon"])
        self.assertEqual((parent["pidfile"], parent["logfile"]), ("", None))

    def test_what_the_user_chose_stays(self):
        parent = self.twistd("server", pidfile="/run/x.pid", logfile="x.log")
        self.assertEqual((parent["pidfile"], parent["logfile"]), ("/run/x.pid", "x.log"))
        self.assertIsNone(self.twistd("server", syslog=1)["logfile"])

    def test_preparing_twice_changes_nothing(self):
        options = Options()
        options.parent = {"nodaemon": 0, "pidfile": "twistd.pid", "logfile": None}
        prepare(options, "server")
        prepare(options, "server")
        self.assertEqual(options.parent["pidfile"], "twistd-cim-server.pid")

    def test_alone_and_under_twist(self):
        options = Options()
        prepare(options, "server")
        options.parent = {}
        prepare(options, "server")
        self.assertEqual(options.parent, {})

    def test_command(self):
        self.assertEqual((command("suite"), command("server")), ("cim", "cim-server"))


class ExitTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.stops = []
        self.reactor.stop = lambda: self.stops.append(True)
        self.events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.exit = Exit(self.reactor)
        self.ended = []
        self.patch(runtime, "end_now", self.ended.append)

    def run_reactor(self):
        for hook, arguments, keywords in self.reactor.whenRunningHooks:
            hook(*arguments, **keywords)

    def test_leave(self):
        self.exit.leave(1, "login refused")
        self.exit.leave(2, "too late")
        self.run_reactor()
        self.assertEqual((self.exit.status, self.stops), (1, [True]))
        levels = [(event["log_level"].name, event["reason"]) for event in self.events if "reason" in event]
        self.assertEqual(levels, [("critical", "login refused")])

    def test_status_at_the_interpreters_exit(self):
        registered = []
        self.patch(runtime.atexit, "register", registered.append)
        self.exit.end_process_with_status()
        registered[0]()
        self.assertEqual(self.ended, [])
        self.exit.leave(3)
        registered[0]()
        self.assertEqual(self.ended, [3])

    def restore_signals(self):
        for number in (*runtime._STOPPING, *runtime._KILLING):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_no_signal_kills_it(self):
        """But those that nobody can catch, and those that mean that the program itself is broken."""
        self.restore_signals()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.exit.stop_on_signals()
        self.exit.outlive_user_signals()
        left = {
            number
            for number in signal.valid_signals() - set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
            if signal.getsignal(number) is signal.SIG_DFL
        }
        broken = {
            signal.SIGABRT,
            signal.SIGBUS,
            signal.SIGFPE,
            signal.SIGILL,
            signal.SIGSEGV,
            signal.SIGSYS,
            signal.SIGTRAP,
        }
        harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
        stopping = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
        self.assertEqual(left - broken - harmless - stopping, {signal.SIGKILL})

    def test_signals(self):
        self.restore_signals()
        calls = []
        self.reactor.callFromThread = lambda f, *arguments: calls.append((f, arguments))
        self.exit.stop_on_signals()
        signal.raise_signal(signal.SIGQUIT)
        self.assertEqual(self.ended, [])
        f, arguments = calls[0]
        f(*arguments)
        self.run_reactor()
        self.assertEqual((self.exit.status, self.stops), (0, [True]))
        signal.raise_signal(signal.SIGINT)
        self.assertEqual(self.ended, [128 + signal.SIGINT])

    def test_second_signal_before_the_first_was_noticed(self):
        self.restore_signals()
        self.reactor.callFromThread = lambda f, *arguments: None
        self.exit.stop_on_signals()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.ended, [128 + signal.SIGTERM])

    def test_user_signals(self):
        """SIGUSR1 renews the log, in the reactor's thread; neither ends the process, as both would by default."""
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        calls = []
        self.reactor.callFromThread = lambda f, *arguments: calls.append((f, arguments))
        self.exit.outlive_user_signals()
        renewed = []
        self.exit.renew_log = lambda: renewed.append(True)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        self.assertEqual(renewed, [])
        for f, arguments in calls:
            f(*arguments)
        self.assertEqual((renewed, self.stops, self.ended), ([True], [], []))

    def test_nohup_is_respected(self):
        self.restore_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.exit.stop_on_signals()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)


class StartErrorTests(SynchronousTestCase):
    def test_sentences(self):
        self.assertEqual(start_error(StoreUnavailable("no disk")), "no disk")
        self.assertIn("x.pem", start_error(FileNotFoundError(2, "No such file", "x.pem")))
        self.assertEqual(start_error(UsageError("--password-file: p is empty")), "--password-file: p is empty")
        self.assertIsNone(start_error(KeyError("a bug")))

    def test_refuse(self):
        error = self.assertRaises(SystemExit, refuse, "route", "no such option")
        self.assertEqual(error.code, "cim-route: no such option")

    def test_refuse_daemonized(self):
        """The process that waits at twistd's pipe gets the reason, and the pid file is removed."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as out:
            out.write("1")
        written = []
        parent = {"statusPipe": 7, "pidfile": path}
        error = self.assertRaises(
            SystemExit, refuse_in_twistd, parent, "é" + "x" * 200, lambda fd, data: written.append((fd, data))
        )
        self.assertEqual(error.code, 1)
        self.assertEqual(written[0][0], 7)
        self.assertTrue(written[0][1].startswith(b"1 \\xe9xx"))
        self.assertEqual(len(written[0][1]), 100)
        self.assertFalse(os.path.exists(path))

    def test_refuse_in_the_foreground(self):
        self.assertRaises(SystemExit, refuse_in_twistd, {"pidfile": ""}, "reason", None)


class MakeServiceTests(SynchronousTestCase):
    def make(self, parent):
        @one_line_errors
        def makeService(options, reactor=None):
            raise UsageError("--data x: no room")

        options = Options()
        options.parent, options.daemon = parent, "suite"
        return lambda: makeService(options, reactor=None)

    def test_one_line(self):
        self.assertEqual(self.assertRaises(SystemExit, self.make({})).code, "cim: --data x: no room")

    def test_without_twistd(self):
        self.assertRaises(UsageError, self.make(None))


class SystemdTests(SynchronousTestCase):
    def test_notify(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind("")  # an abstract name that the kernel chooses
            receiver.settimeout(5)
            sd_notify("READY=1", {"NOTIFY_SOCKET": "@" + receiver.getsockname()[1:].decode()})
            self.assertEqual(receiver.recv(64), b"READY=1")

    def test_nobody_listens(self):
        sd_notify("READY=1", {})
        events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        sd_notify("READY=1", {"NOTIFY_SOCKET": "/nowhere/notify"})
        self.assertEqual([event["log_level"].name for event in events], ["warn"])


class CollectorTests(SynchronousTestCase):
    """What garbage collections examine."""

    def test_existing_objects_are_excluded(self):
        self.addCleanup(gc.unfreeze)
        marked = [[]]
        spare_collector()
        self.assertGreater(gc.get_freeze_count(), 0)
        self.assertFalse(any(one is marked for one in gc.get_objects()))


class FileLimitTests(SynchronousTestCase):
    def test_raised(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.assertEqual(raise_file_limit(), hard)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))
        self.assertEqual([event["limit"] for event in events], [hard])
