"""Which web pages may call: the origins that an operator lists (`--origins`), and the CORS headers for browsers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address
from typing import Any, ClassVar

from twisted.python.usage import UsageError

from cim.daemon.config import DaemonOptions
from cim.plain import quoted

ANY = "*"
_MAX_AGE = b"600"
_REQUEST_HEADERS = b"Authorization, Content-Type, X-API-Key"
_EXPOSED = b"Retry-After"


def normal_origin(text: str) -> str:
    """Return an origin as browsers write it: `https://chat.example.com`, with the port unless it is the default one.

    `*` means any origin.

    :raises ValueError: the origin is malformed; the message continues the sentence "--origins ..."
    """
    origin = text.strip().rstrip("/").lower()
    scheme, found, host = origin.partition("://")
    if origin in (ANY, "null"):
        return origin
    if not (found and scheme.isalnum() and host and origin.isascii()) or any(mark in host for mark in "/?#@ "):
        raise ValueError(f"must be * or an origin such as https://chat.example.com, not {quoted(text)}")
    if ANY in host:
        raise ValueError(f"must name each origin, or be * alone for any: {quoted(text)} would match none")
    usual = {"http": ":80", "https": ":443"}.get(scheme)
    return origin.removesuffix(usual) if usual else origin


def is_of_host(origin: bytes, request: Any) -> bool:
    """Return whether an origin is that of the host and port that a request is for.

    By http or https: TLS may end before us. That is enough where nothing but what a page itself sends gives it rights.
    """
    hosts = request.requestHeaders.getRawHeaders(b"host") or ()
    try:
        (host,) = (host.decode("ascii") for host in hosts)
        return origin.lower().decode("ascii") in {normal_origin(f"{scheme}://{host}") for scheme in ("http", "https")}
    except ValueError:
        return False


class Origins:
    """The web origins whose pages may call, each in the form of `normal_origin`."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = ANY.encode() in self._origins

    def allows(self, origin: bytes) -> bool:
        """Return whether pages of an origin may call."""
        return self._any or origin.lower() in self._origins

    def allow(self, request: Any) -> None:
        """Set the headers that let the calling page read the answer, if its origin may call."""
        if not self._origins:
            return
        if self._any:
            request.setHeader(b"Access-Control-Allow-Origin", b"*")
        else:
            request.setHeader(b"Vary", b"Origin")
            origin = request.getHeader(b"origin")
            if origin is None or not self.allows(origin):
                return
            request.setHeader(b"Access-Control-Allow-Origin", origin)
        request.setHeader(b"Access-Control-Expose-Headers", _EXPOSED)

    def preflight(self, request: Any, methods: Iterable[bytes]) -> None:
        """Set the headers of an answer to OPTIONS that say what such a page may send."""
        origin = request.getHeader(b"origin")
        if origin is not None and self.allows(origin):
            request.setHeader(b"Access-Control-Allow-Methods", b", ".join(methods))
            request.setHeader(b"Access-Control-Allow-Headers", _REQUEST_HEADERS)
            request.setHeader(b"Access-Control-Max-Age", _MAX_AGE)


#: No origins: no page may call.
NO_ORIGINS = Origins(())


class OriginsOptions(DaemonOptions):
    """Adds `--origins`, and `--hosts` (see `cim.web.hosts`)."""

    repeated: ClassVar[Sequence[str]] = ("origins", "hosts")

    def opt_origins(self, text: str) -> None:
        """Allow pages of this web origin, such as https://chat.example.com, or * for all; may be repeated."""
        try:
            self.add("origins", normal_origin(text))
        except ValueError as error:
            raise UsageError(f"--origins {error}")

    def opt_hosts(self, text: str) -> None:
        """Also answer to this name on loopback, such as chat.example.com, or * for any; may be repeated."""
        name = text.strip()
        if not name or any(mark in name for mark in "/@?# ") or (":" in name and not _is_ipv6(name)):
            raise UsageError(f"--hosts must be a name or an address without a port, or *, not {quoted(text)}")
        self.add("hosts", name)


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False


def origins_of(options: Any) -> Origins:
    """Return the origins that a daemon's options allow."""
    return Origins(options.get("origins") or ())
