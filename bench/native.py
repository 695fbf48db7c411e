"""Native clients at the lowest price: a connection over TCP, frames made by concatenation, and the calls of a login."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from bench.http import HTTPPool
from cim.wire.cim_pb2 import Hello, Packet, Received, Send
from cim.wire.framing import FrameReader, encode_frame, encode_varint

_SEND_TAG = encode_varint(Packet.SEND_FIELD_NUMBER << 3 | 2)
_USER_TAG = encode_varint(Send.USER_FIELD_NUMBER << 3)
_GROUP_TAG = encode_varint(Send.GROUP_FIELD_NUMBER << 3)
_CLIENT_ID_TAG = encode_varint(Send.CLIENT_ID_FIELD_NUMBER << 3 | 2)
_TEXT_TAG = encode_varint(Send.TEXT_FIELD_NUMBER << 3 | 2)

#: The beginning of the serialization of a packet with this body.
ACCEPTED = encode_varint(Packet.ACCEPTED_FIELD_NUMBER << 3 | 2)
DELIVER = encode_varint(Packet.DELIVER_FIELD_NUMBER << 3 | 2)

PING_FRAME = encode_frame(b"\xe2\x01\x00")
PONG_FRAME = encode_frame(b"\xea\x01\x00")


@frozen
class Address:
    """The receiver of a Send, serialized."""

    prefix: bytes

    @classmethod
    def user(cls, id: int) -> Address:
        """Address a user."""
        return cls(_USER_TAG + encode_varint(id))

    @classmethod
    def group(cls, id: int) -> Address:
        """Address a group."""
        return cls(_GROUP_TAG + encode_varint(id))


def send_frame(to: Address, client_id: bytes, text: bytes) -> bytes:
    """Return the frame of a Send.

    :param client_id: at most 64 bytes
    """
    body = b"%b%b%c%b%b%b%b" % (
        to.prefix,
        _CLIENT_ID_TAG,
        len(client_id),
        client_id,
        _TEXT_TAG,
        encode_varint(len(text)),
        text,
    )
    return encode_frame(_SEND_TAG + encode_varint(len(body)) + body)


def packet_frame(**body: Any) -> bytes:
    """Return the frame of any packet."""
    return encode_frame(Packet(**body).SerializeToString())


def hello_frame(ticket: str, device: str, since: str = "") -> bytes:
    """Return the first frame of a connection."""
    return packet_frame(hello=Hello(ticket=ticket, device=device, agent="bench", since=since))


def received_frame(conversation: str, position: str) -> bytes:
    """Return the frame of a receipt."""
    return packet_frame(received=Received(conversation=conversation, position=position))


@frozen
class Place:
    """The answer to a login.

    :ivar websocket: `host:port`; empty if the server has no WebSockets
    """

    user: int
    host: str
    port: int
    ticket: str = ""
    token: str = ""
    websocket: str = ""

    @classmethod
    def of(cls, answer: Any) -> Place:
        """Parse the JSON answer of `POST /v1/sessions`."""
        server = answer["server"]
        return cls(
            int(answer["user_id"]),
            server["host"],
            int(server["tcp_port"]),
            answer["ticket"],
            answer.get("token", ""),
            server.get("websocket") or "",
        )


async def call(pool: HTTPPool, method: bytes, path: str, fields: Any = None, token: str = "") -> Any:
    """Call the /v1 API and return the answer, or None for an empty one.

    :raises HTTPError: there was no answer, or the call failed
    """
    body = b"" if fields is None else json.dumps(fields).encode()
    answer = await pool.call(method, path.encode(), body, token)
    return json.loads(answer) if answer else None


async def make_account(pool: HTTPPool, name: str, password: str) -> int:
    """Create an account and return its id."""
    return int((await call(pool, b"POST", "/v1/accounts", {"name": name, "password": password}))["id"])


async def log_in(pool: HTTPPool, name: str, device: str, *, password: str = "", token: str = "") -> Place:
    """Log in with the password or a token."""
    fields = {"name": name, "device": device}
    if password:
        fields["password"] = password
    return Place.of(await call(pool, b"POST", "/v1/sessions", fields, token))


async def make_group(pool: HTTPPool, token: str, name: str, members: list[int]) -> int:
    """Create a group of the token's user and other members, and return its id."""
    made = await call(pool, b"POST", "/v1/groups", {"name": name}, token)
    group = int(made["id"])
    for member in members:
        added = await call(pool, b"PUT", f"/v1/groups/{group}/members/{member}", {}, token)
        if added["role"] == "invited":
            raise ValueError("the routes ask users before they are in a group: start them with --group-consent direct")
    return group


class NativeConnection(Protocol):
    """A native client's connection.

    :param hello: the frame that is written first
    :param frames: called with the bodies of all frames that came together
    :param lost: called once when the connection is gone
    """

    def __init__(
        self, hello: bytes, frames: Callable[[list[bytes]], object], lost: Callable[[], object] = lambda: None
    ) -> None:
        self.hello = hello
        self.frames = frames
        self._lost = lost
        self._reader = FrameReader()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(self.hello)

    def write(self, data: bytes) -> None:
        """Write frames."""
        assert self.transport is not None
        self.transport.write(data)

    def abort(self) -> None:
        """End it at once."""
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        frames = self._reader.feed(data)
        if frames:
            self.frames(frames)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost()
        self.closed.callback(None)


def connect(reactor: Any, place: Place, connection: NativeConnection, timeout: float = 10.0) -> Deferred[Any]:
    """Connect to the server that a login named."""
    return connectProtocol(TCP4ClientEndpoint(reactor, place.host, place.port, timeout=timeout), connection)
