"""A master, its replicas and Sentinels, each a process: the smallest Redis without a single point of failure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater

from tests.harness.processes import RedisProcess
from tests.harness.spawning import THIS_MACHINE, DaemonProcess, Machine, ProcessFailed, private_file, require

#: What the Sentinels call the master.
NAME = "main"
#: After how many ms without an answer a server is down. With less, busy machines have one failover after the other, and
#: Sentinels promote what was restarted a moment ago and has nothing of what is new.
DOWN_AFTER_MS = 1500


class Member(RedisProcess):
    """A Redis of a set, which keeps what Sentinels have it write into its configuration."""

    def _command(self) -> list[str]:
        path = os.path.join(self.directory, "redis.conf")
        if not os.path.exists(path):
            return super()._command()
        return [require(self.program, "redis-server"), path, "--port", str(self.port)]


class Sentinel(RedisProcess):
    """A Sentinel of a master."""

    def __init__(
        self, reactor: Any, directory: str, master: RedisProcess, quorum: int, more: Mapping[str, str], machine: Machine
    ) -> None:
        super().__init__(reactor, directory, password=more.get("requirepass"), machine=machine, program=master.program)
        self._master = master
        self._quorum = quorum
        self.settings = {
            "bind": machine.listens,
            "protected-mode": "no",
            "dir": self.directory,
            f"sentinel monitor {NAME}": "",
            f"sentinel failover-timeout {NAME}": "3000",
            f"sentinel parallel-syncs {NAME}": "2",
            **more,
        }

    def _command(self) -> list[str]:
        path = os.path.join(self.directory, "sentinel.conf")
        if not os.path.exists(path):
            master = self._master
            monitored = f"{master.machine.address} {master.port} {self._quorum}"
            self.settings[f"sentinel monitor {NAME}"] = self.settings[f"sentinel monitor {NAME}"] or monitored
            private_file(path, "".join(f"{key} {value}\n" for key, value in self.settings.items()))
        return [require(self.program, "redis-server"), path, "--port", str(self.port), "--sentinel"]

    def command(self, *words: str, timeout: float = 0.2) -> Deferred[bytes]:
        """Send it one command, as to Redis; it does not know QUIT, so all of `timeout` passes."""
        return super().command(*words, timeout=timeout)

    async def _answers(self) -> bool:
        return (await self.command("PING")).startswith(b"+PONG")


class RedisSet:
    """A master with replicas, and Sentinels.

    :param settings: further lines of the configuration of each Redis
    :param sentinel_settings: further lines of the configuration of each Sentinel
    :param down_after_ms: see DOWN_AFTER_MS
    :param machines: where they run, in turn; each has a Redis and a Sentinel
    :ivar members: the Redis servers; the first one begins as the master
    """

    def __init__(
        self,
        reactor: Any,
        directory: str | Path,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        appendfsync: str = "always",
        settings: Mapping[str, str] | None = None,
        sentinel_settings: Mapping[str, str] | None = None,
        down_after_ms: int = DOWN_AFTER_MS,
        program: str = "redis-server",
        machines: Sequence[Machine] = (THIS_MACHINE,),
    ) -> None:
        self._reactor = reactor
        folder = Path(directory)
        common = {"repl-diskless-sync-delay": "0", "repl-timeout": "5", **(settings or {})}
        self.members = [
            Member(
                reactor,
                str(folder / f"redis-{number}"),
                appendfsync=appendfsync,
                settings=dict(common),
                program=program,
                machine=machines[(number - 1) % len(machines)],
            )
            for number in range(1, replicas + 2)
        ]
        self.sentinels = [
            Sentinel(
                reactor,
                str(folder / f"sentinel-{number}"),
                self.members[0],
                sentinels // 2 + 1,
                {f"sentinel down-after-milliseconds {NAME}": str(down_after_ms), **(sentinel_settings or {})},
                machines[(number - 1) % len(machines)],
            )
            for number in range(1, sentinels + 1)
        ]
        for kind, processes in (("redis", self.members), ("sentinel", self.sentinels)):
            for number, process in enumerate(processes, 1):
                process.name = f"{kind}-{number}"

    @property
    def processes(self) -> Sequence[DaemonProcess]:
        """All processes, Sentinels last."""
        return [*self.members, *self.sentinels]

    @property
    def store(self) -> str:
        """What `--store` calls it."""
        return f"redis+sentinel:{NAME}@{','.join(one.address for one in self.sentinels)}"

    def start(self) -> Deferred[None]:
        """Start all; fires when the replicas follow and the Sentinels know each other and the replicas."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        first, *others = self.members
        await first.start()
        for member in others:
            member.settings["replicaof"] = f"{first.machine.address} {first.port}"
        await gatherResults([member.start() for member in others], consumeErrors=True)
        await self.whole()
        await gatherResults([sentinel.start() for sentinel in self.sentinels], consumeErrors=True)
        for sentinel in self.sentinels:
            await self._until(lambda sentinel=sentinel: self._knows(sentinel), "Sentinels do not know each other")

    async def _knows(self, sentinel: Sentinel) -> bool:
        facts = (await sentinel.command("SENTINEL", "MASTER", NAME)).split(b"\r\n")

        def fact(name: bytes) -> int:
            return int(facts[facts.index(name) + 2]) if name in facts else -1

        return fact(b"num-slaves") == len(self.members) - 1 and fact(b"num-other-sentinels") == len(self.sentinels) - 1

    async def _until(self, true: Any, complaint: str, seconds: float = 30.0) -> Any:
        deadline = self._reactor.seconds() + seconds
        while True:
            found = await true()
            if found:
                return found
            if self._reactor.seconds() > deadline:
                raise ProcessFailed(f"after {seconds:g} s: {complaint}")
            await deferLater(self._reactor, 0.05, lambda: None)

    async def _masters(self) -> list[Member]:
        return [one for one in self.members if one.pid and b"\r\nrole:master" in await self._replication(one)]

    def _replication(self, member: Member) -> Deferred[bytes]:
        return member.command("INFO", "replication", timeout=0.5)

    def master(self) -> Deferred[Member]:
        """Fire with the Redis that the Sentinels name as the master, once it takes writes."""
        return Deferred.fromCoroutine(self._until(self._named, "no Sentinel names a living master"))

    async def _named(self) -> Member | None:
        for sentinel in self.sentinels:
            if sentinel.pid:
                answer = await sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
                for member in await self._masters():
                    if f"\r\n{member.port}\r\n".encode() in answer:
                        return member
        return None

    def whole(self) -> Deferred[None]:
        """Fire when one member is the master and all others follow it."""
        return Deferred.fromCoroutine(self._until(self._is_whole, "replicas do not follow the master"))

    async def _is_whole(self) -> bool:
        masters = await self._masters()
        if len(masters) != 1:
            return False
        return (await self._replication(masters[0])).count(b"state=online") == len(self.members) - 1

    def stop(self) -> Deferred[None]:
        """End all processes; fires when they are gone, and never fails."""
        ends = [process.kill() for process in reversed(self.processes)]
        return DeferredList(ends, consumeErrors=True).addCallback(lambda _: None)
