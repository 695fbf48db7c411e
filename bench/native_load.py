"""Native users and back ends under load: what `bench load --speak native` and `--speak http` do in each phase."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from bench.figures import Percentiles, cpu_seconds, resident_bytes
from bench.http import HTTPError, HTTPPool
from bench.native import Address, Place, call, make_account, make_group
from bench.native_users import NativeUser, Told
from bench.pacing import closed_loop, open_loop
from bench.phases import Busy, Watched

PASSWORD = "a password for measurements"
#: How long answers and deliveries may pause before the rest counts as lost, in seconds.
PATIENCE = 5.0
PING_SECONDS = 10.0
#: Argon2 takes 30 ms of a core for each account and login, and routes queue only a few.
AT_ONCE = 32


def _wait(user: NativeUser) -> None:
    """Send nothing: the load between phases."""


class NativeLoad:
    """The users and what they do; each user's messages to each receiver are numbered.

    :param clock: seconds, for latencies
    :param write: called with each line of the report
    :param urls: the routes; calls go to each in turn
    :param http: whether messages are sent with `POST /v1/messages`; they are received over TCP in any case
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
        http: bool = False,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._random = chooser
        self._write = write
        self._concurrency = concurrency
        self._length = length
        self._watched = watched
        self._http = http
        self._pools = [HTTPPool(reactor, url, max(AT_ONCE, concurrency) // len(urls)) for url in urls]
        self._next_pool = cycle(self._pools).__next__
        self._name = f"native-{chooser.getrandbits(32):08x}"
        self._told = Told()
        self._told.disordered = self._disordered
        self._told.failed = self._failed
        self._told.delivered = self._delivered
        self._told.answered = self._answered
        self._chores = LoopingCall(self._do_chores)
        self._chores.clock = reactor
        self._users: list[NativeUser] = []
        self._extra: list[NativeUser] = []
        # Of the current phase.
        self._times: list[float] = []
        self._latencies: list[float] = []
        self._answers: list[float] = []
        self._last = 0.0
        self._go_on: Callable[[NativeUser], object] = _wait
        # Deliveries per message: one sent over HTTP is also delivered to the sender's own session.
        self._each = 2 if http else 1
        self._wrong: Counter[str] = Counter()
        self._total: Counter[str] = Counter()

    # Users

    async def populate(self, count: int) -> None:
        """Create accounts, log them in and connect them."""

        async def come(number: int) -> None:
            name = f"{self._name}-{number}"
            await make_account(self._next_pool(), name, PASSWORD)
            place = await self._log_in({"name": name, "password": PASSWORD, "device": "bench"})
            user = NativeUser(number, place, "bench", self._told)
            await user.connect(self._reactor)
            self._users.append(user)

        start = self._clock()
        self._chores.start(1.0, now=False)
        await closed_loop(range(count), AT_ONCE, come)
        self._users.sort(key=lambda user: user.number)
        self._show(f"{count} accounts made and logged in after", f"{self._clock() - start:.2f} s")

    async def _log_in(self, fields: dict[str, str], token: str = "") -> Place:
        try:
            answer = await call(self._next_pool(), b"POST", "/v1/sessions", fields, token)
        except HTTPError as error:
            if error.status:
                raise
            # The connection was idle for so long that the route closed it.
            answer = await call(self._next_pool(), b"POST", "/v1/sessions", fields, token)
        return Place.of(answer)

    def _do_chores(self) -> None:
        for user in self._users:
            user.acknowledge()
        if int(self._clock()) % PING_SECONDS == 0:
            for user in [*self._users, *self._extra]:
                user.ping()

    @property
    def latencies(self) -> Percentiles:
        """From send to delivery, of the last phase."""
        return Percentiles.of(self._latencies)

    # What comes

    def _delivered(self, index: int) -> None:
        self._last = now = self._clock()
        self._latencies.append(now - self._times[index])

    def _answered(self, user: NativeUser, indexes: list[int]) -> None:
        self._last = now = self._clock()
        for index in indexes:
            if index >= 0:
                self._answers.append(now - self._times[index])
        self._go_on(user)

    def _disordered(self, number: int, expected: int) -> None:
        self._wrong["doubled or out of order" if number < expected else "missing before it"] += 1

    def _failed(self, code: str) -> None:
        self._wrong[code] += 1

    # Loads

    async def idle(self, count: int, *, websocket: bool = False) -> None:
        """Open more sessions on further devices of the users, and measure what idle sessions cost the servers."""
        before = self._memory()
        kind = "WebSocket" if websocket else "TCP"

        async def come(number: int) -> None:
            owner = self._users[number % len(self._users)]
            device = f"idle-{kind}-{number}"
            place = await self._log_in({"device": device}, owner.place.token)
            user = NativeUser(number, place, device, Told())
            self._extra.append(user)
            await user.connect(self._reactor, websocket=websocket)

        start = self._clock()
        await closed_loop(range(count), self._concurrency, come)
        self._rate(f"native logins by token, {kind}", count, start)
        await deferLater(self._reactor, 2.0, lambda: None)
        taken = sum(self._memory()) - sum(before)
        self._show(f"memory of {count} idle {kind} sessions", f"{taken / count / 1024:.2f} KiB each, all servers")
        seconds = 2 * PING_SECONDS
        cpu = self._server_cpu()
        await deferLater(self._reactor, seconds, lambda: None)
        used = (self._server_cpu() - cpu) / seconds / (count + len(self._users))
        self._show("processor time of an idle session, a ping each 10 s", f"{used * 1e6:.2f} us per second")
        extra, self._extra = self._extra, []
        await closed_loop(extra, self._concurrency, NativeUser.leave)

    def _memory(self) -> list[int]:
        return [resident_bytes(process.pid) for process in self._watched if process.server]

    def _server_cpu(self) -> float:
        return sum(cpu_seconds(process.pid) for process in self._watched if process.server)

    def _partners(self) -> Iterable[tuple[NativeUser, NativeUser, Address]]:
        """Pair each user with one that is probably at another server, since servers are chosen in turn."""
        half = len(self._users) // 2 | 1
        for number, user in enumerate(self._users):
            partner = self._users[(number + half) % len(self._users)]
            yield user, partner, Address.user(partner.place.user)

    async def p2p(self, seconds: float) -> None:
        """Send from user to user as fast as answers come, `concurrency` unanswered in all."""
        title = f"p2p, {self._concurrency} unanswered, {seconds:g} s"
        end = self._clock() + seconds
        if self._http:
            pairs = list(self._partners())[: self._concurrency]

            async def work(pair: tuple[NativeUser, NativeUser, Address]) -> None:
                while self._clock() < end:
                    await self._post(pair[0], pair[1], self._clock())

            await self._phase(title, lambda: closed_loop(pairs, self._concurrency, work))
            return
        window = max(1, self._concurrency // len(self._users))
        partners = {user: (partner, to) for user, partner, to in list(self._partners())[: self._concurrency]}

        def go_on(user: NativeUser) -> None:
            partner, to = partners[user]
            count = window - user.unanswered
            now = self._clock()
            if count > 0 and now < end and user.connection is not None:
                first, length = len(self._times), self._length
                self._times += [now] * count
                frames = [user.next_frame(partner.number, to, first + more, length) for more in range(count)]
                user.connection.write(b"".join(frames))
                self._sent += count

        await self._phase(title, lambda: self._closed(go_on, partners, seconds))

    async def _closed(self, go_on: Callable[[NativeUser], None], users: Iterable[NativeUser], seconds: float) -> None:
        self._go_on = go_on
        for user in list(users):
            go_on(user)
        await deferLater(self._reactor, seconds, lambda: None)
        self._go_on = _wait

    async def rate(self, rate: float, seconds: float) -> None:
        """Send from user to user at fixed times; latencies count from these times."""
        partners = list(self._partners())
        ends: list[Deferred[None]] = []

        def offer(index: int, scheduled: float) -> None:
            user, partner, to = partners[index % len(partners)]
            if self._http:
                ends.append(Deferred.fromCoroutine(self._post(user, partner, scheduled)))
            elif user.connection is not None:
                place = len(self._times)
                self._times.append(scheduled)
                user.connection.write(user.next_frame(partner.number, to, place, self._length))
                self._sent += 1

        async def offering() -> None:
            await open_loop(self._reactor, self._clock, rate, seconds, offer)
            for end in ends:
                await end

        await self._phase(f"p2p at {rate:g} per second, {seconds:g} s", offering)

    async def _post(self, user: NativeUser, partner: NativeUser, scheduled: float) -> None:
        index = len(self._times)
        self._times.append(scheduled)
        number = user.sent.get(partner.number, 0)
        user.sent[partner.number] = number + 1
        text = f"#T{user.number:08x}{number:08x}{index:08x}".ljust(self._length, ".")
        fields = {"to_user": partner.place.user, "client_id": f"{index}-{user.number}", "text": text}
        self._sent += 1
        try:
            await self._next_pool().call(b"POST", b"/v1/messages", json.dumps(fields).encode(), user.place.token)
        except HTTPError as error:
            self._wrong[str(error)[:60]] += 1
        else:
            self._answers.append(self._clock() - scheduled)

    async def group(self, count: int) -> None:
        """Send to a group of all users as fast as answers come, `count` unanswered in all, for ten seconds."""
        owner = self._users[0]
        members = [user.place.user for user in self._users[1:]]
        start = self._clock()
        group = await make_group(self._next_pool(), owner.place.token, f"{self._name} group", members)
        self._show(f"group of {len(self._users)} made after", f"{self._clock() - start:.2f} s")
        to = Address.group(group)
        senders = self._users[: max(1, min(10, count))]
        window = max(1, count // len(senders))
        self._each = len(self._users) - 1
        end = self._clock() + 10.0

        def go_on(user: NativeUser) -> None:
            free = window - user.unanswered
            now = self._clock()
            if free > 0 and now < end and user.connection is not None:
                first, length = len(self._times), self._length
                self._times += [now] * free
                frames = [user.next_frame(-group, to, first + more, length) for more in range(free)]
                user.connection.write(b"".join(frames))
                self._sent += free

        # Numbers of what goes to the group are apart from those between users.
        for user in self._users:
            user.last.clear()
        title = f"group of {len(self._users)}, {count} unanswered, 10 s"
        await self._phase(title, lambda: self._closed(go_on, senders, 10.0))
        for user in self._users:
            user.last.clear()
            user.sent.clear()
        self._each = 2 if self._http else 1

    async def _phase(self, title: str, work: Callable[[], Any]) -> None:
        self._write(f"{title}:")
        # Times stay: their indexes are in client_ids, which are unique.
        self._latencies, self._answers, self._sent = [], [], 0
        self._wrong = Counter()
        busy = Busy(self._clock, self._watched)
        start = self._last = self._clock()
        await work()
        while self._unfinished() and self._clock() - self._last < PATIENCE:
            await deferLater(self._reactor, 0.01, lambda: None)
        elapsed = max(self._last - start, 1e-9)
        lost = self._sent * self._each - len(self._latencies)
        self._show("answered", f"{len(self._answers)} of {self._sent}, {len(self._answers) / elapsed:.0f} per second")
        self._show("delivered", f"{len(self._latencies)}, {len(self._latencies) / elapsed:.0f} per second")
        self._show("latency of the answer", Percentiles.of(self._answers))
        self._show("latency of the delivery", Percentiles.of(self._latencies))
        self._show("not delivered", lost)
        self._show("otherwise", ", ".join(f"{what}: {n}" for what, n in self._wrong.most_common()) or "nothing")
        self._show("processors", busy)
        self._total["delivered"] += len(self._latencies)
        self._total["not delivered"] += lost
        self._total.update(self._wrong)

    def _unfinished(self) -> bool:
        return len(self._answers) < self._sent or len(self._latencies) < self._sent * self._each

    # The end

    def finish(self) -> int:
        """Write the fate of all messages; return the exit status."""
        self._write("all messages: " + ", ".join(f"{what} {n}" for what, n in self._total.items()))
        return 1 if any(n for what, n in self._total.items() if what != "delivered") else 0

    async def close(self) -> None:
        """Close all connections."""
        if self._chores.running:
            self._chores.stop()
        for user in [*self._users, *self._extra]:
            await user.leave()
        for pool in self._pools:
            pool.close()

    def _rate(self, what: str, count: int, start: float) -> None:
        elapsed = self._clock() - start
        self._show(what, f"{count} in {elapsed:.2f} s, {count / elapsed:.0f} per second")

    def _show(self, what: str, value: object) -> None:
        self._write(f"  {what}: {value}")
