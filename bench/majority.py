"""What it costs a store that a majority of three Redis servers has what is acknowledged and shown."""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from bench.figures import Percentiles
from bench.running import run_bounded
from cim.daemon.clock import time_of_day
from cim.errors import CIMError
from cim.interfaces import IStore
from cim.model import Append
from cim.store.choose import Acknowledge, store_from
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from tests.harness.redis_set import RedisSet

#: How many calls are under way at a time.
AT_ONCE = (1, 64)
MODES = ("local", "majority:3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--calls", type=int, default=2_000, metavar="N", help="calls of one measurement (%(default)s)")
    option("--rounds", type=int, default=5, metavar="N", help="in turn, of which the median is told (%(default)s)")
    option("--fsync", default="always", choices=("always", "everysec"), help="of all servers (%(default)s)")


class Majority:
    """One run on a set of its own."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._numbers = itertools.count(1)
        self._set: RedisSet | None = None

    async def go(self) -> int:
        """Measure appends and reads."""
        directory = tempfile.mkdtemp(prefix="cim-majority-")
        self._set = RedisSet(self._reactor, directory, appendfsync=self._arguments.fsync, sentinels=0)
        stores: dict[str, Any] = {}
        try:
            await self._set.start()
            for mode in MODES:
                stores[mode] = store_from(
                    f"redis:{self._set.members[0].address}",
                    self._reactor,
                    time_of_day=time_of_day,
                    acknowledge=Acknowledge.parse(mode),
                )
                stores[mode].startService()
            while any(store.health() for store in stores.values()):
                await deferLater(self._reactor, 0.05, lambda: None)
            for name, call in (("append", self._append), ("read", self._read)):
                for at_once in AT_ONCE:
                    await self._compare(stores, name, call, at_once)
            return 0
        finally:
            for store in stores.values():
                await store.stopService()
            await self._set.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def stop(self) -> Deferred[None] | None:
        """End the set."""
        return None if self._set is None else self._set.stop()

    async def _compare(
        self, stores: dict[str, IStore], name: str, call: Callable[[IStore], Deferred[Any]], at_once: int
    ) -> None:
        took: dict[str, list[float]] = {mode: [] for mode in MODES}
        rates: dict[str, list[float]] = {mode: [] for mode in MODES}
        for _ in range(self._arguments.rounds):
            for mode, store in stores.items():
                began = time.perf_counter()
                took[mode] += await self._time(store, call, at_once)
                rates[mode].append(self._arguments.calls / (time.perf_counter() - began))
        ratio = statistics.median(one / other for one, other in zip(rates["majority:3"], rates["local"], strict=True))
        for mode in MODES:
            self._write(
                f"{name}, {at_once} at once, {mode}: {statistics.median(rates[mode]):.0f} a second, "
                f"{Percentiles.of(took[mode])}"
            )
        self._write(f"{name}, {at_once} at once: majority does {ratio:.2f} times as many")

    async def _time(self, store: IStore, call: Callable[[IStore], Deferred[Any]], at_once: int) -> list[float]:
        took: list[float] = []
        left = iter(range(self._arguments.calls))

        async def caller() -> None:
            for _ in left:
                began = time.perf_counter()
                await call(store)
                took.append(time.perf_counter() - began)

        await gatherResults([Deferred.fromCoroutine(caller()) for _ in range(at_once)])
        return took

    def _append(self, store: IStore) -> Deferred[Any]:
        number = next(self._numbers)
        low, high = 1 + number % 1000, 1_000_000 + number % 1000
        send = Send(user=high, client_id=f"s{number}", text="." * 64)
        now = int(time_of_day() * 1000)
        body = native.body_of(send, low, "bench", now)
        item = Append(conversations.private(low, high), low, send.client_id, native.digest(send), body, now)

        def check(outcomes: list[Any]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, CIMError):
                    raise outcome

        return store.conversations.append([item]).addCallback(check)

    def _read(self, store: IStore) -> Deferred[Any]:
        number = next(self._numbers) % 1000
        return store.conversations.read(conversations.private(1 + number, 1_000_000 + number), after="", limit=10)


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Measure; the exit status is 0 when all could be."""
    return run_bounded(reactor, lambda write: Majority(reactor, arguments, write), 600.0)
