"""Tests of reset codes as people give them."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from cim.reset_codes import ResetCode, make_reset_code


class CodeTests(SynchronousTestCase):
    def test_what_is_made_is_read(self):
        text = make_reset_code(1795430398297, lambda count: b"\x00\xff" * (count // 2))
        self.assertEqual(text, "1795430398297-ad7qb7ya74ap6ah7ad7qb7ya74")
        digest = hashlib.sha256(b"1795430398297ad7qb7ya74ap6ah7ad7qb7ya74").hexdigest()
        for given in (text, f" {text.upper()}\n", text.replace("-", ""), text.replace("-", " - ")):
            self.assertEqual(ResetCode.parse(given), ResetCode(1795430398297, digest))

    def test_what_is_none(self):
        code = make_reset_code(7, bytes)
        for given in (
            *("", "7", code[:-1], f"{code}a", f"0{code}", "9" * 17 + code[1:], "7-" + "1" * 26, "\uff17" + code[1:]),
        ):
            self.assertIsNone(ResetCode.parse(given), given)
