"""Pushes to Apple's devices: APNs over HTTP/2, with a token that our key signs.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns has the requests and
errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from zope.interface import implementer

from cim.errors import CallTimeout, InvalidField, Unreachable
from cim.interfaces import IPusher
from cim.model import Notice, Pushed, Registration
from cim.route.push.http2 import HTTP2Client
from cim.route.push.outcomes import outcome_of

#: For how long a token is used, in seconds: Apple takes none that is older than an hour, nor new ones all the time.
USED_SECONDS = 2400
#: How long a connection, and a request, may take, in seconds.
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 15.0
#: How long Apple keeps a notice for a device that is away, in seconds.
TTL_SECONDS = 24 * 3600
#: What apps call the words for a message whose text is left out.
NEW_MESSAGE = "NEW_MESSAGE"
_TOKEN = re.compile(r"[0-9A-Fa-f]{64,200}")


@frozen
class Signer:
    """Who sends, as Apple knows it.

    :param key: the private key, as PEM (.p8)
    :param topic: the app's bundle id
    """

    team: str
    key_id: str
    topic: str
    key: str

    def sign(self, now: int) -> str:
        """Return a token.

        :raises ValueError: the key is none
        """
        try:
            return jwt.encode({"iss": self.team, "iat": now}, self.key, algorithm="ES256", headers={"kid": self.key_id})
        except (TypeError, ValueError, jwt.PyJWTError) as error:
            raise ValueError("is not a private key of Apple's (.p8)") from error


@implementer(IPusher)
class APNs:
    """Pushes over one connection, which is made anew when it is needed and gone.

    :param endpoint: leads to Apple, by TLS with h2
    :param host: what it is called in requests
    :param time_of_day: returns seconds since 1970
    """

    kind = "apns"

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        host: str,
        signer: Signer,
        *,
        clock: IReactorTime,
        time_of_day: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._host = host
        self._signer = signer
        self._clock = clock
        self._now = time_of_day
        self._token = ""
        self._until = 0.0
        self._client: HTTP2Client | None = None
        self._connecting: list[Deferred[None]] | None = None

    def check(self, address: str, keys: Mapping[str, str]) -> str:
        """See IPusher; there are no keys."""
        if not _TOKEN.fullmatch(address):
            raise InvalidField("address", "must be a device token of APNs, in hex")
        if keys:
            raise InvalidField("keys", "must be missing for `apns`")
        return ""

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def push(self, registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """See IPusher."""
        return Deferred.fromCoroutine(self._push(registration, notice))

    async def _push(self, registration: Registration, notice: Notice) -> Pushed:
        client = await self._connected()
        now = self._now()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._host),
            (":path", f"/3/device/{registration.address}"),
            ("authorization", f"bearer {self._signed(now)}"),
            ("apns-topic", self._signer.topic),
            ("apns-push-type", "background" if notice.read else "alert"),
            ("apns-priority", "5" if notice.read else "10"),
            ("apns-expiration", str(int(now) + TTL_SECONDS)),
            ("apns-collapse-id", notice.topic),
            ("content-type", "application/json"),
        ]
        asking = client.request(headers, json.dumps(_payload(notice), ensure_ascii=False).encode())
        answer = await asking.addTimeout(ANSWER_SECONDS, self._clock, _timed_out)
        if answer.status in (400, 403, 410):
            return self._meaning(answer.status, answer.body)
        return outcome_of(answer.status, answer.headers.get("retry-after", ""))

    def _signed(self, now: float) -> str:
        if not now < self._until <= now + USED_SECONDS:
            self._token, self._until = self._signer.sign(int(now)), now + USED_SECONDS
        return self._token

    def _meaning(self, status: int, body: bytes) -> Pushed:
        try:
            reason = json.loads(body)["reason"]
        except (ValueError, TypeError, KeyError, RecursionError):
            reason = ""
        # Not for BadDeviceToken or DeviceTokenNotForTopic: a wrong --apns-host or app would have all devices forgotten.
        if status == 410:
            return Pushed.GONE
        if reason == "ExpiredProviderToken":
            self._until = 0.0
            return Pushed.LATER
        return Pushed.REFUSED

    async def _connected(self) -> HTTP2Client:
        """Return a connection that takes requests; one is made at a time.

        :raises Unreachable: there is none
        """
        while self._client is None or self._client.over:
            if self._connecting is not None:
                waiting: Deferred[None] = Deferred()
                self._connecting.append(waiting)
                await waiting
                if self._client is None or self._client.over:
                    raise Unreachable(f"{self._host} cannot be reached")
                continue
            self._connecting = []
            try:
                connecting: Deferred[Any] = self._endpoint.connect(Factory.forProtocol(HTTP2Client))
                self._client = await connecting.addTimeout(CONNECT_SECONDS, self._clock, _timed_out)
            except CallTimeout:
                raise
            except Exception as error:
                raise Unreachable(f"{self._host} cannot be reached: {type(error).__name__}") from error
            finally:
                connected, self._connecting = self._connecting, None
                for waiting in connected:
                    waiting.callback(None)
        assert self._client is not None
        return self._client


def endpoint_of(reactor: Any, host: str) -> IStreamClientEndpoint:
    """Return what leads to a host by TLS, whose name is verified, to speak HTTP/2."""
    options = optionsForClientTLS(host, acceptableProtocols=[b"h2"])
    endpoint: IStreamClientEndpoint = wrapClientTLS(options, HostnameEndpoint(reactor, host, 443))
    return endpoint


def _timed_out(_: object, seconds: float) -> Any:
    raise CallTimeout(f"the push service gave no answer within {seconds:g} s")


def _payload(notice: Notice) -> dict[str, Any]:
    """Return what a device gets. What is about the message itself is under `cim`, for the app."""
    if notice.read:
        return {"aps": {"content-available": 1}, "cim": notice.shown()}
    alert = {"title": notice.sender_name, "subtitle": notice.group_name, "body": notice.text}
    alert = {name: value for name, value in alert.items() if value}
    if "body" not in alert:
        alert["loc-key"] = NEW_MESSAGE
    aps = {"alert": alert, "badge": notice.badge, "sound": "default", "thread-id": notice.topic, "mutable-content": 1}
    return {"aps": aps, "cim": {name: value for name, value in notice.shown().items() if name != "text"}}
