"""Reads requests that came whole and are written as programs write them, at a fraction of what Twisted's parser costs.

That goes from line to line, since a request may come in pieces and may be anything. Whatever is not plain is left to
it, and so is every refusal: what is read here has one meaning only, the one that Twisted would have found.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from twisted.web.http_headers import Headers

#: The longest head that is read here, bytes, and the most headers in it.
_LONGEST, _MOST = 8192, 64
#: How many header lines are cached with what they say, and how long one may be: most clients send the same ones each
#: time. Longer ones have secrets in them.
_REMEMBERED, _LINE = 1024, 128
_END = b"\r\n\r\n"
_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ([!-~]+) (HTTP/1\.1)")
_HEADER = re.compile(rb"([A-Za-z0-9-]+):([\t -~]*)")
#: What may change how a request is read, or who reads on, is Twisted's business.
_OTHERS = frozenset((b"Transfer-Encoding", b"Expect", b"Upgrade"))


class Whole(NamedTuple):
    """A request that came whole.

    :ivar headers: by their names in Twisted's spelling, each with its values
    :ivar length: of its body, which is behind `start` and ends with what came
    """

    method: bytes
    target: bytes
    version: bytes
    headers: dict[bytes, list[bytes]]
    length: int
    start: int


def read_whole(data: bytes) -> Whole | None:
    """Return the plain request that consists of these bytes exactly; None if Twisted should look at them."""
    end = data.find(_END)
    if not 0 < end <= _LONGEST:
        return None
    first, *lines = data[:end].split(b"\r\n")
    asked = _asked(first) if len(first) <= _LINE else _read_first(first)
    if asked is None or len(lines) > _MOST:
        return None
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        said = _said(line) if len(line) <= _LINE else _read_line(line)
        if said is None:
            return None
        name, value = said
        if name in headers:
            headers[name].append(value)
        else:
            headers[name] = [value]
    start, length = end + len(_END), 0
    if b"Content-Length" in headers:
        (given, *further) = headers[b"Content-Length"]
        if further or not (given.isdigit() and len(given) < 10):
            return None
        length = int(given)
    if len(data) != start + length:
        return None
    return Whole(*asked, headers, length, start)


def _read_first(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return the method, the target and the version of a request's first line; None if it is not plain."""
    plain = _REQUEST.fullmatch(line)
    return (plain[1], plain[2], plain[3]) if plain is not None else None


def _read_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Return what a header line says, with its name as Twisted spells it; None if Twisted should look at it."""
    plain = _HEADER.fullmatch(line)
    if plain is None:
        return None
    headers = Headers()
    headers.addRawHeader(plain[1], plain[2].strip(b" \t"))
    [(name, [value])] = headers.getAllRawHeaders()
    return (name, value) if name not in _OTHERS else None


_asked = lru_cache(_REMEMBERED)(_read_first)
_said = lru_cache(_REMEMBERED)(_read_line)
