"""What docs/tutorial.md has people type, as it stands but for the ports."""

from __future__ import annotations

import json
import os
import re
import sys
from urllib.parse import urlsplit

from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from tests.examples.suite_case import PATIENCE, SuiteCase
from tests.harness.daemons import ROOT, environment
from tests.harness.spawning import DaemonProcess, free_port

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)


def block(kind, marker):
    """Return the one block of a kind in which something stands."""
    [found] = [text for its, text in BLOCKS if its == kind and marker in text]
    return found


class TutorialTests(SuiteCase):
    async def setUp(self):
        from twisted.internet import reactor

        self.receiver_port = free_port()
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(f"{self.folder}/var")
        os.symlink(ROOT / "examples", f"{self.folder}/examples")
        os.makedirs(f"{self.folder}/.venv")
        os.symlink(os.path.dirname(sys.executable), f"{self.folder}/.venv/bin")
        self.reactor = reactor
        secret, self.receive = block("", "webhook_receiver").splitlines()
        await self.shell(secret)
        config = block("toml", "[[webhook]]").replace("8099", str(self.receiver_port))
        config = config.replace('"var/', f'"{self.folder}/var/')
        with open(f"{self.folder}/tutorial.toml", "w") as file:
            file.write(config)
        self.options = ("--config", f"{self.folder}/tutorial.toml")
        await super().setUp()
        os.symlink(f"{self.data}/api-keys", f"{self.folder}/var/api-keys")

    async def shell(self, script):
        """Run lines in the folder of the tutorial; return what they print."""
        port = str(urlsplit(self.suite.url).port) if hasattr(self, "suite") else ""
        variables = {"XDG_DATA_HOME": f"{self.folder}/share", "CIM_ADMIN_ROUTE": f"http://127.0.0.1:{port}"}
        out, err, status = await getProcessOutputAndValue(
            "/bin/sh",
            ["-ec", script.replace("8083", port)],
            env=environment({**variables, "PATH": os.environ["PATH"]}),
            path=self.folder,
            reactor=self.reactor,
        )
        self.assertEqual(status, 0, (script, err))
        return out.decode()

    def program(self, *command, ready_when):
        """Return a program of the tutorial, to be started in its folder."""
        variables = {"XDG_DATA_HOME": f"{self.folder}/share"}
        process = DaemonProcess(
            self.reactor,
            [sys.executable, *command],
            environment(variables),
            self.folder,
            name=command[0],
            ready_when=ready_when,
        )
        self.addCleanup(process.stop)
        return process

    async def test_from_top_to_bottom(self):
        bot = self.program(
            "-c", block("python", "helper").replace("8083", str(urlsplit(self.suite.url).port)), ready_when="is online"
        )
        await bot.start()
        _, *receiver = self.receive.split()
        heard = self.program(*receiver, "--port", str(self.receiver_port), ready_when="listening")
        await heard.start()

        account, token, talks, mute = (block("", marker) for marker in ("external_id", "T=", "conversations", "mute"))
        made = json.loads(await self.shell(account))
        said = account + token
        *_, position = (await self.shell(said)).splitlines()[-1].rpartition('"position":"')
        self.assertRegex(position, r"^[0-9]+-1\"")
        texts = ["hello from Mary", "You said: hello from Mary"]
        deadline = self.reactor.seconds() + PATIENCE
        while len(heard.out) < len(texts) and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.05)
        self.assertEqual([json.loads(line)["data"]["text"] for line in heard.out], texts)
        self.assertEqual(json.loads(heard.out[0])["data"]["sender"], made["id"])
        told = await self.shell(said + talks)
        self.assertIn('"unread":1', told)
        refused = (await self.shell(said + mute)).rpartition("{")[2]
        self.assertIn('"code":"muted"', refused)
        self.assertIn("shouting", refused)
