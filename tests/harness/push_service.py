"""A double of browsers' push services, which checks what the real ones check, and of a browser that subscribes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twisted.internet.defer import Deferred, succeed
from twisted.web.http_headers import Headers

from cim.web.calling import Answer

SERVICE = "https://updates.push.services.mozilla.com"


def text(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(written: str) -> bytes:
    """The bytes of that."""
    return base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))


class Browser:
    """A subscription of a browser, which reads what is pushed to it."""

    def __init__(self, number: int = 1, service: str = SERVICE) -> None:
        self.endpoint = f"{service}/wpush/v2/{number}"
        self._private = generate_private_key(SECP256R1())
        public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._secret = bytes([number % 256]) * 16
        self.keys = {"p256dh": text(public), "auth": text(self._secret)}

    def body(self, **fields: Any) -> dict[str, Any]:
        """The body of the call that registers it."""
        return {"kind": "webpush", "address": self.endpoint, "keys": self.keys, **fields}

    def read(self, body: bytes) -> Any:
        """Decrypt a message."""
        clear = http_ece.decrypt(body, private_key=self._private, auth_secret=self._secret, version="aes128gcm")
        return json.loads(clear)


class PushService:
    """Takes the requests of an `Outgoing`, and refuses what a real service would.

    :param key: with which the sender must sign, as browsers subscribed with it
    :param now: returns seconds since 1970
    """

    def __init__(self, key: str, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        self.browsers: dict[str, Browser] = {}
        #: What was pushed: the endpoint, and the headers.
        self.took: list[tuple[str, Mapping[str, str], Any]] = []
        self.last_body = b""
        #: What it answers: (status, headers), or an error to fail with, or a Deferred.
        self.answers: Callable[[str], Any] = lambda endpoint: (201, {})

    def subscribe(self, number: int = 1, service: str = SERVICE) -> Browser:
        """Have a browser subscribe."""
        browser = Browser(number, service)
        self.browsers[browser.endpoint] = browser
        return browser

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float = 10.0,
        most: int = 65536,
        https: bool = False,
    ) -> Deferred[Answer]:
        """See Outgoing.request."""
        answer = self.answers(url)
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, tuple):
            waiting: Deferred[Answer] = answer
            return waiting
        self.check(method, url, headers, body, https)
        self.last_body = body
        self.took.append((url, headers, self.browsers[url].read(body)))
        status, more = answer
        return succeed(Answer(status, Headers({name: [value] for name, value in more.items()}), b""))

    def notices(self) -> list[tuple[str, Any]]:
        """What was shown since this was asked last: for each the endpoint's last part, and what it says."""
        took, self.took = self.took, []
        return [(url.rsplit("/", 1)[1], said) for url, _, said in took]

    def check(self, method: str, url: str, headers: Mapping[str, str], body: bytes, https: bool) -> None:
        """Fail as a service that answers 400, 401, 403 or 413 would."""
        assert method == "POST" and https, (method, https)
        assert url in self.browsers, url
        assert headers["Content-Encoding"] == "aes128gcm", headers
        assert 0 < int(headers["TTL"]) <= 28 * 86400
        assert headers["Urgency"] in ("very-low", "low", "normal", "high")
        assert 0 < len(headers["Topic"]) <= 32 and headers["Topic"].replace("-", "").replace("_", "").isalnum()
        assert len(body) <= 4096
        scheme, _, parameters = headers["Authorization"].partition(" ")
        given = dict(part.strip().split("=", 1) for part in parameters.split(","))
        assert scheme == "vapid" and sorted(given) == ["k", "t"], headers
        assert given["k"] == self._key
        public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw(given["k"]))
        parts = urlsplit(url)
        claims = jwt.decode(
            given["t"],
            public,
            algorithms=["ES256"],
            audience=f"{parts.scheme}://{parts.netloc}",
            options={"require": ["aud", "exp", "sub"], "verify_exp": False},
        )
        assert self._now() < claims["exp"] <= self._now() + 86400, claims
        assert claims["sub"].startswith(("mailto:", "https://"))
