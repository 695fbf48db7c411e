"""Credentials are remembered, so whoever changes one must say so."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.store.sqlite import credentials

_CHANGES = re.compile(r"(INSERT( OR \w+)? INTO|UPDATE|DELETE FROM) (credential|suspended)\b")


class ChangesTests(SynchronousTestCase):
    def test_no_other_module_changes_credentials(self):
        folder = Path(credentials.__file__).parent
        changing = {path.name for path in folder.glob("*.py") if _CHANGES.search(path.read_text())}
        # A backup is made in a file of its own.
        self.assertEqual(changing, {"credentials.py", "backup.py"})
        calling = {path.name for path in folder.glob("*.py") if "put_password" in path.read_text()}
        self.assertEqual(calling, {"credentials.py", "reset_codes.py"})
