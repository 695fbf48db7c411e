"""Keeping up with who is in a folder of ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IReactorTime

from cim.registry.convergence import Convergence
from cim.registry.izookeeper import IZooKeeper, NoNode, RegistryRefused

#: How often the whole list is read even if no watch fired, s, so that a lost watch does harm for no longer.
REREAD = 60.0


class Membership:
    """Calls `found` with the children of `path` and their data, after each change and when the connection is back.

    Without a connection it does not call: the last known list remains in use. A missing folder is created. A child that
    is gone or not readable by us when it is read is left out; names are passed on unchecked. Data that changes while
    its node stays is noticed at the next reading.

    :param found: called with name -> data, which may be the same as the last time
    :param retry: returns the seconds until the next attempt after that many failures
    """

    def __init__(
        self,
        zookeeper: IZooKeeper,
        path: str,
        found: Callable[[Mapping[str, bytes]], None],
        clock: IReactorTime,
        *,
        retry: Callable[[int], float],
    ) -> None:
        self._zookeeper = zookeeper
        self.path = path
        self._found = found
        self._convergence = Convergence(path, zookeeper, clock, self._read, retry)
        self._convergence.trouble = "has not been read yet"
        self._convergence.look()

    @property
    def trouble(self) -> str:
        """Why the list cannot be read, worded to follow the path; "" if it was read."""
        return self._convergence.trouble

    def close(self) -> None:
        """Stop reading the folder and calling `found`."""
        self._convergence.close()

    async def _read(self) -> float:
        read, watch = self._zookeeper.childrenAndWatch(self.path)
        try:
            names = await read
        except NoNode:
            await self._zookeeper.ensurePath(self.path)
            return 0
        self._convergence.watch(watch)
        members: dict[str, bytes] = {}
        results: list[tuple[bool, Any]] = await DeferredList(
            [self._zookeeper.get(f"{self.path}/{name}") for name in names], consumeErrors=True
        )
        for name, (read_it, result) in zip(names, results, strict=True):
            if read_it:
                members[name] = result[0]
            elif not result.check(NoNode, RegistryRefused):
                result.raiseException()
        self._convergence.trouble = ""
        if not self._convergence.closed:
            self._found(members)
        return REREAD
