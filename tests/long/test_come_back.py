"""Two thousand sessions behind one address come back after a restart."""

from __future__ import annotations

from tests.integration import test_come_back
from tests.long import SKIP


class ManyTests(test_come_back.ComeBackTests):
    skip = SKIP
    timeout = 600
    sessions = 2000
