"""A backup of a suite that people talk through, and the suite once it is put back: `cim-admin` as operators run it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from twisted.internet.defer import gatherResults

from tests.examples.suite_case import SuiteCase
from tests.harness.daemons import environment
from tests.harness.spawning import DaemonProcess

BEFORE, MEANWHILE = 20, 100


class BackupTests(SuiteCase):
    options = ("--login-policy", "many")

    async def admin(self, *arguments, status=0):
        """Run `cim-admin`, and return the lines that it said."""
        command = [sys.executable, "-m", "cim.admin", *arguments]
        process = DaemonProcess(self.reactor, command, environment(), self.directory, ready_when=None)
        self.addCleanup(process.kill)
        await process.start()
        self.assertEqual(await process.wait_for_exit(), status, process.lines)
        return process.lines

    async def test_what_was_acknowledged_before_is_there_again(self):
        """The backup is made while messages come; who is online when the suite comes back goes on."""
        alice, _ = await self.user("alice")
        bob, inbox = await self.user("bob")
        for n in range(BEFORE):
            await alice.send(bob.me.id, f"{n}")
        sending = [alice.send(bob.me.id, f"{BEFORE + n}") for n in range(MEANWHILE)]
        backup = os.path.join(self.directory, "backup")
        (line,) = await self.admin("backup", backup, "--data", self.data, "--secrets")
        await gatherResults(sending)
        self.assertTrue(line.startswith(f"{backup} has 2 accounts, 0 groups, 1 conversation and "), line)
        kept = int(re.search(r"(\d+) messages", line)[1])
        self.assertGreaterEqual(kept, BEFORE)
        await self.suite.stop()
        await self.admin("check", "--data", self.data)
        (line,) = await self.admin("restore", backup, "--data", self.data)
        aside = Path(line.rpartition(" ")[2])
        self.assertLessEqual({"api-keys", "cim.db", "secret"}, {path.name for path in aside.iterdir()})
        await self.suite.start()
        # Somebody new to this device gets what was said before the backup, and what is said now, once.
        _, fresh = await self.user("bob", device="another")
        await fresh.texts(*(f"{n}" for n in range(kept)))
        await alice.send(bob.me.id, "after")
        await fresh.texts(*(f"{n}" for n in range(kept)), "after")
        await inbox.texts(*(f"{n}" for n in range(BEFORE + MEANWHILE)), "after")
        await self.admin("check", "--data", self.data)

    async def test_a_suite_that_runs_is_not_overwritten(self):
        backup = os.path.join(self.directory, "backup")
        await self.admin("backup", backup, "--data", self.data)
        (line,) = await self.admin("restore", backup, "--data", self.data, status=1)
        self.assertEqual(line, f"cim-admin: {self.data}/cim.db is in use: stop the suite first")
        self.assertEqual([path.name for path in Path(self.data).glob("*restor*")], [])
