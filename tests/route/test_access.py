"""Files with API keys."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from cim.ecim import Forbidden, InvalidField
from cim.route.access import Caller, read_keys


class KeyFileTests(SynchronousTestCase):
    """--api-key-file"""

    def keys(self, content):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return read_keys(path)

    def test_one_a_line(self):
        content = b"# for billing\nkey-0123456789-abc\n\n  key-0123456789-def  \r\n#no-key-0123456789\n"
        self.assertEqual(self.keys(content), ["key-0123456789-abc", "key-0123456789-def"])

    def test_what_is_refused(self):
        for content in (
            b"",
            b"# none\n",
            b"short\n",
            b"key-0123456789-abc\nshort\n",
            b"key 0123456789 abc\n",
            "key-0123456789-äöü\n".encode(),
            b"key-0123456789\0abc\n",
            b"\xff" * 20,
        ):
            with self.assertRaises(InvalidField) as raised:
                self.keys(content)
            self.assertNotIn("0123456789", raised.exception.message)

    def test_a_file_that_is_not_there(self):
        with self.assertRaises(InvalidField) as raised:
            read_keys(os.path.join(self.mktemp(), "none"))
        self.assertIn("cannot be read", raised.exception.message)


class CallerTests(SynchronousTestCase):
    """Who calls."""

    def test_an_operator_is_no_user(self):
        for caller in (Caller(operator=True), Caller()):
            with self.assertRaises(Forbidden):
                _ = caller.account
