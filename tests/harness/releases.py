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
    try:
        # The pages that it serves are in a folder of their own, if it has some.
        there = ["git", "ls-tree", "--name-only", release, "cim", "twisted", "web"]
        folders = subprocess.run(there, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split()
        command = ["git", "archive", release, *folders]
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SkipTest(f"the history of this checkout does not reach back to {release}") from None
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
