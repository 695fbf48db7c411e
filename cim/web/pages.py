"""Pages for browsers, and the files of `web/` that they consist of (docs/http-api.md, The page).

The files are at `/web-<hash>/`, where the hash is one of all their contents: their addresses change with them, so that
browsers keep them for ever, and what they import of one another is never of another release.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from twisted.web.server import NOT_DONE_YET

from cim.daemon.metrics import Metrics
from cim.errors import BadRequest
from cim.web.hosts import is_for_loopback
from cim.web.request import JSON, PathResource, respond

#: Links to the folders of `web/` whose files are served; in a wheel, copies.
STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".png": b"image/png",
}
_HTML = b"text/html; charset=utf-8"
#: Where a page says that its files are; the hash is put in when it is served.
_PREFIX = b'"/web/'
_YEAR = b"public, max-age=31536000, immutable"
#: Addresses of WebSockets that a page may connect to, at most: proxies bound the headers of an answer.
_MOST_SOCKETS = 50
_SOCKET = re.compile(r"(?P<origin>wss?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?)(?:/.*)?")
_HEADERS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def content_policy(sockets: Iterable[str] = ()) -> bytes:
    """Return the Content-Security-Policy of a page: all of it comes from its own origin, and no page embeds it.

    :param sockets: the addresses of WebSockets elsewhere that it may connect to; what is none is left out
    """
    origins = dict.fromkeys(["'self'"])
    for address in sockets:
        match = _SOCKET.fullmatch(address)
        if match is not None and len(origins) <= _MOST_SOCKETS:
            origins[match["origin"]] = None
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; manifest-src 'self'; "
        f"connect-src {' '.join(origins)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


@frozen
class _File:
    body: bytes
    packed: bytes
    content_type: bytes


class WebFiles:
    """The files of some folders of `web/`, without those below them, read once.

    :param folders: their names
    :param top: where they are
    :ivar prefix: of the paths at which they are served
    """

    def __init__(self, folders: Iterable[str], top: Path = STATIC) -> None:
        self._top = top
        self._files: dict[bytes, _File] = {}
        digest = hashlib.sha256()
        for path in sorted(path for folder in folders for path in (top / folder).glob("*")):
            if path.suffix in _TYPES:
                name = path.relative_to(top)
                body = path.read_bytes()
                digest.update(f"{name} {len(body)}\n".encode() + body)
                self._files[str(name).encode()] = _File(body, gzip.compress(body, 9, mtime=0), _TYPES[path.suffix])
        self.prefix = b"/web-%b/" % digest.hexdigest()[:16].encode()

    def page(self, name: str) -> bytes:
        """Return a page whose files have the addresses at which they are served.

        :param name: of its file, such as `chat/index.html`
        """
        return (self._top / name).read_bytes().replace(_PREFIX, b'"' + self.prefix)

    def find(self, path: bytes) -> _File | None:
        """Return the file at a path, or None."""
        return self._files.get(path[len(self.prefix) :]) if path.startswith(self.prefix) else None


class Page:
    """A page, and what programs are answered in its place.

    :param html: its text
    :param about: what programs are answered, as JSON; None if they get the page, too
    :param sockets: returns the addresses of the WebSockets elsewhere that it may connect to at this moment
    """

    def __init__(
        self, html: bytes, about: Mapping[str, Any] | None = None, sockets: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self._html = html
        self._about = None if about is None else json.dumps(about, ensure_ascii=False).encode()
        self._sockets = sockets

    def render(self, request: Any) -> int:
        """Answer a GET, and return the status."""
        accepted = request.getHeader(b"accept") or b""
        if self._about is not None and b"text/html" not in accepted.lower():
            policy, body, content_type = b"", self._about, JSON
        else:
            policy, body, content_type = content_policy(self._sockets()), self._html, _HTML
            request.setHeader(b"Content-Security-Policy", policy)
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Vary", b"Accept")
        # With the policy: a browser may keep that of its copy when it is told that the page is the same.
        return _unless_known(request, hashlib.sha256(policy + b"\n" + body).hexdigest()[:16], body, content_type)


class WorkerScript:
    """The script of a page's service worker. Its address stays, so that browsers find what replaces it.

    :param body: its text, which imports nothing
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    def render(self, request: Any) -> int:
        """Answer a GET, and return the status."""
        request.setHeader(b"Content-Security-Policy", b"default-src 'none'; connect-src 'self'")
        request.setHeader(b"Cache-Control", b"no-cache")
        tag = hashlib.sha256(self._body).hexdigest()[:16]
        return _unless_known(request, tag, self._body, _TYPES[".js"])


class Front(PathResource):
    """Serves pages and their files, and all else by calls.

    :ivar calls: what serves all other paths, and refuses requests
    :param files: what the pages consist of
    :param pages: by their paths
    :param others: what answers at paths of its own, by them
    """

    def __init__(
        self,
        calls: PathResource,
        files: WebFiles,
        pages: Mapping[bytes, Page | WorkerScript],
        metrics: Metrics,
        others: Mapping[bytes, Callable[[Any], object]] | None = None,
    ) -> None:
        super().__init__()
        self.calls = calls
        self._files = files
        self._pages = pages
        self._metrics = metrics
        self._others = others or {}

    def render(self, request: Any) -> Any:
        """Answer a request."""
        path: bytes = request.path
        if path in self._others:
            return self._others[path](request)
        page = self._pages.get(path)
        file = self._files.find(path) if page is None else None
        if page is None and file is None:
            return self.calls.render(request)
        for name, value in _HEADERS:
            request.setHeader(name, value)
        if request.isSecure() or is_for_loopback(request):
            # Elsewhere browsers ignore it, and say so in their consoles.
            request.setHeader(b"Cross-Origin-Opener-Policy", b"same-origin")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD")
            self.refuse(request, path, BadRequest(405, "use GET"))
        else:
            status = page.render(request) if page is not None else self._send(request, file)
            self._metrics.http_request("GET", "page" if page is not None else "page file", status)
        return NOT_DONE_YET

    def _send(self, request: Any, file: Any) -> int:
        request.setHeader(b"Cache-Control", _YEAR)
        request.setHeader(b"Vary", b"Accept-Encoding")
        body = file.body
        if len(file.packed) < len(body) and b"gzip" in (request.getHeader(b"accept-encoding") or b""):
            request.setHeader(b"Content-Encoding", b"gzip")
            body = file.packed
        return _unless_known(request, self._files.prefix.decode().strip("/"), body, file.content_type)

    def refuse(self, request: Any, path: bytes, error: BadRequest) -> None:
        """See PathResource."""
        self.calls.refuse(request, path, error)


def _unless_known(request: Any, tag: str, body: bytes, content_type: bytes) -> int:
    """Answer a body, or 304 to a client that has it; return the status."""
    etag = b'"%b"' % tag.encode()
    request.setHeader(b"ETag", etag)
    known = (request.getHeader(b"if-none-match") or b"").replace(b"W/", b"").split(b",")
    status = 304 if any(one.strip() in (etag, b"*") for one in known) else 200
    respond(request, status, body if status == 200 else b"", content_type)
    return status
