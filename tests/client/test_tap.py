"""The client's options, and what its tap puts together."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.client.service import TerminalService
from cim.client.tap import Options, makeService
from cim.icim import IMessageListener

made = []


@implementer(IMessageListener)
class MadeListener:
    """What --listener names here."""

    def __init__(self):
        made.append(self)

    def received(self, client, message):
        """Not called."""


class OptionsTests(SynchronousTestCase):
    def parse(self, *arguments, **environ):
        options = Options(environ)
        options.parseOptions(arguments)
        return options

    def refused(self, *arguments):
        return str(self.assertRaises(UsageError, self.parse, *arguments))

    def test_defaults(self):
        options = self.parse("--user", "爱丽丝")
        self.assertEqual(options["user"], "爱丽丝")
        self.assertEqual(options["log-level"], "error")
        self.assertEqual(options["listeners"], [])
        self.assertFalse(options["stay"])

    def test_several_routes(self):
        options = self.parse("--user", "a", "--route", "http://x:1/", "--route", "y:2", "--stay")
        self.assertEqual(options["route"], ["http://x:1", "http://y:2"])
        self.assertTrue(options["stay"])

    def test_from_the_environment(self):
        options = self.parse(CIM_CLIENT_USER="alice", CIM_CLIENT_ROUTE="http://x,http://y", CIM_CLIENT_STAY="yes")
        self.assertEqual((options["user"], options["route"]), ("alice", ["http://x", "http://y"]))
        self.assertTrue(options["stay"])

    def test_refused(self):
        self.assertIn("--user", self.refused())
        self.assertIn("--user", self.refused("--user", "x" * 65))
        self.assertIn("--user", self.refused("--user", "a\x1bb"))
        self.assertIn("http://127.0.0.1:8083", self.refused("--user", "a", "--route", "ftp://x"))
        for name in ("nowhere.Listener", "os.nothing", "os.getcwd", "os.path", "x"):
            self.assertIn(f"--listener {name}", self.refused("--user", "a", "--listener", name))

    def test_a_listener_by_name(self):
        made.clear()
        options = self.parse("--user", "a", "--listener", "tests.client.test_tap.MadeListener")
        self.assertEqual([type(listener) for listener in options["listeners"]], [MadeListener])
        self.assertEqual(options["listeners"], made)

    def test_the_service_touches_nothing_before_it_is_started(self):
        reactor = MemoryReactorClock()
        root = makeService(self.parse("--user", "a", "--listener", "tests.client.test_tap.MadeListener"), reactor)
        self.assertEqual([type(child) for child in root], [TerminalService])
        self.assertEqual((reactor.tcpClients, reactor.getReaders(), reactor.getDelayedCalls()), ([], [], []))
