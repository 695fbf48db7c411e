"""Sends what is in no log to a webhook, at most once: sessions, presence, receipts and accounts."""

from __future__ import annotations

from collections import deque

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.route.events.attempts import Attempts
from cim.route.events.event import Event
from cim.route.events.webhook import Webhook
from cim.supervision import Loop

#: The most events that wait; further ones are dropped.
QUEUE = 1000


class MomentSender(Service):
    """Sends to one webhook, one after the other."""

    def __init__(self, webhook: Webhook, attempts: Attempts, clock: IReactorTime, metrics: Metrics) -> None:
        self.webhook = webhook
        self._attempts = attempts
        self._metrics = metrics
        self._waiting: deque[Event] = deque()
        self._loop = Loop(f"telling webhook {webhook.name}", self._step, clock)

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, event: Event) -> None:
        """Send an event if the webhook wants it, unless too many wait."""
        if not self.running or not self.webhook.wants(event.type, event.conversation):
            return
        if len(self._waiting) >= QUEUE:
            self._metrics.webhook(self.webhook.name, "dropped")
            return
        self._waiting.append(event)
        self._loop.wake()

    async def _step(self) -> float | None:
        if not self._waiting:
            return None
        outcome = await self._attempts.send(self._waiting.popleft())
        self._metrics.webhook(self.webhook.name, "dropped" if outcome.error else "sent")
        return 0.0 if self._waiting else None

    def stopService(self) -> Deferred[None]:
        """Send nothing more but what is under way; the parent service sets the deadline."""
        super().stopService()
        self._waiting.clear()
        return self._loop.stop()
