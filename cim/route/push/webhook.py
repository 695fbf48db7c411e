"""Pushes to a URL of the operator's, signed as Standard Webhooks has it: for services that nothing here speaks to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import InvalidField
from cim.interfaces import IPusher
from cim.model import Notice, Pushed, Registration
from cim.route.push.outcomes import outcome_of
from cim.standard_webhooks import signed

if TYPE_CHECKING:
    from cim.outgoing.client import Outgoing

#: The longest address, which means something to the receiver alone.
MOST_ADDRESS = 1024


@implementer(IPusher)
class WebhookPusher:
    """Has another program push: it gets each notice with the address that the device registered.

    :param outgoing: sends requests
    :param url: the operator's
    :param secret: to sign with
    :param time_of_day: returns seconds since 1970
    """

    kind = "webhook"

    def __init__(
        self,
        outgoing: Outgoing,
        url: str,
        secret: bytes,
        *,
        time_of_day: Callable[[], float],
    ) -> None:
        self._outgoing = outgoing
        self._url = url
        self._secret = secret
        self._now = time_of_day

    def check(self, address: str, keys: Mapping[str, str]) -> str:
        """See IPusher; the address may be anything that can be read, and there are no keys."""
        if len(address) > MOST_ADDRESS or not address.isprintable():
            raise InvalidField("address", f"must have at most {MOST_ADDRESS} printable characters")
        if keys:
            raise InvalidField("keys", "must be missing for `webhook`")
        return ""

    def push(self, registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """See IPusher."""
        return Deferred.fromCoroutine(self._push(registration, notice))

    async def _push(self, registration: Registration, notice: Notice) -> Pushed:
        said = {
            "type": "push",
            "user": registration.user,
            "device": registration.device,
            "address": registration.address,
            "topic": notice.topic,
            "notice": notice.shown(),
        }
        body = json.dumps(said, ensure_ascii=False).encode()
        about = hashlib.sha256(f"{registration.id} {notice.topic} {notice.at}".encode()).hexdigest()
        headers = signed(self._secret, f"push_{about[:32]}", int(self._now()), body)
        answer = await self._outgoing.request(
            "POST", self._url, headers={**headers, "Content-Type": "application/json"}, body=body
        )
        if answer.status == 404:
            return Pushed.REFUSED  # of the URL, not of what was registered
        return outcome_of(answer.status, (answer.headers.getRawHeaders("Retry-After") or [""])[0])
