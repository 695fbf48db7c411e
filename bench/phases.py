"""The load generator: its users, and one method for each kind of load."""

from __future__ import annotations

import os
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from bench.figures import Ledger, Percentiles, cpu_seconds, resident_bytes
from bench.guests import Guest, Refused, call
from bench.http import HTTPError, HTTPPool
from bench.pacing import closed_loop, open_loop
from tests.harness.processes import DaemonProcess

#: How long deliveries may pause before the rest counts as lost, in seconds.
PATIENCE = 5.0
#: Upstream's client pings after 10 s in which it wrote nothing.
PING_SECONDS = 10.0


@frozen
class Watched:
    """A process whose memory and CPU time are measured."""

    name: str
    pid: int
    server: bool

    @classmethod
    def of(cls, process: DaemonProcess, server: bool) -> Watched:
        """Watch a process that was started here."""
        assert process.pid is not None
        return cls(process.name, process.pid, server)


class Busy:
    """Measures the share of a CPU that each process has used since this object was made."""

    def __init__(self, clock: Callable[[], float], watched: Sequence[Watched]) -> None:
        self._clock = clock
        self._processes = [(process.name, process.pid) for process in watched] + [("load generator", os.getpid())]
        self._start = clock()
        self._before = [cpu_seconds(pid) for _, pid in self._processes]

    def __str__(self) -> str:
        elapsed = self._clock() - self._start
        shares = [
            f"{name} {(cpu_seconds(pid) - before) / elapsed:.0%}"
            for (name, pid), before in zip(self._processes, self._before, strict=True)
        ]
        return ", ".join(shares)


class Load:
    """The users and what they do.

    Each message's text holds its sender (0 minus the id for a group message), its number among the sender's messages
    to that receiver, and the index of its time in `scheduled`.

    :param clock: seconds, for latencies
    :param write: called with each line of the report
    :param urls: the routes; calls go to each in turn
    """

    def __init__(
        self,
        reactor: Any,
        clock: Callable[[], float],
        chooser: random.Random,
        write: Callable[[str], object],
        urls: Sequence[str],
        *,
        concurrency: int,
        length: int,
        watched: Sequence[Watched] = (),
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._random = chooser
        self._write = write
        self._concurrency = concurrency
        self._length = length
        self._watched = watched
        self._pools = [HTTPPool(reactor, url, max(1, concurrency // len(urls))) for url in urls]
        self._next_pool = cycle(self._pools).__next__
        self._name = f"load-{chooser.getrandbits(32):08x}-{os.getpid()}"
        self._pings = LoopingCall(self._ping)
        self._pings.clock = reactor
        self.guests: list[Guest] = []
        self.ledger = Ledger()
        self.scheduled: list[float] = []
        self._delivered: list[float] = []
        self._last_delivery = 0.0

    # Users

    async def populate(self, count: int) -> None:
        """Register and log in that many users, and wait until the routes list all of them."""
        self.guests = await self._register(count)
        self._pings.start(PING_SECONDS, now=False)
        await self._log_in(self.guests)
        await self._online(count)

    async def _register(self, count: int) -> list[Guest]:
        made: list[Guest] = []
        first = len(self.guests)

        async def register(number: int) -> None:
            made.append(await Guest.register(self._next_pool(), f"{self._name}-{number}"))

        start = self._clock()
        await closed_loop(range(first, first + count), self._concurrency, register)
        self._rate("registered", count, start)
        return made

    async def _log_in(self, guests: Sequence[Guest]) -> None:
        latencies: list[float] = []

        async def log_in(guest: Guest) -> None:
            began = self._clock()
            await guest.log_in(self._reactor, self._next_pool(), self._arrived)
            latencies.append(self._clock() - began)

        busy = Busy(self._clock, self._watched)
        start = self._clock()
        await closed_loop(guests, self._concurrency, log_in)
        self._rate("logged in (HTTP, TCP, first ping answered)", len(guests), start)
        self._show("latency of a login", Percentiles.of(latencies))
        self._show("processors", busy)

    async def _online(self, count: int) -> None:
        """Wait until every route lists exactly that many of this run's users."""
        start = self._clock()
        for pool in self._pools:
            while True:
                users = await call(pool, b"/onlineUser", b"{}") or []
                listed = sum(user["userName"].startswith(self._name) for user in users)
                if listed == count:
                    break
                if self._clock() - start > 30:
                    raise HTTPError(f"{count} users are online, but after 30 s a route lists {listed}")
                await deferLater(self._reactor, 0.1, lambda: None)
        self._show("routes list them all after", f"{self._clock() - start:.2f} s")

    def _ping(self) -> None:
        for guest in self.guests:
            if guest.connection is not None:
                guest.connection.ping()

    def _arrived(self, user: int, text: str) -> None:
        sender, number, index = (int(word) for word in text.split(" ", 3)[:3])
        self._last_delivery = self._clock()
        if self.ledger.received(sender, user, number):
            self._delivered.append(self._last_delivery - self.scheduled[index])

    # Loads

    async def idle(self, count: int) -> None:
        """Log in more users, measure what their idle sessions cost the servers, and log them out."""
        before = self._memory()
        more = await self._register(count)
        self.guests += more
        await self._log_in(more)
        await self._online(len(self.guests))
        after = self._memory()
        if after and count:
            taken = sum(after) - sum(before)
            self._show(f"memory of {count} idle sessions", f"{taken / count / 1024:.2f} KiB each, all servers together")
        del self.guests[-count:]
        await closed_loop(more, self._concurrency, Guest.leave)
        await self._online(len(self.guests))

    def _memory(self) -> list[int]:
        return [resident_bytes(process.pid) for process in self._watched if process.server]

    async def p2p(self, seconds: float) -> None:
        """Send from user to user, as fast as calls are answered, a fixed number at a time."""
        answers: list[float] = []
        codes: Counter[str] = Counter()
        end = self._clock() + seconds
        await self._phase(
            f"p2p, {self._concurrency} at a time, {seconds:g} s",
            answers,
            codes,
            lambda: closed_loop(range(self._concurrency), self._concurrency, self._worker(end, answers, codes)),
        )

    def _worker(self, end: float, answers: list[float], codes: Counter[str]) -> Callable[[int], Any]:
        async def work(worker: int) -> None:
            # Each worker has its own senders, so that each sender has one call at a time and a defined order.
            own = self.guests[worker :: self._concurrency]
            for sender in cycle(own) if own else ():
                if self._clock() >= end:
                    return
                await self._send(sender, self._other(sender), self._clock(), answers, codes)

        return work

    async def rate(self, rate: float, seconds: float) -> None:
        """Send from user to user at fixed times; latencies count from these times."""
        answers: list[float] = []
        codes: Counter[str] = Counter()
        queues: dict[int, deque[tuple[Guest, float]]] = {}
        ends: list[Deferred[None]] = []

        async def drain(sender: Guest, queue: deque[tuple[Guest, float]]) -> None:
            while queue:
                receiver, scheduled = queue[0]
                await self._send(sender, receiver, scheduled, answers, codes)
                queue.popleft()

        def offer(index: int, scheduled: float) -> None:
            sender = self.guests[index % len(self.guests)]
            queue = queues.setdefault(sender.id, deque())
            queue.append((self._other(sender), scheduled))
            if len(queue) == 1:
                ends.append(Deferred.fromCoroutine(drain(sender, queue)))

        async def offering() -> None:
            await open_loop(self._reactor, self._clock, rate, seconds, offer)
            for end in ends:
                await end

        await self._phase(f"p2p at {rate:g} per second, {seconds:g} s", answers, codes, offering)

    async def _phase(self, title: str, answers: list[float], codes: Counter[str], work: Callable[[], Any]) -> None:
        self._write(f"{title}:")
        self._delivered = []
        busy = Busy(self._clock, self._watched)
        start = self._clock()
        await work()
        self._rate("answered", len(answers), start)
        await self._quiet()
        elapsed = max(self._last_delivery - start, 1e-9)
        self._show("delivered", f"{len(self._delivered)}, {len(self._delivered) / elapsed:.0f} per second")
        self._show("latency of the answer", Percentiles.of(answers))
        self._show("latency of the delivery", Percentiles.of(self._delivered))
        self._show("answers", ", ".join(f"{code}: {count}" for code, count in codes.most_common()))
        self._show("processors", busy)

    def _other(self, sender: Guest) -> Guest:
        while True:
            receiver = self._random.choice(self.guests)
            if receiver is not sender:
                return receiver

    async def _send(
        self, sender: Guest, receiver: Guest, scheduled: float, answers: list[float], codes: Counter[str]
    ) -> None:
        number = sender.next_number(receiver.id)
        text = self._text(sender.id, number, scheduled)
        body = f'{{"userId":{sender.id},"receiveUserId":{receiver.id},"msg":"{text}"}}'.encode()
        try:
            await call(self._next_pool(), b"/p2pRoute", body)
        except (Refused, HTTPError) as error:
            codes[str(error)[:80]] += 1
        else:
            codes["9000"] += 1
            self.ledger.promise(sender.id, receiver.id, number)
        answers.append(self._clock() - scheduled)

    def _text(self, sender: int, number: int, scheduled: float) -> str:
        text = f"{sender} {number} {len(self.scheduled)} "
        self.scheduled.append(scheduled)
        return text + "." * (self._length - len(text))

    async def group(self, count: int) -> None:
        """Send group messages, one after the other, each to all users."""
        answers: list[float] = []
        complete: list[float] = []
        self._write(f"{count} group messages to {len(self.guests) - 1} users, one after the other:")
        busy = Busy(self._clock, self._watched)
        for sender in (self._random.choice(self.guests) for _ in range(count)):
            number = sender.next_number(0)
            self._delivered = []
            start = self._clock()
            text = self._text(-sender.id, number, start)
            await call(self._next_pool(), b"/groupRoute", f'{{"userId":{sender.id},"msg":"{text}"}}'.encode())
            answers.append(self._clock() - start)
            for guest in self.guests:
                if guest is not sender:
                    self.ledger.promise(-sender.id, guest.id, number)
            await self._quiet()
            if len(self._delivered) == len(self.guests) - 1:
                complete.append(max(self._delivered))
        self._show("latency of the answer", Percentiles.of(answers))
        self._show("until the last user had it", Percentiles.of(complete))
        self._show("complete", f"{len(complete)} of {count}")
        self._show("processors", busy)

    async def _quiet(self) -> None:
        """Wait until all promised messages have arrived, or none has for a while."""
        start = self._clock()
        while self.ledger.lost() and self._clock() - max(start, self._last_delivery) < PATIENCE:
            await deferLater(self._reactor, 0.01, lambda: None)

    # The end

    def finish(self) -> int:
        """Write the fate of all messages; return the exit status."""
        self._write(f"all messages: {self.ledger}")
        return 1 if self.ledger.lost() or self.ledger.doubled or self.ledger.reordered else 0

    async def close(self) -> None:
        """Close all connections."""
        if self._pings.running:
            self._pings.stop()
        for guest in self.guests:
            await guest.leave()
        for pool in self._pools:
            pool.close()

    def _rate(self, what: str, count: int, start: float) -> None:
        elapsed = self._clock() - start
        self._show(what, f"{count} in {elapsed:.2f} s, {count / elapsed:.0f} per second")

    def _show(self, what: str, value: object) -> None:
        self._write(f"  {what}: {value}")
