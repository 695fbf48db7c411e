"""Tests that take minutes: longer forms of others, which `make test-long` runs and `make test` skips."""

from __future__ import annotations

import os

#: Why they are skipped; None when they are to run. A module gives it to its cases as `skip`.
SKIP = None if os.environ.get("CIM_TEST_LONG") else "takes minutes: make test-long"
