"""Files that hold secrets."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from cim.private_files import MAX_BYTES, BadFile, read_private, replace_private


class PrivateFileTests(SynchronousTestCase):
    def setUp(self):
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"what nobody may see")
        self.path.chmod(0o600)

    def refused(self):
        error = str(self.assertRaises(BadFile, read_private, self.path))
        self.assertTrue(error.startswith(f"{self.path} "))
        self.assertNotIn("nobody", error)
        return error

    def owned_by(self, owner, reader, mode):
        """The file is that user's, and this process is another's: as the kernel would say it."""
        self.patch(os, "fstat", lambda descriptor: SimpleNamespace(st_uid=owner, st_mode=0o100000 | mode))
        self.patch(os, "geteuid", lambda: reader)

    def test_what_its_owner_alone_can_read(self):
        self.assertEqual(read_private(self.path), b"what nobody may see")
        self.assertEqual(read_private(str(self.path)), b"what nobody may see")

    def test_every_right_of_others_is_one_too_many(self):
        for bit in (0o040, 0o020, 0o010, 0o004, 0o002, 0o001):
            self.path.chmod(0o600 | bit)
            self.assertIn(f"(mode {0o600 | bit:04o})", self.refused())

    def test_the_mode_of_the_file_counts_and_not_that_of_a_link_to_it(self):
        link = Path(self.mktemp())
        link.symlink_to(self.path.absolute())
        self.assertEqual(read_private(link), b"what nobody may see")
        self.path.chmod(0o644)
        self.assertRaises(BadFile, read_private, link)

    def test_the_command_that_mends_it_does(self):
        self.path = self.path.with_name("a name with 'quotes'")
        self.path.write_bytes(b"x")
        self.path.chmod(0o666)
        command = shlex.split(self.refused().partition("): ")[2])
        self.assertEqual(command, ["chmod", "600", str(self.path)])

    def test_one_of_roots_may_be_open_to_the_group_of_a_daemon_that_is_not_root(self):
        for owner, reader, mode, fine in (
            (0, 1000, 0o640, True),
            (0, 1000, 0o440, True),
            (0, 1000, 0o660, False),
            (0, 1000, 0o644, False),
            (0, 0, 0o640, False),
            (1000, 1000, 0o640, False),
            (1001, 1000, 0o640, False),
        ):
            self.owned_by(owner, reader, mode)
            if fine:
                self.assertEqual(read_private(self.path), b"what nobody may see")
            else:
                self.refused()

    def test_long_ones(self):
        self.path.write_bytes(b"x" * MAX_BYTES)
        self.assertEqual(len(read_private(self.path)), MAX_BYTES)
        self.path.write_bytes(b"x" * (MAX_BYTES + 1))
        self.assertIn("longer than 65536 bytes", self.refused())

    def test_what_cannot_be_read(self):
        for path, why in ((Path("/nowhere"), "No such file"), (Path("/"), "directory"), ("a\0b", "null")):
            error = str(self.assertRaises(BadFile, read_private, path))
            self.assertIn("cannot be read: ", error)
            self.assertIn(why, error)


class ReplacingTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "secret"

    def test_only_the_owner_can_read_what_is_written(self):
        replace_private(self.path, b"one")
        self.path.chmod(0o644)
        replace_private(self.path, b"two")
        self.assertEqual(read_private(self.path), b"two")
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_what_cannot_be_written_leaves_nothing_behind(self):
        replace_private(self.path, b"one")

        def full(descriptor):
            raise OSError(errno.ENOSPC, "no space")

        self.patch(os, "fsync", full)
        self.assertRaises(OSError, replace_private, self.path, b"two")
        self.assertEqual((self.path.read_bytes(), list(self.folder.iterdir())), (b"one", [self.path]))
