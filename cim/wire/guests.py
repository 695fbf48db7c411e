"""The two generations of upstream's protocol, W1 and W2, whose clients are our guests (docs/upstream.md).

The first frame that a client sends is its login, and shows which generation it speaks: W1 has field 3 = 1, W2 has no
field 3, ours has field 16. Frames for guests are assembled by hand from parts that are the same for every recipient and
the few bytes that differ, because one message may go to thousands of guests.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from attrs import frozen
from google.protobuf.message import DecodeError, EncodeError

from cim.errors import BadFrame, BadLogin, FrameTooLarge
from cim.wire import v1_pb2
from cim.wire.cim_pb2 import LOGIN_REQUEST, MESSAGE, OFFLINE, PING, Packet
from cim.wire.framing import encode_frame, encode_varint

#: The header of an answer of /login that says whom to verify on the TCP port; without it, that is no TLS port.
TLS_NAME = "CIM-TLS-Name"

W1_LOGIN, W1_MESSAGE, W1_PING = 1, 2, 3


class Generation(enum.Enum):
    """The protocol generation that a client speaks."""

    W1 = "w1"
    W2 = "w2"


@frozen
class Login:
    """A guest's first frame, in which it says who it is."""

    generation: Generation
    user: int
    name: str


def parse_packet(body: bytes) -> Packet:
    """Parse a frame of any generation; W1's fields have the same numbers and types.

    :raises BadFrame: it is not such a message
    """
    try:
        return Packet.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BadFrame("a frame is not a protobuf message of this protocol")


def parse_login(body: bytes) -> Login:
    """Parse the first frame of a connection.

    :raises BadFrame: when it cannot be decoded
    :raises BadLogin: it is not a login
    """
    packet = parse_packet(body)
    if packet.WhichOneof("body") is not None:
        raise BadLogin("the native generation is not served here")
    if packet.command == LOGIN_REQUEST:
        generation = Generation.W2
    elif packet.command == W1_LOGIN:
        generation = Generation.W1
    else:
        raise BadLogin("the first frame is not a login")
    if packet.user_id <= 0 or not packet.text:
        raise BadLogin("a login without user id or name")
    return Login(generation, packet.user_id, packet.text)


def encode_login(generation: Generation, user: int, name: str) -> bytes:
    """Return the login frame of a client of that generation."""
    if generation is Generation.W1:
        return encode_frame(v1_pb2.Frame(text=name, user_id=user, type=W1_LOGIN).SerializeToString())
    return encode_frame(Packet(text=name, user_id=user, command=LOGIN_REQUEST).SerializeToString())


def encode_ping(generation: Generation, user: int) -> bytes:
    """Return the frame that a client sends when it has been silent."""
    if generation is Generation.W1:
        return encode_frame(v1_pb2.Frame(text="ping", user_id=user, type=W1_PING).SerializeToString())
    return encode_frame(Packet(text="ping", user_id=user, command=PING).SerializeToString())


PONGS: Mapping[Generation, bytes] = {
    Generation.W1: encode_frame(v1_pb2.Frame(text="pong", user_id=0, type=W1_PING).SerializeToString()),
    Generation.W2: encode_frame(Packet(text="pong", command=PING).SerializeToString()),
}
LOGIN_COMMANDS: Mapping[Generation, int] = {Generation.W1: W1_LOGIN, Generation.W2: LOGIN_REQUEST}
PING_COMMANDS: Mapping[Generation, int] = {Generation.W1: W1_PING, Generation.W2: PING}


def _text_field(number: int, text: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(text)) + text


def _property(key: str, value: str) -> bytes:
    entry = _text_field(1, key.encode()) + _text_field(2, value.encode())
    return _text_field(4, entry)


class GuestMessage:
    """One message, ready to be framed for any number of guests of either generation.

    Lone surrogates never get here: JSON bodies with them are refused on arrival.

    :param sender: the sender's user id
    :param texts: one text, or several if `batch`
    :param batch: W2 gets all texts in one frame (field 5); W1, which has no such field, one frame for each
    :param offline: W2 gets the OFFLINE command
    :param properties: what /sendMsg was given in place of the usual three; receiveUserId is added if it is missing
    :param max_frame: the largest body that clients accept, bytes; a larger batch is split
    :raises FrameTooLarge: one text alone is over `max_frame`
    """

    __slots__ = ("_first", "_heads", "_middle", "_tails")

    def __init__(
        self,
        sender: int,
        sender_name: str,
        texts: Sequence[str],
        *,
        batch: bool = False,
        offline: bool = False,
        properties: Mapping[str, str] | None = None,
        max_frame: int = 65536,
    ) -> None:
        try:
            encoded = [text.encode() for text in texts]
            if properties:
                sender_name = properties.get("sendUserName", "nobody")
                given = b"".join(_property(key, value) for key, value in properties.items() if key != "receiveUserId")
            else:
                given = _property("sendUserId", str(sender)) + _property("sendUserName", sender_name)
        except UnicodeEncodeError:
            raise BadFrame("a text with lone surrogates cannot be sent")
        overhead = len(given) + 2 * len(sender_name) + 80
        for text in encoded:
            if len(text) + overhead > max_frame:
                raise FrameTooLarge(f"a text of {len(text)} bytes does not fit into a frame of {max_frame}")
        command = OFFLINE if offline else MESSAGE
        self._middle = b"\x18" + encode_varint(command) + given
        # W2: a head before the user id, a tail after the properties; a single text is field 1, a batch field 5.
        self._heads: list[bytes] = []
        self._tails: list[bytes] = []
        if batch:
            room = max_frame - overhead
            run: list[bytes] = []
            size = 0
            for text in encoded:
                entry = _text_field(5, text)
                if run and (size + len(entry) > room or len(run) == 100):
                    self._heads.append(b"")
                    self._tails.append(b"".join(run))
                    run, size = [], 0
                run.append(entry)
                size += len(entry)
            self._heads.append(b"")
            self._tails.append(b"".join(run))
        else:
            for text in encoded:
                self._heads.append(_text_field(1, text) if text else b"")
                self._tails.append(b"")
        prefix = sender_name.encode() + b":"
        self._first = [_text_field(1, prefix + text) for text in encoded]

    def frames(self, recipient: Recipient) -> bytes:
        """Return the bytes to write to that recipient: one frame or several."""
        if recipient.generation is Generation.W1:
            frames = []
            for head in self._first:
                body = head + recipient.id_field + b"\x18\x02"
                frames.append(encode_varint(len(body)) + body)
            return b"".join(frames)
        common = recipient.id_field + self._middle + recipient.receiver_property
        if len(self._heads) == 1:
            body = self._heads[0] + common + self._tails[0]
            return encode_varint(len(body)) + body
        return b"".join(
            encode_varint(len(head) + len(common) + len(tail)) + head + common + tail
            for head, tail in zip(self._heads, self._tails, strict=True)
        )


class Recipient:
    """What is specific to one guest's frames: its generation and its id, encoded once per session."""

    __slots__ = ("generation", "id_field", "receiver_property")

    def __init__(self, generation: Generation, user: int) -> None:
        self.generation = generation
        self.id_field = b"\x10" + encode_varint(user)
        self.receiver_property = _property("receiveUserId", str(user)) if generation is Generation.W2 else b""


def parse_pushed(generation: Generation, body: bytes) -> Packet:
    """Parse a frame that a server pushed, as a client does.

    :raises BadFrame: when it cannot be decoded
    """
    if generation is Generation.W2:
        return parse_packet(body)
    try:
        frame = v1_pb2.Frame.FromString(body)
        return Packet(text=frame.text, user_id=frame.user_id, command=PING if frame.type == W1_PING else MESSAGE)
    except (DecodeError, EncodeError, UnicodeDecodeError):
        raise BadFrame("a frame is not a protobuf message of this protocol")
