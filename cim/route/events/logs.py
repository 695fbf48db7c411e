"""Sends what is in the logs to a webhook: each event at least once, and in order within a conversation.

The store says in which conversations something waits, and gives each to one route for some time (IFollowers). What
fails is tried again, later each time, for a day; then the conversation stops until an operator goes on with it. Others
go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import evolve

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.errors import CIMError
from cim.interfaces import IConversations, IFollowers, IStoreClock
from cim.model import Followed, Following, Page
from cim.route.events.attempts import PATIENCE, Attempts, Outcome, wait_after
from cim.route.events.event import Event, event_of, gap
from cim.route.events.webhook import Webhook
from cim.supervision import Loop

#: How long a conversation is given to a route, and for how much of that the route begins to send, in seconds: an answer
#: may take as long as a webhook may have (Webhook.seconds), and what is stored afterwards a bit more.
LEASE_SECONDS = 30.0
WORK_SECONDS = 5.0
#: Seconds from a message of this route until it is looked for, and from one look to the next without one.
WAKE_SECONDS = 0.1
POLL_SECONDS = 1.0
#: How many entries are read at once.
PAGE = 50
#: How often it is asked how a webhook fares, in seconds.
STATE_SECONDS = 10.0


class LogSender(Service):
    """Sends to one webhook.

    :param owner: what the store calls this route, unguessed by others
    :param random: returns a number from 0 to 1
    """

    _log = Logger()

    def __init__(
        self,
        webhook: Webhook,
        attempts: Attempts,
        *,
        followers: IFollowers,
        store: IConversations,
        time: IStoreClock,
        clock: IReactorTime,
        owner: str,
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self.webhook = webhook
        #: Why the last attempt failed; empty if it did not.
        self.error = ""
        #: How it fared when it was last asked; None before.
        self.state: Following | None = None
        self._attempts = attempts
        self._followers = followers
        self._store = store
        self._time = time
        self._clock = clock
        self._owner = owner
        self._random = random
        self._metrics = metrics
        self._working: dict[str, Deferred[None]] = {}
        self._loop = Loop(f"sending to webhook {webhook.name}", self._step, clock, random=random)
        self._looking = Loop(f"asking how webhook {webhook.name} fares", self._look, clock, random=random)

    def __len__(self) -> int:
        """How many conversations are worked on."""
        return len(self._working)

    def wake(self) -> None:
        """Look soon: something was said."""
        self._loop.wake(WAKE_SECONDS)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._loop.start()  # before anything is said: what was said before the first step is not sent
        self._looking.start(STATE_SECONDS * self._random())

    def stopService(self) -> Deferred[None]:
        """Begin nothing more, and note how far it came; the parent service sets the deadline."""
        super().stopService()
        ending = [self._loop.stop(), self._looking.stop(), *self._working.values()]
        return gatherResults(ending).addCallback(lambda _: None)

    async def _look(self) -> float:
        try:
            self.state = await self._followers.following(self.webhook.name)
        except CIMError:
            pass  # the store's own health tells
        return STATE_SECONDS

    async def _step(self) -> float | None:
        room = self.webhook.at_once - len(self._working)
        if not room:
            return None  # whoever ends asks for the next step
        until = self._clock.seconds() + WORK_SECONDS
        try:
            given, more = await self._followers.follow(self.webhook.name, self._owner, seconds=LEASE_SECONDS, most=room)
        except CIMError:
            return POLL_SECONDS
        for followed in given:
            working = Deferred.fromCoroutine(self._work(followed, until))
            if not working.called:
                self._working[followed.conversation] = working
            working.addErrback(lambda failure: self._log.failure("a webhook's conversation was left", failure))
            working.addBoth(self._worked, followed.conversation)
        return 0.0 if more or len(given) == room else POLL_SECONDS * (0.5 + self._random())

    def _worked(self, _: object, conversation: str) -> None:
        self._working.pop(conversation, None)
        self._loop.wake()

    async def _work(self, place: Followed, until: float) -> None:
        """Send what waits in a conversation; if the store is away, it is given again after a while.

        :param until: when to begin nothing more, on the clock
        """
        outcome, more = Outcome(), True
        try:
            if not self.webhook.wants("gap", place.conversation):
                await self._followers.settle(self.webhook.name, self._owner, place, end=True)
                return
            while more and not outcome.error and self._goes_on(until):
                page = await self._store.read(place.conversation, after=place.position, limit=PAGE)
                place, outcome, more = await self._send_page(place, page, until)
            await self._note(place, outcome)
        except CIMError:
            pass  # another attempt, by whichever route, sends it again, with the same ids

    def _goes_on(self, until: float) -> bool:
        return bool(self.running) and self._clock.seconds() < until

    async def _send_page(self, place: Followed, page: Page, until: float) -> tuple[Followed, Outcome, bool]:
        """Send the events of a page, up to the first that fails.

        :returns: how far it came, what became of the last attempt, and whether there is more to read
        """
        for position, event in self._events(place, page):
            if event is not None and self.webhook.wants(event.type, place.conversation):
                if not self._goes_on(until):
                    return place, Outcome(), False
                outcome = await self._attempts.send(event)
                self._metrics.webhook(self.webhook.name, "failed" if outcome.error else "sent")
                self.error = outcome.error
                if outcome.error:
                    return place, outcome, False
                place = evolve(place, failures=0, since=0)
            place = evolve(place, position=position)
        return evolve(place, position=page.upto, failures=0, since=0), Outcome(), page.more

    def _events(self, place: Followed, page: Page) -> Iterator[tuple[str, Event | None]]:
        """Yield what is on a page, and the position up to which everything is sent then."""
        name = place.conversation
        if page.reset:
            start = page.entries[0].previous if page.entries else page.upto
            yield start, gap(name, place.position, start, self._time.shown())
        for entry in page.entries:
            yield entry.position, event_of(name, entry)

    async def _note(self, place: Followed, outcome: Outcome) -> None:
        name = self.webhook.name
        if not outcome.error:
            await self._followers.settle(name, self._owner, place)
            return
        now = self._time.now()
        failed = evolve(place, failures=place.failures + 1, since=place.since or now)
        stop = now - failed.since >= PATIENCE * 1000
        wait = wait_after(failed.failures, outcome.retry_after, self._random())
        if outcome.gone:
            await self._followers.stop(name)
        await self._followers.settle(name, self._owner, failed, wait=wait, stop=stop)
        if stop or outcome.gone:
            self._looking.wake()
            self._log.warn(
                "webhook {name}: {what} stops, since {error}. cim-admin webhooks replay or skip goes on",
                name=name,
                what="all of it" if outcome.gone else place.conversation,
                error=outcome.error,
            )
