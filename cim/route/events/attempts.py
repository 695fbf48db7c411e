"""Sends an event to a webhook, once, and says what is to follow (docs/webhooks.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from cim.errors import CIMError
from cim.route.events.event import Event
from cim.route.events.webhook import Webhook
from cim.standard_webhooks import signed

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.web.calling import Answer

#: Bytes of an answer that are read: what it says does not matter.
MAX_ANSWER = 4096
#: From the first failure to the time at which a conversation stops, in seconds.
PATIENCE = 86_400.0
#: Seconds from the first failure to the next attempt, doubled with each, and the most.
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
_GONE = 410


class Request(Protocol):
    """Sends a request to strangers, as `cim.outgoing.client.Outgoing.request` does."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, seconds: float, most: int
    ) -> Deferred[Answer]:
        """See `cim.outgoing.client`."""


@frozen
class Outcome:
    """What became of an attempt.

    :param error: why the webhook does not have it; empty if it does
    :param gone: it says that it wants nothing any more
    :param retry_after: seconds that it asks for
    """

    error: str = ""
    gone: bool = False
    retry_after: float = 0.0


def wait_after(failures: int, retry_after: float, random: float) -> float:
    """Return how many seconds to wait after that many failures in a row.

    :param retry_after: what the webhook asks for
    :param random: a number from 0 to 1
    """
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 20)) * (0.5 + random / 2)
    return max(wait, min(retry_after, LONGEST_WAIT))


class Attempts:
    """Sends events to a webhook.

    :param time: returns the time of day, in seconds since 1970
    """

    def __init__(self, webhook: Webhook, request: Request, time: Callable[[], float]) -> None:
        self._webhook = webhook
        self._request = request
        self._time = time

    async def send(self, event: Event) -> Outcome:
        """Send an event, and return what became of it; never fails."""
        webhook, body = self._webhook, event.body()
        id, now = event.id(webhook.name), int(self._time())
        each = [signed(secret, id, now, body) for secret in webhook.secrets]
        signature = " ".join(one["Webhook-Signature"] for one in each)
        headers = {**each[0], "Webhook-Signature": signature, "Content-Type": "application/json"}
        try:
            answer = await self._request(
                "POST", webhook.url, headers=headers, body=body, seconds=webhook.seconds, most=MAX_ANSWER
            )
        except CIMError as error:
            return Outcome(error.message)
        if 200 <= answer.status < 300:
            return Outcome()
        asked = (answer.headers.getRawHeaders("retry-after") or [""])[-1].strip()
        # Dates, which the field may have as well, are not worth their trouble: what it asks for has a bound anyway.
        retry_after = float(asked) if re.fullmatch("[0-9]{1,9}", asked) else 0.0
        return Outcome(f"it answered with status {answer.status}", answer.status == _GONE, retry_after)
