"""Disks that fill up: a file system in memory, which is made as small as what is on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from bench.faults import Fault
from bench.mishaps import STARTED, ProcessFaults
from tests.harness.processes import RedisProcess

ROOMY = 8 << 30
#: How much room is left on a full one; more is tried when so much was written since it was looked at.
ROOMS = (64 << 10, 1 << 20, 16 << 20)


class Disk:
    """A file system in memory at a folder, seen by this process and what it starts, and gone with them.

    Only a process with a mount namespace of its own may make one (`bench.hosts.Network`).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._mount("size", ROOMY)

    def _mount(self, option: str, size: int) -> None:
        words = ["mount", "-t", "tmpfs", "-o", f"{option}={size}", "cim-chaos", str(self.directory)]
        subprocess.run(words, check=True)

    def fill(self) -> None:
        """Leave next to no room."""
        found = os.statvfs(self.directory)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        for room in ROOMS:
            try:
                self._mount("remount,size", used + room)
                return
            except subprocess.CalledProcessError:
                if room == ROOMS[-1]:
                    raise

    def clear(self) -> None:
        """Make room."""
        self._mount("remount,size", ROOMY)

    def end(self) -> None:
        """Take it away, and what is on it."""
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)


class DiskFaults:
    """Fills the disk of a Redis, and starts it again if that ended it.

    :param servers: the Redis servers
    :param mishaps: knows which processes have a fault already
    """

    kinds = [("fill", "redis")]

    def __init__(self, reactor: Any, servers: Sequence[RedisProcess], mishaps: ProcessFaults) -> None:
        self._reactor = reactor
        self._mishaps = mishaps
        self._disks = {server: Disk(Path(server.directory)) for server in servers}

    def end(self) -> None:
        """Take the disks away, and what is on them."""
        for disk in self._disks.values():
            disk.end()

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        servers = [server for server in self._disks if server not in self._mishaps.busy]
        if not servers:
            return ""
        server = servers[int(fault.chance * len(servers))]
        self._mishaps.busy.add(server)
        try:
            self._disks[server].fill()
            await deferLater(self._reactor, fault.seconds, lambda: None)
            self._disks[server].clear()
            ended = server.pid is None
            if ended:
                await server.start(STARTED)
        finally:
            self._mishaps.busy.discard(server)
        return f"{server.name}{', which ended' if ended else ''}"
