"""Pushes to browsers: Web Push (RFC 8030), encrypted for the browser (RFC 8291), signed by our key (RFC 8292)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import http_ece
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from py_vapid import Vapid02

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import InvalidField
from cim.interfaces import IPusher
from cim.model import Notice, Pushed, Registration
from cim.route.push.outcomes import outcome_of

if TYPE_CHECKING:
    from cim.outgoing.client import Outgoing

#: The push services of the browsers; `*.` stands for one or more labels.
HOSTS = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
)
#: How long a service keeps a notice for a browser that is away, in seconds; and one that only closes another.
TTL_SECONDS, TTL_READ_SECONDS = 24 * 3600, 3600
#: How long a signature is good, and how long it is used, in seconds (RFC 8292, 2: at most 24 hours).
SIGNED_SECONDS, USED_SECONDS = 12 * 3600, 6 * 3600
#: The most services for which a signature is kept.
MOST_SIGNED = 100
#: Payloads are as long as a multiple of this, in bytes, so that their length tells little.
PADDED = 256


def new_key() -> bytes:
    """Return a new key to sign with, as PEM."""
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private(key: bytes) -> EllipticCurvePrivateKey:
    """Return the key of a PEM.

    :raises ValueError: it is none of P-256, or encrypted
    """
    try:
        private = load_pem_private_key(key, None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in PEM without a password") from None
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        raise ValueError("is not a key of the curve P-256 (prime256v1)")
    return private


@implementer(IPusher)
class WebPush:
    """Pushes to the services of browsers.

    :param outgoing: sends requests
    :param key: to sign with, as PEM
    :param contact: whom a service may tell of problems: a `mailto:` or `https:` URL
    :param hosts: which hosts may be pushed to
    :param check_url: raises InvalidField for what is no https URL
    :param time_of_day: returns seconds since 1970
    :param random_bytes: returns that many bytes, fit for secrets
    :raises ValueError: the key is none
    """

    kind = "webpush"

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        key: bytes,
        contact: str,
        hosts: Sequence[str] = HOSTS,
        check_url: Callable[[str], None],
        time_of_day: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._outgoing = outgoing
        self._vapid = Vapid02(_private(key))
        self._contact = contact
        self._hosts = hosts
        self._check_url = check_url
        self._now = time_of_day
        self._random_bytes = random_bytes
        # By the origin of a service: until when it is used, and the header.
        self._signed: dict[str, tuple[float, str]] = {}

    @property
    def public_key(self) -> str:
        """What browsers subscribe with, base64url."""
        return _text(self._vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def check(self, address: str, keys: Mapping[str, str]) -> str:
        """See IPusher; the keys are those of a PushSubscription."""
        try:
            self._check_url(address)
        except InvalidField as error:
            raise InvalidField("address", error.reason) from None
        host = (urlsplit(address).hostname or "").lower()
        if not any(_matches(host, pattern) for pattern in self._hosts):
            raise InvalidField("address", "must be at a push service that is known here (--push-hosts)")
        _receiver(keys)
        return json.dumps({name: keys[name] for name in ("p256dh", "auth")})

    def push(self, registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """See IPusher."""
        return Deferred.fromCoroutine(self._push(registration, notice))

    async def _push(self, registration: Registration, notice: Notice) -> Pushed:
        receiver, secret = _receiver(json.loads(registration.keys))
        text = json.dumps(notice.shown(), ensure_ascii=False).encode()
        body = http_ece.encrypt(
            text.ljust(-(-len(text) // PADDED) * PADDED),
            salt=self._random_bytes(16),
            private_key=generate_private_key(SECP256R1()),
            dh=receiver,
            auth_secret=secret,
            version="aes128gcm",
        )
        answer = await self._outgoing.request(
            "POST",
            registration.address,
            headers={
                "Authorization": self._signature(registration.address),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "TTL": str(TTL_READ_SECONDS if notice.read else TTL_SECONDS),
                "Topic": notice.topic,
                "Urgency": "low" if notice.read else "normal",
            },
            body=body,
            https=True,
        )
        return outcome_of(answer.status, (answer.headers.getRawHeaders("Retry-After") or [""])[0])

    def _signature(self, address: str) -> str:
        """Return the header that proves to a service who sends."""
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        now = self._now()
        until, header = self._signed.get(origin, (0.0, ""))
        if not now < until <= now + USED_SECONDS:
            if len(self._signed) >= MOST_SIGNED:
                self._signed.clear()
            claims = {"aud": origin, "exp": int(now) + SIGNED_SECONDS, "sub": self._contact}
            header = self._vapid.sign(claims)["Authorization"]
            self._signed[origin] = now + USED_SECONDS, header
        return header


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _receiver(keys: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Return the public key of a browser, and its secret.

    :raises InvalidField: the keys are none
    """
    try:
        key, secret = (_bytes(keys.get(name, "")) for name in ("p256dh", "auth"))
        if len(key) != 65 or len(secret) != 16:
            raise ValueError
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
    except ValueError:
        raise InvalidField("keys", "must be `p256dh` and `auth` of a PushSubscription") from None
    return key, secret


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError from None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
