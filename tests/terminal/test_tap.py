"""Tests of the client's options and of the service made of them."""

from __future__ import annotations

import os
import socket

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.interfaces import IMessageListener
from cim.terminal.console.robot import Robot
from cim.terminal.service import TerminalService
from cim.terminal.tap import Options, makeService

made = []


@implementer(IMessageListener)
class MadeListener:
    """The listener that --listener names in these tests."""

    def __init__(self):
        made.append(self)

    def received(self, client, message):
        """Do nothing: it is never called."""


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
        self.assertFalse(options["stay"] or options["guest"])
        self.assertIsInstance(options["answerer"], Robot)
        self.assertEqual(options.routes, ["http://127.0.0.1:8083"])
        self.assertFalse(options["look"].editing)

    def test_only_a_name(self):
        self.assertEqual(self.parse("--stay", "alice")["user"], "alice")
        self.assertIn("only one user name", self.refused("--user", "a", "b"))
        self.assertIn("only one user name", self.refused("a", "b"))

    def test_where_data_is_kept(self):
        at = "cim/127.0.0.1-8083/alice"
        self.assertEqual(str(self.parse("alice", XDG_DATA_HOME="/data").folder.path), f"/data/{at}")
        self.assertTrue(str(self.parse("alice").folder.path).endswith(f"/.local/share/{at}"))
        self.assertEqual(str(self.parse("alice", "--data", "/x").folder.path), "/x/127.0.0.1-8083/alice")
        self.assertIsNone(self.parse("alice", "--guest").folder)
        self.assertIsNone(self.parse("alice", "--data", "", "--password-file", "p").folder)
        self.assertIsNone(self.parse("alice", "--data", "", "--token-file", "t").folder)
        self.assertIn("--password-file", self.refused("alice", "--data", ""))

    def test_a_token_takes_the_place_of_a_password(self):
        self.assertEqual(self.parse("alice", "--token-file", "t")["token-file"], "t")
        for other in (("--password-file", "p"), ("--guest",), ("--invitation", "i")):
            self.assertIn("--token-file", self.refused("alice", "--token-file", "t", *other))

    def test_devices_of_two_machines_differ(self):
        self.assertIn(socket.gethostname()[:40], self.parse("alice").device())
        self.assertEqual(self.parse("alice", "--device", "tablet").device(), "tablet")

    def test_several_routes(self):
        options = self.parse("--user", "a", "--route", "http://x:1/", "--route", "y:2", "--stay")
        self.assertEqual(options["route"], ["http://x:1", "http://y:2"])
        self.assertTrue(options["stay"])

    def test_options_from_the_environment(self):
        options = self.parse(CIM_CLIENT_USER="alice", CIM_CLIENT_ROUTE="http://x,http://y", CIM_CLIENT_STAY="yes")
        self.assertEqual((options["user"], options["route"]), ("alice", ["http://x", "http://y"]))
        self.assertTrue(options["stay"])

    def test_invalid_options_are_refused(self):
        self.assertIn("--user", self.refused())
        self.assertIn("--user", self.refused("--user", "x" * 65))
        self.assertIn("--user", self.refused("--user", "a\x1bb"))
        self.assertIn("http://127.0.0.1:8083", self.refused("--user", "a", "--route", "ftp://x"))
        for name in ("nowhere.Listener", "os.nothing", "os.getcwd", "os.path", "x"):
            self.assertIn(f"--listener {name}", self.refused("--user", "a", "--listener", name))
            self.assertIn(f"--ai {name}", self.refused("--user", "a", "--ai", name))

    def test_a_listener_by_name(self):
        made.clear()
        options = self.parse("--user", "a", "--listener", "tests.terminal.test_tap.MadeListener")
        self.assertEqual([type(listener) for listener in options["listeners"]], [MadeListener])
        self.assertEqual(options["listeners"], made)

    def test_the_robot_may_be_given_by_its_former_name(self):
        options = self.parse("a", "--ai", "cim.client.console.robot.Robot")
        self.assertIsInstance(options["answerer"], Robot)

    def test_whom_it_believes(self):
        pin = "sha256:" + "ab" * 32
        options = self.parse("a", "--ca", "x.pem", "--pin", pin.upper().replace("SHA", "sha"), "--insecure")
        self.assertEqual((options["ca"], options.pins, bool(options["insecure"])), ("x.pem", [pin], True))
        self.assertEqual(self.parse("a", CIM_CLIENT_PIN=f"{pin},{pin}").pins, [pin, pin])
        self.assertEqual(self.parse("a", "--pin", "first").pins, ["first"])
        self.assertEqual(self.parse("a").pins, [])
        for wrong in ("sha256:1", "none", "", "sha1:" + "a" * 40):
            self.assertIn("--pin", self.refused("a", "--pin", wrong))
        self.assertIn("--pin first", self.refused("a", "--pin", "first", "--pin", pin))

    def test_the_service_touches_nothing_before_it_is_started(self):
        reactor = MemoryReactorClock()
        data = self.mktemp()
        options = self.parse("a", "--data", data, "--listener", "tests.terminal.test_tap.MadeListener")
        root = makeService(options, reactor)
        self.assertEqual([type(child) for child in root], [TerminalService])
        self.assertEqual((reactor.tcpClients, reactor.getReaders(), reactor.getDelayedCalls()), ([], [], []))
        self.assertFalse(os.path.exists(data))
