from __future__ import annotations

import json
import os
import stat

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.client.library import Message
from cim.client.tap import Options
from cim.icim import IMessageListener
from examples.save_messages import SaveMessages


class SaveMessagesTests(SynchronousTestCase):
    def test_messages_are_in_the_file_at_once_and_stay_there(self):
        path = self.mktemp()
        for text in ("你好\n👋", "\ud800"):
            listener = SaveMessages(path)
            self.addCleanup(listener._file.close)
            verifyObject(IMessageListener, listener)
            listener.received(None, Message(1001, "bob", text))
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
