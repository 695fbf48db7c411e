"""What it costs a store to append a message that names the one before it."""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from bench.figures import cpu_seconds
from bench.running import run_bounded
from cim.daemon.clock import time_of_day
from cim.interfaces import IStore
from cim.model import Append
from cim.store.choose import store_from
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from tests.harness.processes import RedisProcess

BATCHES = (1, 50, 500)
#: Conversations between which a spread batch goes around: more than a batch has messages.
PAIRS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--messages", type=int, default=20_000, metavar="N", help="messages of one measurement (%(default)s)")
    option("--rounds", type=int, default=5, metavar="N", help="of which the median is told (%(default)s)")
    option("--deadline", type=float, default=900.0, metavar="SECONDS", help="of the whole run (%(default)s)")


class Predecessors:
    """One run on stores of its own."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._numbers = itertools.count()
        self._redis: RedisProcess | None = None
        self._said: dict[int, str] = {}

    async def go(self) -> int:
        """Measure both stores."""
        directory = tempfile.mkdtemp(prefix="cim-predecessors-")
        try:
            self._redis = redis = RedisProcess(self._reactor, directory)
            await redis.start()
            for name in (f"redis:{redis.address}", f"sqlite:{directory}/store.sqlite"):
                store: Any = store_from(name, self._reactor, time_of_day=time_of_day)
                self._said.clear()
                await maybeDeferred(store.startService)
                try:
                    for batch in BATCHES:
                        await self._compare(store, name.partition(":")[0], batch)
                finally:
                    await maybeDeferred(store.stopService)
            return 0
        finally:
            await redis.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def stop(self) -> Deferred[None] | None:
        """End Redis."""
        return None if self._redis is None else self._redis.stop().addCallback(lambda status: None)

    async def _compare(self, store: IStore, name: str, batch: int) -> None:
        """Tell what naming costs where each message is of another conversation, and where all are of one."""
        for spread in (True, False):
            took: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(self._arguments.rounds):
                for named in took:
                    took[named].append(await self._time(store, batch, spread, named))
            without, with_it = (statistics.median(took[named]) * 1e6 for named in (False, True))
            ratio = statistics.median(a / b for a, b in zip(took[True], took[False], strict=True))
            self._write(
                f"{name}, {batch} a call, {'a conversation each' if spread else 'one conversation'}: "
                f"{without:.1f} us of processor time a message, {with_it:.1f} when each names the one before it "
                f"(x {ratio:.2f})"
            )

    async def _time(self, store: IStore, batch: int, spread: bool, named: bool) -> float:
        count = max(1, self._arguments.messages // batch // (20 if batch == 1 else 1))
        calls = [list(itertools.islice(self._messages(spread, named), batch)) for _ in range(count)]
        before = self._cpu()
        for call in calls:
            for outcome in await store.conversations.append(call):
                if isinstance(outcome, Exception):
                    raise outcome
        return (self._cpu() - before) / (count * batch)

    def _cpu(self) -> float:
        assert self._redis is not None
        return time.process_time() + cpu_seconds(self._redis.pid or 0)

    def _messages(self, spread: bool, named: bool) -> Iterator[Append]:
        while True:
            number = next(self._numbers)
            pair = number % PAIRS if spread else 0
            low, high = 1 + pair, 1_000_000 + pair
            send = Send(user=high, client_id=f"s{number}", text="." * 64)
            now = int(self._reactor.seconds() * 1000)
            yield Append(
                conversations.private(low, high),
                low,
                send.client_id,
                native.digest(send),
                native.body_of(send, low, "bench", now),
                now,
                after=self._said.get(pair, "") if named else "",
            )
            self._said[pair] = send.client_id


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Measure; the exit status is 0 when all could be."""
    return run_bounded(reactor, lambda write: Predecessors(reactor, arguments, write), arguments.deadline)
