"""Cookies that prove a login, and the requests in which they count: those of the pages of the very same origin.

A browser sends a cookie with whatever request goes to the host, whichever page made it, and to all ports of the host.
So a cookie has a name of its listener's own, and counts only if the browser says that the page is ours
(docs/security.md, Cookies).
"""

from __future__ import annotations

from typing import Any

from cim.web.origins import normal_origin

#: The largest header with cookies that is looked at, bytes.
_MOST = 8192


def same_origin(request: Any) -> bool:
    """Return whether a page of the listener's own origin made a request, as far as the browser says.

    That is `Sec-Fetch-Site: same-origin`, or without that header an Origin of the same scheme, host and port.
    """
    site = request.requestHeaders.getRawHeaders(b"sec-fetch-site")
    if site is not None:
        return bool(site == [b"same-origin"])
    origin: list[bytes] = request.requestHeaders.getRawHeaders(b"origin") or []
    host: list[bytes] = request.requestHeaders.getRawHeaders(b"host") or []
    if len(origin) != 1 or len(host) != 1:
        return False
    try:
        ours = normal_origin(f"{'https' if request.isSecure() else 'http'}://{host[0].decode('ascii')}")
        return origin[0].decode("ascii").lower() == ours
    except ValueError:
        return False


def cookie_name(request: Any, base: str) -> str:
    """Return the name of a cookie at the listener that a request came to, as the browser calls it.

    Over TLS it begins with `__Host-`, so that no other host and no page without TLS can set it; otherwise it ends with
    the port, because cookies of all ports of a host are in one jar.
    """
    if request.isSecure():
        return f"__Host-{base}"
    host = (request.getHeader(b"host") or b"").decode("latin-1")
    _, found, port = host.rpartition(":")
    return f"{base}-{port}" if found and port.isascii() and port.isdigit() else base


def cookie_of(request: Any, name: str) -> str:
    """Return the value of a cookie of a request; empty if there is none, or several: nobody knows which counts."""
    headers = request.requestHeaders.getRawHeaders(b"cookie") or ()
    if sum(map(len, headers)) > _MOST:
        return ""
    pairs = (pair.strip().partition(b"=") for header in headers for pair in header.split(b";"))
    values = [value for key, _, value in pairs if key == name.encode()]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def set_cookie(name: str, value: str, seconds: int) -> str:
    """Return the Set-Cookie header that keeps a value from scripts and from other sites.

    :param seconds: how long the browser keeps it; 0 removes it
    """
    secure = "; Secure" if name.startswith("__Host-") else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
