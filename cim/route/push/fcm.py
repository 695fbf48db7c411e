"""Pushes to Android, and whatever else Firebase Cloud Messaging reaches, by its HTTP v1 API.

https://firebase.google.com/docs/cloud-messaging/send/v1-api has the messages and errors,
https://developers.google.com/identity/protocols/oauth2/service-account how we prove who sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
from attrs import frozen

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import InvalidField, Unavailable
from cim.interfaces import IPusher
from cim.model import Notice, Pushed, Registration
from cim.route.push.outcomes import outcome_of

if TYPE_CHECKING:
    from cim.outgoing.client import Outgoing

API = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: How long an assertion is good, and how long before its end an access token is not used any more, in seconds.
ASSERTED_SECONDS, MARGIN_SECONDS = 3600, 300
#: How long Google keeps a notice for a device that is away, in seconds.
TTL_SECONDS = 24 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9_:.-]{16,2048}")
_PROJECT = re.compile(r"[a-z0-9:.-]{4,100}")


@frozen
class ServiceAccount:
    """Who sends, by the file that Google gives out for a service account.

    :param key: the private key, as PEM
    :param token_url: where access tokens are issued
    """

    project: str
    email: str
    key: str
    token_url: str

    @classmethod
    def parse(cls, text: str) -> ServiceAccount:
        """Read such a file.

        :raises ValueError: it is none; says why, but nothing of its secrets
        """
        try:
            said = json.loads(text)
            found = cls(*(said[name] for name in ("project_id", "client_email", "private_key", "token_uri")))
            jwt.encode({}, found.key, algorithm="RS256")
        except (ValueError, TypeError, KeyError, jwt.PyJWTError):
            raise ValueError("is not the JSON file of a service account of Google's") from None
        if not (isinstance(found.project, str) and _PROJECT.fullmatch(found.project)):
            raise ValueError("names no project")
        if not (isinstance(found.token_url, str) and found.token_url.startswith("https://")):
            raise ValueError("has a token_uri that is not https")
        return found


@implementer(IPusher)
class FCM:
    """Pushes by Firebase Cloud Messaging. What devices get is data: apps show it themselves.

    :param outgoing: sends requests
    :param time_of_day: returns seconds since 1970
    """

    kind = "fcm"

    def __init__(self, outgoing: Outgoing, account: ServiceAccount, *, time_of_day: Callable[[], float]) -> None:
        self._outgoing = outgoing
        self._account = account
        self._now = time_of_day
        # The access token, and when it was issued and until when it is used.
        self._token = ""
        self._issued = self._until = 0.0
        self._asking: list[Deferred[None]] | None = None

    def check(self, address: str, keys: Mapping[str, str]) -> str:
        """See IPusher; there are no keys."""
        if not _TOKEN.fullmatch(address):
            raise InvalidField("address", "must be a registration token of Firebase Cloud Messaging")
        if keys:
            raise InvalidField("keys", "must be missing for `fcm`")
        return ""

    def push(self, registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """See IPusher."""
        return Deferred.fromCoroutine(self._push(registration, notice))

    async def _push(self, registration: Registration, notice: Notice) -> Pushed:
        token = await self._access_token()
        data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in notice.shown().items()}
        android = {
            "collapse_key": notice.topic,
            "priority": "NORMAL" if notice.read else "HIGH",
            "ttl": f"{TTL_SECONDS}s",
        }
        answer = await self._outgoing.request(
            "POST",
            f"{API}/v1/projects/{self._account.project}/messages:send",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=json.dumps({"message": {"token": registration.address, "data": data, "android": android}}).encode(),
            https=True,
        )
        if answer.status == 401 and self._token == token:
            self._until = 0.0
        if answer.status in (401, 403, 404):
            return _meaning(answer.status, answer.body)
        return outcome_of(answer.status, (answer.headers.getRawHeaders("Retry-After") or [""])[0])

    async def _access_token(self) -> str:
        """Return a token that is good for now; one is asked for at a time."""
        while not self._issued <= self._now() < self._until:
            if self._asking is not None:
                waiting: Deferred[None] = Deferred()
                self._asking.append(waiting)
                await waiting
                continue
            self._asking = []
            try:
                await self._ask()
            finally:
                asking, self._asking = self._asking, None
                for waiting in asking:
                    waiting.callback(None)
        return self._token

    async def _ask(self) -> None:
        now = int(self._now())
        claims = {
            "iss": self._account.email,
            "scope": SCOPE,
            "aud": self._account.token_url,
            "iat": now,
            "exp": now + ASSERTED_SECONDS,
        }
        assertion = jwt.encode(claims, self._account.key, algorithm="RS256")
        answer = await self._outgoing.request(
            "POST",
            self._account.token_url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"grant_type": GRANT, "assertion": assertion}).encode(),
            https=True,
        )
        try:
            said = json.loads(answer.body) if answer.status == 200 else {}
            token, seconds = said["access_token"], float(said["expires_in"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Unavailable(f"Google gives no access token to the service account (HTTP {answer.status})") from None
        if not (isinstance(token, str) and token.isascii() and token.isprintable()):
            raise Unavailable("Google gives an access token that is none")
        self._token, self._issued, self._until = token, now, now + max(1.0, seconds - MARGIN_SECONDS)


def _meaning(status: int, body: bytes) -> Pushed:
    """Return what an error is by the code that Google puts into its details."""
    try:
        said: Any = json.loads(body)
        codes = {one.get("errorCode") for one in said["error"].get("details", ()) if isinstance(one, dict)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        codes = set()
    if codes & {"UNREGISTERED", "SENDER_ID_MISMATCH"}:
        return Pushed.GONE
    return Pushed.LATER if status == 401 else Pushed.REFUSED
