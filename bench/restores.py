"""A Redis that is put back to a backup: what was accepted since is gone, and that is nobody's fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from bench.faults import Fault
from bench.mishaps import STARTED, ProcessFaults
from tests.harness.processes import ProcessFailed, RedisProcess

#: What a Redis with an append-only file is to begin with when all that there is of it is an RDB file.
MANIFEST = "file appendonly.aof.1.base.rdb seq 1 type b\n"
#: Backups are older than other faults last.
OLDER = 3.0


class RestoreFaults:
    """Makes a backup of a Redis, and after a while puts the Redis back to it.

    :param mishaps: knows which processes have a fault already
    :param restored: called with when the backup was begun, and when Redis was back to it
    """

    kinds = [("restore", "redis")]

    def __init__(
        self,
        reactor: Any,
        redis: RedisProcess,
        mishaps: ProcessFaults,
        restored: Callable[[float, float], object],
    ) -> None:
        self._reactor = reactor
        self._redis = redis
        self._mishaps = mishaps
        self._restored = restored

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        redis = self._redis
        if redis in self._mishaps.busy:
            return ""
        self._mishaps.busy.add(redis)
        try:
            began = self._reactor.seconds()
            # SAVE: nothing is written meanwhile, so what was accepted before is in it, and what comes later is not.
            if await redis.command("SAVE", timeout=30.0) != b"+OK\r\n":
                raise ProcessFailed("Redis made no backup")
            directory = Path(redis.directory)
            backup = directory / "backup.rdb"
            (directory / "dump.rdb").replace(backup)
            await deferLater(self._reactor, fault.seconds * OLDER, lambda: None)
            await redis.stop()
            shutil.rmtree(directory / "appendonlydir")
            (directory / "appendonlydir").mkdir()
            backup.replace(directory / "appendonlydir/appendonly.aof.1.base.rdb")
            (directory / "appendonlydir/appendonly.aof.manifest").write_text(MANIFEST)
            await redis.start(STARTED)
            self._restored(began, self._reactor.seconds())
        finally:
            self._mishaps.busy.discard(redis)
        return f"to {self._reactor.seconds() - began:.0f} s ago"
