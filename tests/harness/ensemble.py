"""ZooKeeper servers that make an ensemble, each a process."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.harness.asking import ask
from tests.harness.processes import ZooKeeperProcess
from tests.harness.spawning import HOST, ProcessFailed, free_port


class Voter(ZooKeeperProcess):
    """One server of an ensemble; `settings` name all of them.

    :param number: its own among them
    """

    def __init__(self, reactor: Any, directory: str, number: int, settings: dict[str, str]) -> None:
        super().__init__(reactor, directory, settings=settings)
        self.number = number

    def _before_start(self) -> None:
        data = Path(self.directory) / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(str(self.number))
        super()._before_start()

    async def mode(self) -> str:
        """Return what it is: leader, follower, or nothing if it serves nobody."""
        found = re.search(rb"Mode: (\w+)", await ask(self.reactor, HOST, self.port, b"srvr", 1.0))
        return found[1].decode() if found else ""


class Ensemble:
    """An ensemble of three."""

    def __init__(self, reactor: Any, directory: str | Path) -> None:
        self._reactor = reactor
        settings = {f"server.{number}": f"{HOST}:{free_port()}:{free_port()}" for number in (1, 2, 3)}
        settings |= {"initLimit": "40", "syncLimit": "8"}
        self.voters = [
            Voter(reactor, os.path.join(directory, f"zookeeper-{number}"), number, settings) for number in (1, 2, 3)
        ]

    @property
    def address(self) -> str:
        """All of them, as `--registry=zookeeper:` takes it."""
        return ",".join(voter.address for voter in self.voters)

    def start(self) -> Deferred[Any]:
        """Start all; fires when they have a leader."""
        return gatherResults([voter.start(60.0) for voter in self.voters], consumeErrors=True)

    async def leader(self, seconds: float = 30.0) -> Voter:
        """Return the leader, once there is one."""
        deadline = self._reactor.seconds() + seconds
        while self._reactor.seconds() < deadline:
            for voter in self.voters:
                if voter.pid and await voter.mode() == "leader":
                    return voter
            await deferLater(self._reactor, 0.05, lambda: None)
        raise ProcessFailed(f"no ZooKeeper is the leader after {seconds:g} s")

    def stop(self) -> Deferred[Any]:
        """End all."""
        return gatherResults([voter.kill() for voter in self.voters], consumeErrors=True)
