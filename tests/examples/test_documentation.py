"""The programs in docs/client.md, as they stand but for the route's address."""

from __future__ import annotations

import re
import sys

from twisted.internet.utils import getProcessOutputAndValue

from tests.examples.suite_case import SuiteCase
from tests.harness.daemons import ROOT, environment

PROGRAMS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "client.md").read_text(), re.MULTILINE | re.DOTALL)
WHOLE = [program for program in PROGRAMS if "http://127.0.0.1:8083" in program]


class ProgramTests(SuiteCase):
    async def run_(self, marker):
        [program] = [program for program in WHOLE if marker in program]
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            ["-c", program.replace("http://127.0.0.1:8083", self.suite.url)],
            env=environment({"XDG_DATA_HOME": self.directory}),
            reactor=self.reactor,
        )
        self.assertEqual((status, err.decode()), (0, ""))
        return out.decode().splitlines()

    async def test_say_and_hear(self):
        lines = await self.run_("class Printer")
        self.assertEqual(lines[0], "alice: hello, everyone")
        self.assertRegex(lines[1], "stored at [0-9]+-1")

    async def test_users_and_groups(self):
        lines = await self.run_("create_group")
        self.assertEqual(lines[0], "bob is not here yet")
        self.assertEqual([line.split(" ", 1)[1] for line in lines[1:]], ["text Is anyone awake?", "reaction 👍"])
        await self.user("bob")
        self.assertNotIn("bob is not here yet", await self.run_("create_group"))

    async def test_remember(self):
        said = "archivist 今天天气很好"
        self.assertEqual(await self.run_("client.search"), [said])
        self.assertEqual(await self.run_("client.search"), [said, said])

    async def test_asyncio(self):
        self.assertEqual(await self.run_("asyncio.run"), ["hello, everyone"])
