"""The files of earlier releases, from the history of this checkout."""

from __future__ import annotations

import subprocess
from unittest import SkipTest

from tests.harness.daemons import ROOT


def checkout(release: str, folder: str) -> None:
    """Lay the files that a release's daemons need out in a folder.

    :param release: a commit
    :raises SkipTest: this checkout has no history of it
    """
    command = ["git", "archive", release, "cim", "twisted"]
    try:
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SkipTest(f"the history of this checkout does not reach back to {release}") from None
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
