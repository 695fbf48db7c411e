from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from attrs import define, evolve

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.client.message_log import MessageLog
from cim.client.values import Kind, Message, User
from cim.interfaces import IMessageListener
from tests.store.contract import NASTY_NAMES


@define
class Client:
    me: User | None


SAID = Message("g:0", "", User(1002, "bob"), 0, "你好 👋")


class MessageLogTests(SynchronousTestCase):
    def setUp(self):
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.to_day(2024, 9, 3)
        self.client = Client(User(1001, "alice"))
        self.log = MessageLog(self.directory, time_of_day=self.clock.seconds)
        self.addCleanup(self.log.close)

    def to_day(self, year, month, day, hour=12):
        self.clock.rightNow = time.mktime((year, month, day, hour, 0, 0, 0, 0, -1))

    def lines(self, name="202493.log", user="alice"):
        return (self.directory / user / name).read_text(encoding="utf-8").splitlines()

    def test_lines_are_like_upstreams(self):
        verifyObject(IMessageListener, self.log)
        self.log.received(self.client, SAID)
        self.log.received(self.client, evolve(SAID, text=":emoji: a;;b", mine=True))
        self.log.received(self.client, evolve(SAID, sender=User(0, "")))
        self.assertEqual(self.lines(), ["bob:你好 👋", ":emoji: a;;b", "nobody:你好 👋"])

    def test_a_file_a_day_in_local_time(self):
        for day in ((2024, 9, 3, 0), (2024, 9, 3, 23), (2024, 9, 4, 0), (2024, 12, 31, 23)):
            self.to_day(*day)
            self.log.received(self.client, SAID)
        files = {name: len(self.lines(name)) for name in os.listdir(self.directory / "alice")}
        self.assertEqual(files, {"202493.log": 2, "202494.log": 1, "20241231.log": 1})

    def test_it_appends_to_existing_files(self):
        for _ in range(2):
            self.log.received(self.client, SAID)
            self.log.close()
        self.assertEqual(len(self.lines()), 2)
        [path] = (self.directory / "alice").iterdir()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_a_message_is_one_line(self):
        for text in ("a\nbob:forged", "a\r\nb", "a\u2028b\x0bc", "", "\n"):
            self.log.received(self.client, evolve(SAID, text=text))
        self.assertEqual(len(self.lines()), 5)
        self.assertEqual(self.lines()[0], "bob:a\\nbob:forged")

    def test_no_name_holds_what_ends_names(self):
        self.log.received(self.client, evolve(SAID, sender=User(1003, "bob:I owe you"), text="yes"))
        self.assertEqual(self.lines(), ["bob<U+003A>I owe you:yes"])

    def test_no_line_controls_the_terminal_that_shows_it(self):
        self.log.received(self.client, evolve(SAID, text="a\x1b]0;owned\x07\x9b2J\x08\tb\u202ec 👨‍👩‍👧 \ud800"))
        self.log.received(self.client, evolve(SAID, sender=User(1003, "m\x1b[2Jallory"), text="x"))
        self.assertEqual(
            self.lines(), ["bob:a␛]0;owned␇\\u009b2J␈\tb\\u202ec 👨‍👩‍👧 \ufffd", "m<U+001B><U+005B>2Jallory:x"]
        )

    def test_edits_are_new_texts_and_other_kinds_are_left_out(self):
        for kind in Kind:
            self.log.received(self.client, evolve(SAID, text=kind.value, kind=kind))
        self.assertEqual(self.lines(), ["bob:text", "bob:edit"])

    def test_nobody_is_logged_in(self):
        self.log.received(Client(None), SAID)
        self.assertFalse(self.directory.exists())

    def test_any_name_is_a_folder_of_its_own(self):
        names = [*NASTY_NAMES, "..", ".", "a/b", "../alice", "\ud800", "a\\b"]
        paths = set()
        for name in names:
            self.client.me = User(1, name)
            self.log.received(self.client, SAID)
            paths.add(self.log.path(name))
        self.assertEqual(len(paths), len(names))
        self.assertEqual(len([*self.directory.iterdir()]), len(names))
        self.assertEqual(self.log.path("张三").parent.name, "张三")
