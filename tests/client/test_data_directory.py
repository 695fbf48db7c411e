from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.client.data_directory import DataDirectory, data_home, folder_name, system_name
from cim.client.values import Password
from cim.errors import CIMError, InvalidField
from tests.store.contract import NASTY_NAMES

ROUTE = "http://chat.example:8083"


class PathTests(SynchronousTestCase):
    def test_home(self):
        self.assertEqual(data_home({"XDG_DATA_HOME": "/data"}), Path("/data/cim"))
        for none in ({}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "data"}):
            self.assertEqual(data_home(none), Path(os.path.expanduser("~/.local/share/cim")))

    def test_systems(self):
        for route, name in (
            ("http://127.0.0.1:8083", "127.0.0.1-8083"),
            ("http://127.0.0.1:8083/", "127.0.0.1-8083"),
            ("https://Chat.Example", "chat.example-443"),
            ("http://chat.example", "chat.example-80"),
            ("https://chat.example/cim/", "chat.example-443%2Fcim"),
            ("http://[::1]:8083", "%3A%3A1-8083"),
        ):
            self.assertEqual(system_name(route), name)
        for route in ("", "chat.example:8083", "ftp://chat.example", "http://", "http://x:port", "http://x:99999"):
            self.assertRaises(InvalidField, system_name, route)

    def test_a_user_is_a_folder_of_its_own(self):
        names = [
            *NASTY_NAMES,
            *(".", "..", ".a", "%2E", "a/b", "/etc", "../../x", "", "a\\b", "~", "-rf", "con", "\ud800"),
            *("好" * 64, "好" * 63 + "坏", "\U0001f600" * 63 + "~"),
        ]
        folders = {folder_name(name) for name in names}
        self.assertEqual(len(folders), len(set(names)))
        for folder in folders:
            self.assertNotIn("/", folder)
            self.assertNotIn(folder, (".", ".."))
            self.assertLessEqual(len(folder.encode()), 255)
        self.assertEqual(folder_name("alice"), "alice")
        self.assertEqual(folder_name("a b"), "a%20b")

    def test_whole_paths(self):
        directory = DataDirectory.of("/data/cim", ROUTE, "../alice")
        self.assertEqual(directory.path, Path("/data/cim/chat.example-8083/%2E.%2Falice"))
        self.assertEqual(directory.history, directory.path / "history.db")


class ClaimTests(SynchronousTestCase):
    def test_each_has_a_number_and_a_history_of_its_own(self):
        path = self.mktemp()
        first, second = DataDirectory(path), DataDirectory(path)
        self.assertEqual((first.claim(), second.claim()), (1, 2))
        self.assertEqual(first.numbered_history(1), first.history)
        self.assertEqual(second.numbered_history(2).name, "history-2.db")
        os.close(first._claims.pop())
        self.assertEqual(DataDirectory(path).claim(), 1)

    def test_a_folder_that_cannot_be_written(self):
        path = self.mktemp()
        open(path, "w").close()
        self.assertIn(path, str(self.assertRaises(CIMError, DataDirectory(path).claim)))


class PasswordTests(SynchronousTestCase):
    def setUp(self):
        self.directory = DataDirectory.of(self.mktemp(), ROUTE, "张三")

    def test_a_password_is_made_once_and_reused(self):
        self.assertIsNone(self.directory.password())
        made = self.directory.make_password()
        self.assertGreaterEqual(len(made), 32)
        self.assertEqual(self.directory.make_password(), made)
        again = DataDirectory(self.directory.path)
        self.assertEqual((again.password(), again.make_password()), (made, made))
        self.assertEqual(os.listdir(self.directory.path), ["password"])

    def test_credentials(self):
        credentials = self.directory.credentials("张三")
        self.assertEqual(credentials, Password("张三", self.directory.password(), create=True))

    def test_other_users_have_other_passwords(self):
        other = DataDirectory.of(self.directory.path.parent.parent, ROUTE, "李四")
        self.assertNotEqual(self.directory.make_password(), other.make_password())

    def test_only_its_user_can_read_it(self):
        self.directory.make_password()
        self.assertEqual(stat.S_IMODE(os.stat(self.directory.password_file).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory.path).st_mode), 0o700)

    def test_a_password_that_another_process_made_first_stays(self):
        other = DataDirectory(self.directory.path)

        def random(count):
            self.theirs = other.make_password()
            return b"\0" * count

        mine = DataDirectory(self.directory.path, random)
        self.assertEqual(mine.make_password(), self.theirs)
        self.assertEqual(os.listdir(self.directory.path), ["password"])

    def test_a_password_file_written_by_hand(self):
        self.directory.path.mkdir(parents=True)
        self.directory.password_file.write_text("correct horse \n")
        self.assertEqual(self.directory.make_password(), "correct horse ")

    def test_a_dropped_password(self):
        made = self.directory.make_password()
        self.directory.drop_password()
        self.directory.drop_password()
        self.assertIsNone(self.directory.password())
        self.assertNotEqual(self.directory.make_password(), made)

    def test_errors_name_the_file(self):
        self.directory.path.mkdir(parents=True)
        for content in (b"", b"\n", b"\xff"):
            self.directory.password_file.write_bytes(content)
            error = self.assertRaises(CIMError, self.directory.make_password)
            self.assertIn(str(self.directory.password_file), error.message)
        in_a_file = DataDirectory(self.directory.password_file / "x")
        error = self.assertRaises(CIMError, in_a_file.make_password)
        self.assertIn(str(in_a_file.password_file), error.message)
