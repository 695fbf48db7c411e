"""The names that an HTTP listener answers to: a request with another Host may come from a hostile web page.

A listener that requires no proof of its callers is protected only by its address. A web page gets around that if the
DNS resolves the page's own name to that address (DNS rebinding): the browser then believes that the page calls its own
site. But its requests carry the page's name as Host (docs/security.md, Web pages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.logger import Logger

from cim.daemon.endpoints import is_loopback_host
from cim.nodes import host_and_ports
from cim.plain import quoted
from cim.web.operations import is_loopback
from cim.web.origins import ANY

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::[0-9]*)?")
#: How many values of Host are cached with their verdict.
_REMEMBERED = 256


class Hosts:
    """The names that a listener answers to, with any port: those of loopback, and others.

    :param names: the other names and addresses; `*` allows any
    """

    _log = Logger()

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(_plain(name) for name in names)
        self._fits = lru_cache(_REMEMBERED)(self._look_at)
        self._told = False

    def objection(self, request: Any) -> str:
        """Return why a request is not for this listener and what to do about it; "" if it is for this listener.

        A request without Host, such as a probe's, is not a browser's unless it has Origin or Cookie.
        """
        if ANY in self._names:
            return ""
        given: list[bytes] | None = request.requestHeaders.getRawHeaders(b"host")
        if not given:
            if request.getHeader(b"origin") is None and request.getHeader(b"cookie") is None:
                return ""
            return "invalid argument: a request with Origin or Cookie must have a Host"
        for host in given:
            if not self._fits(host):
                return self._refused(host.decode("latin-1"))
        return ""

    def _look_at(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            return False
        name = _plain(match["name"])
        return name in self._names or _is_loopback(name)

    def _refused(self, host: str) -> str:
        shown = quoted(host)
        if not self._told:
            self._told = True
            self._log.warn(
                "Refused a request for {host}, which is not a name of this daemon. If it should be, add it with "
                "--hosts. Further ones are only counted",
                host=shown,
            )
        return f"invalid argument: {shown} is not a name of this daemon; if it should be, start it with --hosts"


def _plain(name: str) -> str:
    """Return a name or an address in its normal form."""
    name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def is_for_loopback(request: Any) -> bool:
    """Return whether a request names this machine alone as its Host, which browsers trust without TLS."""
    match = _HOST.fullmatch((request.getHeader(b"host") or b"").decode("latin-1"))
    return match is not None and _is_loopback(_plain(match["name"]))


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        # Browsers do not look up names below localhost in the DNS (RFC 6761, section 6.3).
        return name == "localhost" or name.endswith(".localhost")


def hosts_of(options: Any) -> Hosts | None:
    """Return the names that a daemon's HTTP listener answers to; None if it answers to any.

    It is particular only if nobody but this machine is meant to reach it: the listener or --advertise is loopback.

    :param options: with `http`, `advertise`, `hosts` and `origins`, perhaps `advertise-websocket`
    """
    advertised, _ = host_and_ports(options["advertise"])
    if not is_loopback(options["http"]) and not is_loopback_host(advertised):
        return None
    urls = [*(options.get("origins") or ()), options.get("advertise-websocket") or ""]
    names = [urlsplit(url).hostname or "" for url in urls if url != ANY]
    return Hosts(filter(None, (advertised, *names, *(options.get("hosts") or ()))))
