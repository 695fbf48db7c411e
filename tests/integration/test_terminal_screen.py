"""The line editor, seen on the screens of real terminals, against a suite of its own."""

from __future__ import annotations

import os

from twisted.trial.unittest import TestCase
from zope.interface import implementer

from cim.interfaces import IMessageListener
from tests.harness.daemons import Daemon, environment, loopback, twistd
from tests.harness.screens import ScreenProcess
from tests.harness.spawning import free_port, private_file


@implementer(IMessageListener)
class BrokenListener:
    """What --listener names here."""

    def received(self, client, message):
        raise ZeroDivisionError


class ScreenTests(TestCase):
    timeout = 180

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        http = free_port()
        arguments = ("cim", "--data", "data", "--listen", loopback(free_port()), "--http", loopback(http))
        self.suite = Daemon(reactor, "suite", http, arguments, self.mktemp(), None)
        self.addCleanup(self.suite.stop)
        await self.suite.start()

    async def terminal(self, user, columns=80, rows=24, options=(), **environ):
        screen = ScreenProcess(self.reactor, columns, rows)
        directory = self.mktemp()
        os.makedirs(directory)
        surroundings = {"XDG_DATA_HOME": os.path.abspath(directory), "TERM": "xterm-256color", **environ}
        argv = [*twistd()[:2], "cim-client", "--route", self.suite.url, *options, user]
        screen.start(argv, environment(surroundings), directory)
        self.addCleanup(screen.stop)
        await screen.wait_for(f"you are {user}", "everyone>", "●")
        return screen

    async def test_messages_come_above_the_line_that_is_typed(self):
        alice = await self.terminal("alice")
        bob = await self.terminal("bob")
        alice.type("half a 你好 line")
        await alice.wait_for("everyone> half a 你好 line")
        bob.type("hello :wave:\r")
        await alice.wait_for("bob: hello 👋")
        await bob.wait_for("✓ me: hello 👋")
        rows = [line for line in alice.lines if "bob: hello" in line or "half a" in line or "●" in line]
        self.assertEqual(len(rows), 3)
        self.assertTrue(rows[0].endswith("bob: hello 👋") and rows[1] == "everyone> half a 你好 line", rows)
        alice.type(" goes on\r")
        await bob.wait_for("alice: half a 你好 line goes on")
        self.assertTrue(any("password" in line for line in alice.lines))

    async def test_private_talk_is_read_and_counted(self):
        alice = await self.terminal("alice")
        bob = await self.terminal("bob")
        alice.type("@bob שלום\r")
        await bob.wait_for("alice → me: שלום", "unread: alice 1")
        bob.type(":to al\t\r")
        await bob.wait_for("you are now talking to alice")
        await alice.wait_for("✓✓ bob has read")
        bob.type("x")
        await bob.wait_until(lambda: not bob.shows("unread"), "nothing to be unread")

    async def test_pastes(self):
        alice = await self.terminal("alice", 200, 50)
        bob = await self.terminal("bob")
        alice.paste("\r".join(f"line {n}" for n in range(500)) + "\r")
        await alice.wait_for("500 lines: Enter sends one message", "line 499")
        alice.type("\r")
        await bob.wait_for("line 499")
        alice.type("still here\r")
        await bob.wait_for("alice: still here")
        alice.paste("x" * 10_000)
        await alice.wait_for("10000 characters")
        alice.type("\r")
        await alice.wait_until(lambda: not alice.shows("characters"), "the long line to be sent")
        alice.paste("one\ntwo")
        alice.type("\x1b\r")
        await bob.wait_for("alice: one", "alice: two")
        alice.paste("y" * 50_000)
        alice.type("\r")
        await alice.wait_for("a message has at most")

    async def test_another_size(self):
        alice = await self.terminal("alice")
        bob = await self.terminal("bob")
        alice.type("typed before")
        await alice.wait_for("everyone> typed before")
        alice.resize(40, 10)
        bob.type("a line of more than forty columns, which is wrapped\r")
        await alice.wait_for("everyone> typed before", "is wrapped")

    async def test_without_colours(self):
        alice = await self.terminal("alice", NO_COLOR="1")
        alice.type("hello\r")
        await alice.wait_for("✓ me: hello")
        alice.type(":q hello\r")
        await alice.wait_for("#1 ")
        for colour in range(30, 38):
            self.assertNotIn(b"\x1b[%dm" % colour, alice.output)

    async def test_leaving_gives_the_terminal_back(self):
        alice = await self.terminal("alice")
        alice.type("\x03")
        await alice.wait_for("to leave, type :q!")
        alice.type(":q!\r")
        self.assertEqual(await alice.wait_for_exit(), 0)
        self.assertFalse(alice.shows("everyone>"))
        self.assertIn(b"\x1b[?2004l", alice.output)

    async def test_a_signal_ends_it(self):
        alice = await self.terminal("alice")
        alice.signal("TERM")
        self.assertEqual(await alice.wait_for_exit(), 0)

    async def test_a_listener_that_fails_is_told_above_the_line(self):
        alice = await self.terminal(
            "alice", 200, 50, ("--listener", "tests.integration.test_terminal_screen.BrokenListener")
        )
        alice.type("half a line")
        bob = await self.terminal("bob")
        bob.type("hello\r")
        await alice.wait_for("bob: hello", "ZeroDivisionError", "everyone> half a line")

    async def test_the_same_device_elsewhere_ends_it(self):
        password = os.path.abspath(self.mktemp())
        private_file(password, "a password of alice")
        options = ("--password-file", password)
        first = await self.terminal("alice", options=options)
        await self.terminal("alice", options=options)
        self.assertEqual(await first.wait_for_exit(), 1)
        self.assertIn("a newer login of this user", "\n".join(first.lines[-3:]))
        self.assertTrue(first.lines[-1].endswith("the login policy allows only one device"), first.lines)

    async def test_on_their_way_while_the_suite_is_away(self):
        alice = await self.terminal("alice")
        await self.suite.kill()
        await alice.wait_for("reconnecting")
        alice.type("said meanwhile\r")
        await alice.wait_for("… me: said meanwhile")
        await self.suite.start()
        await alice.wait_for("✓ me: said meanwhile", "●")
