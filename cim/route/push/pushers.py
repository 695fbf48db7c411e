"""Hands notices to the pushers of their kind, again if that may help, and drops addresses that are none any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.errors import CIMError, RateLimited
from cim.interfaces import IPusher, IPushes
from cim.model import Notice, Pushed, Registration

#: Seconds between the attempts to push a notice; the longest is that between the last two.
PAUSES = (2.0, 15.0, 60.0)
#: The most notices under way at once, of all and of a user; beyond that they are dropped. So nobody's addresses that do
#: not answer keep others from being notified.
MOST, MOST_OF_USER = 2_000, 100


class Pushers:
    """The pushers of a route.

    :param pushers: one of each kind
    """

    _log = Logger()

    def __init__(self, pushers: Sequence[IPusher], pushes: IPushes, clock: IReactorTime, metrics: Metrics) -> None:
        self.kinds: Mapping[str, IPusher] = {pusher.kind: pusher for pusher in pushers}
        self._pushes = pushes
        self._clock = clock
        self._metrics = metrics
        # How many are under way, by user.
        self._under_way: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._under_way.total()

    def push(self, registration: Registration, notice: Notice) -> None:
        """Have a notice pushed; nobody waits for it."""
        pusher = self.kinds.get(registration.kind)
        if pusher is None:
            return  # another release, or other options, served it
        user = registration.user
        if len(self) >= MOST or self._under_way[user] >= MOST_OF_USER:
            self._metrics.dropped("push")
            return
        self._under_way[user] += 1
        pushing = Deferred.fromCoroutine(self._push(pusher, registration, notice))
        pushing.addErrback(lambda failure: self._log.failure("a notification was not pushed", failure))
        pushing.addCallback(self._over, user)

    def _over(self, _: object, user: int) -> None:
        self._under_way[user] -= 1
        if not self._under_way[user]:
            del self._under_way[user]

    async def _push(self, pusher: IPusher, registration: Registration, notice: Notice) -> None:
        for pause in (*PAUSES, None):
            wait = pause
            try:
                outcome = await pusher.push(registration, notice)
            except RateLimited as error:
                outcome = Pushed.LATER
                wait = max(pause or 0.0, min(error.retry_after, PAUSES[-1]))
            except CIMError as error:
                # Names the address, which only its service and its user may know.
                self._log.debug("a notification was not pushed: {error}", error=error)
                outcome = Pushed.LATER
            self._metrics.pushed(pusher.kind, outcome)
            if outcome is Pushed.GONE:
                await self._pushes.unregister(registration.user, registration.id)
            if outcome is not Pushed.LATER or pause is None or wait is None:
                return
            await deferLater(self._clock, wait)
