"""The routes of a system: their URLs, and which one to call next."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hyperlink import URL, URLParseError

from twisted.internet.interfaces import IReactorTime

from cim.errors import Insecure, InvalidField, Misdirected, Unavailable, Unreachable
from cim.plain import quoted

A = TypeVar("A")
T = TypeVar("T")

#: Hosts that stand in a URI as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
#: How long a failed route is tried last, in seconds.
REST_SECONDS = 5.0


def parse_route(text: str) -> str:
    """Return a route's base URL without a trailing slash; the default scheme is http.

    :raises InvalidField: it is not an http or https URL with a host
    """
    try:
        url = URL.from_text(text if "://" in text else f"http://{text}").replace(query=(), fragment="")
        if url.scheme in ("http", "https") and url.host and url.port and url.port < 65536:
            # hyperlink cannot encode IPv6 addresses and names with underscores, which need no encoding.
            plain = _PLAIN.fullmatch(url.host) is not None
            encoded = url.replace(host="host").to_uri().replace(host=url.host) if plain else url.to_uri()
            return encoded.to_text().rstrip("/")
    except (URLParseError, ValueError):
        pass
    raise InvalidField("route", f"{quoted(text, 200)} is not a URL such as http://127.0.0.1:8083")


def is_loopback(host: str) -> bool:
    """Return whether `host` always means the local machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def check_place(route: str, host: str) -> None:
    """Check that a server's host, as named by a route, is plausible.

    :raises Misdirected: a route on another machine names a server on a loopback address
    """
    if is_loopback(host) and not is_loopback(URL.from_text(route).host):
        raise Misdirected(
            f"the route {route} sends clients to a server at {host}, which this machine cannot reach:"
            " start that server with --advertise and its address on the network"
        )


class Busy(Unavailable):
    """Raised when a route answers that something it needs is away.

    :ivar retry_after: seconds after which to retry; 0 if the route did not say
    """

    def __init__(self, message: str | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Routes:
    """Makes each call at the next route in turn, so that calls are spread over all routes.

    A route that cannot be connected is skipped. So is, for calls that may be done twice, a route that loses the
    connection, gives no answer in time, or is busy. A route that does not answer is tried last for a while. Calls that
    each wait for the previous answer are handled in order, over however many routes; only after a call of unknown fate
    may a later one be handled first.

    :param urls: base URLs, at least one
    :ivar unknown: how many calls there were of which nobody knows whether they were done
    """

    def __init__(self, clock: IReactorTime, urls: Sequence[str]) -> None:
        self._clock = clock
        self._urls = [parse_route(url) for url in urls]
        self._resting = dict.fromkeys(self._urls, 0.0)
        self._next = 0
        self.unknown = 0

    def check_privacy(self) -> None:
        """Check that nobody on the way can read what is sent to the routes.

        :raises Insecure: names a route on another machine that has no TLS
        """
        for route in self._urls:
            url = URL.from_text(route)
            if url.scheme == "http" and not is_loopback(url.host):
                raise Insecure(
                    f"{route} has no TLS: anybody on the way could read the password and your messages. Use an"
                    " https route, or allow this (--insecure, or Trust(insecure=True) in programs)"
                )

    async def call(self, once: Callable[[str], Awaitable[A]], read: Callable[[A], T], *, repeat: bool) -> tuple[str, T]:
        """Return the route that answered, and its answer as parsed by `read`.

        :param once: makes the call at a route, given its URL
        :param repeat: whether the call may be done twice
        :raises Unreachable: it was certainly not done
        :raises Unavailable: it may or may not have been done, or some other program answered
        """
        failed: Unavailable = Unreachable()
        for route in self._in_turn():
            try:
                answer = await once(route)
                break
            except Unavailable as error:
                if not isinstance(error, Busy):
                    self._resting[route] = self._clock.seconds() + REST_SECONDS
                self.unknown += not isinstance(error, Unreachable)
                if not repeat and not isinstance(error, Unreachable):
                    raise
                if isinstance(failed, Unreachable):
                    failed = error
        else:
            raise failed
        try:
            return route, read(answer)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidField) as error:
            raise Unavailable(f"the route {route} gave an answer that this version does not understand") from error

    def _in_turn(self) -> list[str]:
        """Return all routes in the order in which to try them now."""
        start, self._next = self._next, (self._next + 1) % len(self._urls)
        now = self._clock.seconds()
        return sorted(self._urls[start:] + self._urls[:start], key=lambda url: self._resting[url] > now)
