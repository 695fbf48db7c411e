"""Servers and routes of an older version that are replaced by this one, one after another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.faults import Fault
from bench.mishaps import STARTED, ProcessFaults
from tests.harness.daemons import ROOT, UNLIMITED, UNLIMITED_SESSIONS
from tests.harness.processes import DaemonProcess


def checkout(commit: str, directory: Path) -> Path:
    """Put the files of a commit of this checkout into a folder and return it.

    :raises subprocess.CalledProcessError: there is no such commit, or no Git
    """
    directory.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(directory)], check=True, input=archive.stdout)
    return directory


def options_of(root: Path) -> set[str]:
    """Return the options by which a version is told to have no limits; each knows others."""
    script = "from tests.harness.daemons import *; print(*UNLIMITED, *UNLIMITED_SESSIONS)"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, env=environment, cwd=root)
    return set(said.stdout.decode().split())


class UpgradeFaults:
    """Stops an older daemon in order and starts this version of it; when none is left, restarts one.

    :param older: where the older version is
    :param processes: the daemons by what they are; they run the older version when they are next started
    :param mishaps: knows which processes have a fault already
    """

    kinds = [("upgrade", "server"), ("upgrade", "route")]

    def __init__(
        self,
        reactor: Any,
        older: Path,
        processes: Mapping[str, Sequence[DaemonProcess]],
        mishaps: ProcessFaults,
    ) -> None:
        self._reactor = reactor
        self._mishaps = mishaps
        self._processes = processes
        #: What runs the older version, and what it is told when it runs this one.
        self._old: dict[DaemonProcess, list[str]] = {}
        unknown = {*UNLIMITED, *UNLIMITED_SESSIONS} - options_of(older)
        for _, what in self.kinds:
            for process in processes[what]:
                self._old[process] = process.argv
                process.argv = [word for word in process.argv if word not in unknown]
                self._choose(process, older)

    def _choose(self, process: DaemonProcess, root: Path) -> None:
        assert process.env is not None
        process.env = {**process.env, "PYTHONPATH": os.fspath(root)}

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        free = self._mishaps.free(fault.what)
        candidates = [process for process in free if process in self._old] or free
        if not candidates:
            return ""
        process = candidates[int(fault.chance * len(candidates))]
        self._mishaps.busy.add(process)
        try:
            await process.stop()
            was = "older" if process in self._old else "this"
            self._choose(process, ROOT)
            process.argv = self._old.pop(process, process.argv)
            await process.start(STARTED)
        finally:
            self._mishaps.busy.discard(process)
        return f"{process.name}, of {was} version"
