"""All webhooks of a route, as one part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.interfaces import IStore
from cim.model import Following
from cim.route.events.attempts import Attempts, Request
from cim.route.events.event import Event
from cim.route.events.logs import LogSender
from cim.route.events.moments import MomentSender
from cim.route.events.webhook import MOMENTARY, Webhook


class Webhooks(Service):
    """Sends what happens to webhooks, and says how they fare.

    :param requests: returns what sends to a webhook; each has one of its own, so that none waits for another
    :param new_id: makes an unguessable token
    :param time_of_day: returns the time in seconds since 1970
    :param random: returns a number from 0 to 1
    """

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        requests: Callable[[Webhook], Request],
        store: IStore,
        clock: IReactorTime,
        time_of_day: Callable[[], float],
        new_id: Callable[[], str],
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._new_id = new_id
        self._time_of_day = time_of_day
        self.webhooks = tuple(webhooks)
        self.logs: list[LogSender] = []
        self.moments: list[MomentSender] = []
        for webhook in webhooks:
            attempts = Attempts(webhook, requests(webhook), time_of_day)
            if webhook.follows:
                self.logs.append(
                    LogSender(
                        webhook,
                        attempts,
                        followers=store.followers,
                        store=store.conversations,
                        time=store.clock,
                        clock=clock,
                        owner=new_id(),
                        random=random,
                        metrics=metrics,
                    )
                )
            if not webhook.events.isdisjoint(MOMENTARY):
                self.moments.append(MomentSender(webhook, attempts, clock, metrics))
        if self.logs:
            store.conversations.followed = True

    @property
    def wanted(self) -> frozenset[str]:
        """The types that some webhook wants."""
        return frozenset().union(*(webhook.events for webhook in self.webhooks))

    def stored(self, *_: object) -> None:
        """Note that a message was stored; for `Sending.on_stored`."""
        for sender in self.logs:
            sender.wake()

    def tell(self, type: str, data: Mapping[str, Any], conversation: str = "") -> None:
        """Send what is in no log to those who want it, at most once.

        :param conversation: in which it happened; empty for none
        """
        event = Event(type, int(self._time_of_day() * 1000), data, self._new_id(), conversation)
        for sender in self.moments:
            sender.tell(event)

    def facts(self) -> Mapping[str, Any]:
        """Return how each webhook fares, for health; nothing without any."""
        states = {sender.webhook.name: _said(sender.webhook.name, sender.state, sender.error) for sender in self.logs}
        return {"webhooks": states} if states else {}

    def startService(self) -> None:
        """Begin."""
        super().startService()
        for sender in (*self.logs, *self.moments):
            sender.startService()

    def stopService(self) -> Deferred[None]:
        """Begin nothing more; the parent service sets the deadline."""
        super().stopService()
        ending = [sender.stopService() for sender in (*self.logs, *self.moments)]
        return gatherResults(ending).addCallback(lambda _: None)


def _said(name: str, state: Following | None, error: str) -> str:
    if state is not None and state.stopped:
        return f"it wants nothing any more (410): cim-admin webhooks replay {name} goes on"
    if state is not None and state.count:
        return f"it has stopped in {state.count} conversations: cim-admin webhooks list"
    return f"it fails: {error}" if error else "ok"
