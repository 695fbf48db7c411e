"""The root service of a daemon. What needs a process is in tests/integration/test_twistd.py."""

from __future__ import annotations

import logging

from twisted.application.service import Application, Service
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon import root
from cim.daemon.config import DaemonOptions
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit
from cim.errors import CIMError


class Options(DaemonOptions):
    daemon = "server"


class Busy(Service):
    def privilegedStartService(self):
        raise CIMError("--http tcp:8081: cannot listen: Address already in use")


class DaemonRootTests(SynchronousTestCase):
    def make(self, parent=None, arguments=()):
        options = Options({})
        options.parent = parent
        options.parseOptions(arguments)
        reactor = MemoryReactorClock()
        return DaemonRoot(options, "server", reactor, Exit(reactor)), reactor

    def test_without_twistd_it_does_not_touch_the_process(self):
        """A test can run it: it changes no signal handler or limit, and does not exit."""
        service, reactor = self.make()
        service.add(Busy())
        self.assertRaises(CIMError, service.privilegedStartService)
        service, reactor = self.make()
        service.setServiceParent(Application("x"))
        service.startService()
        self.assertEqual(reactor.whenRunningHooks, [])
        self.successResultOf(service.stopService())

    def test_own_log(self):
        path = self.mktemp()
        parent = {"nodaemon": 1, "pidfile": "twistd.pid", "logfile": path, "syslog": 0}
        service, _ = self.make(parent, ["--log-level=warn", "--log-format=json"])
        handlers = list(logging.getLogger().handlers)
        self.addCleanup(setattr, logging.getLogger(), "handlers", handlers)
        application = Application("x")
        service.setServiceParent(application)
        observe = application.getComponent(ILogObserver)
        for level in (LogLevel.info, LogLevel.warn):
            observe({"log_level": level, "log_namespace": "cim.x", "log_format": level.name, "log_time": 0.0})
        with open(path, encoding="utf-8") as file:
            self.assertIn('"message": "warn"', file.read())
        with open(path, encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 1)

    def test_syslog_stays_twistds(self):
        parent = {"nodaemon": 1, "pidfile": "", "logfile": None, "syslog": 1}
        service, _ = self.make(parent)
        handlers = list(logging.getLogger().handlers)
        self.addCleanup(setattr, logging.getLogger(), "handlers", handlers)
        application = Application("x")
        service.setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver))

    def test_busy_port(self):
        service, _ = self.make({"nodaemon": 1, "pidfile": "", "logfile": None})
        service.add(Busy())
        self.assertEqual(self.assertRaises(SystemExit, service.privilegedStartService).code, 1)

    def test_a_bug_is_not_hidden(self):
        class Broken(Service):
            def startService(self):
                raise KeyError("bug")

        service, _ = self.make({"nodaemon": 1, "pidfile": "", "logfile": None})
        self.patch(root, "raise_file_limit", lambda: 0)
        self.patch(Exit, "end_process_with_status", lambda self: None)
        service.add(Broken())
        self.assertRaises(KeyError, service.startService)

    def test_systemd_is_told(self):
        told = []
        self.patch(root, "sd_notify", told.append)
        self.patch(root, "raise_file_limit", lambda: 0)
        self.patch(Exit, "end_process_with_status", lambda self: None)
        self.patch(Exit, "stop_on_signals", lambda self: told.append("signals"))
        self.patch(root, "spare_collector", lambda: told.append("collector"))
        service, reactor = self.make({"nodaemon": 1, "pidfile": "", "logfile": None})
        service.startService()
        self.assertEqual(told, [])
        for hook, arguments, keywords in reactor.whenRunningHooks:
            hook(*arguments, **keywords)
        self.successResultOf(service.stopService())
        self.assertEqual(told, ["signals", "collector", "READY=1", "STOPPING=1"])
