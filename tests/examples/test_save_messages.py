from __future__ import annotations

import json
import os
import stat

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.client.values import Message, User
from cim.interfaces import IMessageListener
from cim.terminal.tap import Options
from examples.save_messages import SaveMessages
from tests.examples.suite_case import SuiteCase


class SaveMessagesTests(SynchronousTestCase):
    def test_messages_are_in_the_file_at_once_and_stay_there(self):
        path = self.mktemp()
        for text in ("你好\n👋", "\ud800"):
            listener = SaveMessages(path)
            self.addCleanup(listener._file.close)
            verifyObject(IMessageListener, listener)
            listener.received(None, Message("g:0", "", User(1001, "bob"), 0, text))
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual([line["text"] for line in lines], ["你好\n👋", "\ud800"])
        self.assertEqual((lines[0]["from"], lines[0]["name"]), (1001, "bob"))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_the_client_takes_it_by_name(self):
        self.patch(os, "environ", {**os.environ, "CIM_MESSAGES": self.mktemp()})
        options = Options({})
        options.parseOptions(["--user", "alice", "--listener", "examples.save_messages.SaveMessages"])
        [listener] = options["listeners"]
        self.addCleanup(listener._file.close)
        self.assertIsInstance(listener, SaveMessages)


class ProgramTests(SuiteCase):
    async def test_it_saves_each_message_once_over_restarts(self):
        saver = self.example("save_messages", "--user", "archive", "--file", "saved.jsonl")
        await saver.start()
        alice, _ = await self.user("alice")
        archive = await alice.user("archive")
        for text in ("你好\n👋", "two"):
            await alice.send(archive, text)
        await saver.stop()
        sent = await alice.send(archive, "while it was away")
        await saver.start()
        path = os.path.join(self.directory, "saved.jsonl")

        def lines():
            with open(path) as file:
                return [json.loads(line) for line in file]

        while len(lines()) < 3:
            await deferLater(self.reactor, 0.02)
        self.assertEqual([line["text"] for line in lines()], ["你好\n👋", "two", "while it was away"])
        last = lines()[-1]
        self.assertEqual((last["name"], last["from"], last["position"]), ("alice", alice.me.id, sent.position))
