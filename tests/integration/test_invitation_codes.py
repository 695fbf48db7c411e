"""A suite that asks for invitations, as an operator and new users see it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.harness.daemons import Daemon, environment, loopback, twistd
from tests.harness.screens import ScreenProcess
from tests.harness.spawning import DaemonProcess, free_port

CODE = "[a-z2-7]{26}"


class InvitationTests(TestCase):
    timeout = 180

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        http = free_port()
        self.directory = os.path.abspath(self.mktemp())
        arguments = ("cim", "--data", "data", "--listen", loopback(free_port()), "--http", loopback(http))
        arguments += ("--websocket", "", "--accounts", "invited")
        self.suite = Daemon(reactor, "suite", http, arguments, self.directory, None)
        self.addCleanup(self.suite.stop)
        await self.suite.start()

    async def admin(self, *arguments):
        """Return what `cim-admin` prints on standard output and standard error, and its status."""
        options = ("--route", self.suite.url, "--api-key-file", os.path.join(self.directory, "data", "api-keys"))
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-m", "cim.admin", arguments[0], *options, *arguments[1:]], environment()
        )
        return out.decode(), err.decode(), status

    def client(self, name, *options, ready="logged in as"):
        process = DaemonProcess(
            self.reactor,
            twistd("cim-client", "--user", name, "--route", self.suite.url, "--data", "clients", *options),
            environment(),
            self.directory,
            ready_when=ready,
            name=f"client {name}",
        )
        self.addCleanup(process.stop)
        return process

    async def test_from_the_first_start_on(self):
        await self.suite.wait_for_line("Ctrl-C stops it")
        shown = "\n".join(self.suite.lines)
        first = re.search(rf"^    ({CODE})$", shown, re.MULTILINE)
        self.assertEqual(shown.count(first[1]), 1)
        await self.client("alice", "--invitation", first[1]).start()
        # Nobody is there to be asked.
        bob = self.client("bob", ready="--invitation CODE")
        await bob.start()
        self.assertEqual(await bob.wait_for_exit(), 1)
        self.assertIn("an invitation is needed here", "\n".join(bob.lines))
        out, said, status = await self.admin("invite", "--note", "for bob")
        self.assertEqual(status, 0, said)
        self.assertRegex(out, f"^{CODE}\n$")
        self.assertIn("1 new account until", said)
        await self.client("bob", "--invitation", out.strip()).start()
        keys = Path(self.directory, "data", "api-keys")
        keys.write_text(f"operator {keys.read_text()}")
        heading, *listed = (await self.admin("invitations"))[0].splitlines()
        self.assertEqual((heading.split(), len(listed)), (["ID", "USED", "EXPIRES", "NOTE"], 2))
        self.assertRegex(listed[0], "1 of 10 .* UTC  shown at the first start$")
        self.assertRegex(listed[1], "1 of 1 .* UTC  for bob$")
        shown = [json.loads(line)["note"] for line in (await self.admin("invitations", "--json"))[0].splitlines()]
        self.assertEqual(shown, ["shown at the first start", "for bob"])
        out, said, status = await self.admin("revoke", listed[0].split()[0])
        self.assertEqual((out, status), ("", 0), said)
        carol = self.client("carol", "--invitation", first[1], ready="not valid")
        await carol.start()
        self.assertEqual(await carol.wait_for_exit(), 1)
        out, said, status = await self.admin("revoke", listed[0].split()[0])
        self.assertEqual((out, said, status), ("", "cim-admin: there is no such invitation\n", 1))
        # The second start shows no other.
        await self.suite.stop()
        self.suite.lines.clear()
        await self.suite.start()
        await self.suite.wait_for_line("or from anywhere")
        self.assertIsNone(re.search(rf"^    {CODE}$", "\n".join(self.suite.lines), re.MULTILINE))
        self.assertTrue(any("cim-admin invite" in line for line in self.suite.lines))

    async def test_somebody_who_is_there_is_asked(self):
        code = (await self.admin("invite"))[0].strip()
        screen = ScreenProcess(self.reactor, 100, 24)
        surroundings = {"XDG_DATA_HOME": self.directory, "TERM": "xterm-256color"}
        argv = [*twistd()[:2], "cim-client", "--route", self.suite.url, "dave"]
        screen.start(argv, environment(surroundings), self.directory)
        self.addCleanup(screen.stop)
        await screen.wait_for("an invitation is needed here")
        screen.type("\r")  # no password: the name is new
        await screen.wait_for("everyone>")
        screen.type("wrong\r")
        await screen.wait_for("this invitation is not valid")
        screen.type(f"{code}\r")
        await screen.wait_for("you are dave")
