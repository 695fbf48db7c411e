"""The HTTP request that opens a WebSocket (RFC 6455 section 4.2), and the answers to one that does not.

On a port of WebSockets h11, which wsproto uses too, reads the request. wsproto's own handshake is not used: it answers
400 whatever is wrong, and checks neither the path nor the origin.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

import h11
from attrs import evolve, frozen
from wsproto.utilities import generate_accept_token

from cim.web.origins import Origins
from cim.wire.websocket_frames import PATH, SUBPROTOCOLS

#: The most bytes of the request line and all headers.
MAX_REQUEST = 16 * 1024


@frozen
class Accepted:
    """The request was accepted: the connection is a WebSocket from now on.

    :param answer: what to write
    :param rest: the bytes that followed the request
    """

    answer: bytes
    subprotocol: str
    rest: bytes = b""


class Refused(Exception):
    """The request does not open a WebSocket here.

    :ivar status: of the answer, whose body is `reason`
    :ivar headers: that it has
    :ivar kind: the short name under which it is counted; empty if it was
    """

    def __init__(self, status: HTTPStatus, reason: str, *headers: tuple[str, str], kind: str = "no-websocket") -> None:
        super().__init__(reason)
        self.kind = kind
        self.status = status
        self.reason = reason
        self.headers = headers

    @property
    def answer(self) -> bytes:
        """What to write before the connection is closed."""
        body = f"{self.reason}\n".encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@frozen
class Asked:
    """A request, whoever has read it.

    :param headers: their values by their names in lower case
    """

    method: bytes
    target: bytes
    version: bytes
    headers: Mapping[bytes, Sequence[bytes]]


class Upgrade:
    """Reads one request; holds at most `MAX_REQUEST` bytes and the piece that arrived last.

    :param origins: the web origins whose pages may connect; a request without Origin is not a browser's and may, too
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)

    def feed(self, data: bytes) -> Accepted | None:
        """Take bytes; return the acceptance once the request is complete, else None.

        :raises Refused: the request is refused, with the answer to write
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            # h11's own message may quote the client's bytes.
            raise Refused(HTTPStatus(error.error_status_hint), "this is not a readable HTTP request")
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise Refused(HTTPStatus.BAD_REQUEST, "this is not a readable HTTP request")
        headers: dict[bytes, list[bytes]] = {}
        for name, value in event.headers:
            headers.setdefault(bytes(name), []).append(bytes(value))
        asked = Asked(bytes(event.method), bytes(event.target), bytes(event.http_version), headers)
        return evolve(accept(asked, self._origins.allows), rest=self._http.trailing_data[0])


def accept(asked: Asked, allows: Callable[[bytes], bool]) -> Accepted:
    """Return the acceptance of a request.

    :param allows: returns whether pages of an origin may connect
    :raises Refused: the request is refused
    """
    headers = asked.headers
    if asked.target.partition(b"?")[0] != PATH:
        raise Refused(HTTPStatus.NOT_FOUND, f"WebSockets are at {PATH.decode()}")
    if asked.method != b"GET":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket must begin with GET", ("Allow", "GET"))
    if b"content-length" in headers or b"transfer-encoding" in headers:
        raise Refused(HTTPStatus.BAD_REQUEST, "a WebSocket request must not have a body")
    if "websocket" not in _tokens(headers, b"upgrade") or "upgrade" not in _tokens(headers, b"connection"):
        raise Refused(
            HTTPStatus.UPGRADE_REQUIRED, "only WebSockets are served here",
            ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        )  # fmt: skip
    if headers.get(b"sec-websocket-version") != [b"13"]:
        raise Refused(HTTPStatus.UPGRADE_REQUIRED, "the version must be 13", ("Sec-WebSocket-Version", "13"))
    if asked.version != b"1.1":
        raise Refused(HTTPStatus.BAD_REQUEST, "a WebSocket must begin with HTTP/1.1")
    origins = headers.get(b"origin")
    if origins is not None and not all(map(allows, origins)):
        raise Refused(HTTPStatus.FORBIDDEN, "this page's origin is not listed in --origins", kind="foreign-origin")
    key = headers.get(b"sec-websocket-key", [b""])
    if len(key) != 1 or not _is_nonce(key[0]):
        raise Refused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64")
    subprotocol = _first_known(_tokens(headers, b"sec-websocket-protocol", lower=False))
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n"
        % (generate_accept_token(key[0]), subprotocol.encode())
    )
    return Accepted(answer, subprotocol)


def _tokens(headers: Mapping[bytes, Sequence[bytes]], name: bytes, *, lower: bool = True) -> list[str]:
    text = ",".join(value.decode("latin-1") for value in headers.get(name, ()))
    return [token.strip() for token in (text.lower() if lower else text).split(",")]


def _is_nonce(key: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False


def _first_known(asked: Iterable[str]) -> str:
    for name in asked:
        if name in SUBPROTOCOLS:
            return name
    raise Refused(HTTPStatus.BAD_REQUEST, f"Sec-WebSocket-Protocol must name {' or '.join(SUBPROTOCOLS)}")
