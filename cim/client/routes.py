"""The routes of a system: their URLs, and which one is asked next."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hyperlink import URL, URLParseError

from twisted.internet.interfaces import IReactorTime

from cim.errors import InvalidField, Misdirected, Unavailable, Unreachable

A = TypeVar("A")
T = TypeVar("T")

#: How long a route that failed is asked last, seconds.
REST_SECONDS = 5.0


def parse_route(text: str) -> str:
    """Return a route's base URL without a slash at its end; a missing scheme is http.

    :raises InvalidField: when it is no http or https URL with a host
    """
    try:
        url = URL.from_text(text if "://" in text else f"http://{text}").replace(query=(), fragment="")
        if url.scheme in ("http", "https") and url.host and url.port and url.port < 65536:
            # hyperlink cannot encode IPv6 addresses, which are ASCII anyway.
            return (url if url.host.isascii() and ":" in url.host else url.to_uri()).to_text().rstrip("/")
    except (URLParseError, ValueError):
        pass
    raise InvalidField("route", f"{text[:200]!r} is not a URL such as http://127.0.0.1:8083")


def is_loopback(host: str) -> bool:
    """Return whether `host` can only mean the machine that reads it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def check_place(route: str, host: str) -> None:
    """Check that a server's host, as a route names it, can be right.

    :raises Misdirected: a route elsewhere names a server on this machine
    """
    if is_loopback(host) and not is_loopback(URL.from_text(route).host):
        raise Misdirected(
            f"the route {route} sends clients to a server at {host}, which this machine cannot reach:"
            " start that server with --advertise and its address on the network"
        )


class Busy(Unavailable):
    """A route answered that something it needs is away.

    :ivar retry_after: seconds after which it wants to be asked again; 0 when it did not say
    """

    def __init__(self, message: str | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Routes:
    """Makes each call at the next route in turn, so that calls are spread over all of them.

    A route to which no connection can be made is passed over, and so is, for calls that may be done twice, one that
    lost the connection, gave no answer in time, or is busy. One that did not answer is asked last for a while. Whoever
    waits for each answer before the next call has his calls handled in that order, over however many routes; only
    behind one of unknown fate may a later one be handled first.

    :param urls: base URLs, at least one
    """

    def __init__(self, clock: IReactorTime, urls: Sequence[str]) -> None:
        self._clock = clock
        self._urls = [parse_route(url) for url in urls]
        self._resting = dict.fromkeys(self._urls, 0.0)
        self._next = 0

    async def call(self, once: Callable[[str], Awaitable[A]], read: Callable[[A], T], *, repeat: bool) -> tuple[str, T]:
        """Return the route that answered, and what `read` makes of its answer.

        :param once: makes the call at the route with that URL
        :param repeat: whether the call may be done twice
        :raises Unreachable: it was certainly not done
        :raises Unavailable: it is unknown whether it was, or some other program answered
        """
        failed: Unavailable = Unreachable()
        for route in self._in_turn():
            try:
                answer = await once(route)
                break
            except Unavailable as error:
                if not isinstance(error, Busy):
                    self._resting[route] = self._clock.seconds() + REST_SECONDS
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
        """Return all in the order in which they are to be asked now."""
        start, self._next = self._next, (self._next + 1) % len(self._urls)
        now = self._clock.seconds()
        return sorted(self._urls[start:] + self._urls[:start], key=lambda url: self._resting[url] > now)
