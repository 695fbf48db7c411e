"""Packets of the native generation, and the stored form of a message (docs/protocol.md).

A stored message is its *body*: a serialized `Deliver` without conversation, position and previous, which only the store
knows. Whoever reads or pushes it puts them behind the body, byte by byte, and never serializes the body again; protobuf
does not mind the order of fields.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from cim.errors import BadFrame, CIMError, InvalidField, TooLarge
from cim.model import ID_LIMIT, check_id
from cim.wire import conversations, packed, positions
from cim.wire.cim_pb2 import (
    EDIT,
    RECALL,
    TEXT,
    Deliver,
    Failure,
    Goodbye,
    Head,
    Kind,
    News,
    Packet,
    Ping,
    Pong,
    Send,
    Synced,
    Typing,
)
from cim.wire.error_table import row_of
from cim.wire.framing import encode_varint

MAX_CLIENT_ID = 64
#: Bytes of text and data together; leaves room in a frame of 64 KiB for all else that a Deliver has.
MAX_CONTENT = 48 * 1024
MAX_CONTENT_TYPE = 128
#: Bytes of a reaction's text: room for the longest emoji sequences.
MAX_REACTION = 64

_KINDS = frozenset(Kind.values())
_DELIVER_TAG = encode_varint(Packet.DELIVER_FIELD_NUMBER << 3 | 2)
_FIRST_NATIVE_TAG = 0x80

#: What a route answers to a Send whose predecessor is not stored. Its server deals with it: no client is told.
OUT_OF_ORDER = "out-of-order"


def packet(**body: Any) -> bytes:
    """Return the bytes of a packet with one body, given by the name of its field."""
    return Packet(**body).SerializeToString()


PING = packet(ping=Ping())
PONG = packet(pong=Pong())
#: Pushed by a route: guests' sessions write what they have missed, others have nothing to do.
FETCH = packet(news=News())


def parse_client_packet(body: bytes) -> Packet:
    """Read a packet that a native client sent.

    :raises BadFrame: when it cannot be decoded, has no body that is known, or has a guest's fields
    """
    # Serializers write fields by number: a guest's frame is known by its first byte, before its properties cost time.
    if not body or body[0] < _FIRST_NATIVE_TAG:
        raise BadFrame("a packet of the native generation has one of the fields 16 and up, and none below")
    try:
        parsed = Packet.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BadFrame("a frame is not a protobuf message of this protocol")
    check_client_packet(parsed)
    return parsed


def check_client_packet(parsed: Packet) -> None:
    """Check that a packet is of the native generation, whatever form it came in.

    :raises BadFrame: says what is wrong
    """
    if parsed.text or parsed.user_id or parsed.command or parsed.properties or parsed.batch:
        raise BadFrame("a packet of the native generation has one of the fields 16 and up, and none below")
    if parsed.WhichOneof("body") is None:
        raise BadFrame("a packet has no body that is known here")


def conversation_of(parsed: Packet, user: int) -> str:
    """Return the name of the conversation that a client's packet is about, or "" when it is about none.

    :param user: who sent it
    :raises InvalidField: a name, receiver or group that cannot be
    """
    kind = parsed.WhichOneof("body")
    if kind == "send":
        return addressed(parsed.send, parsed.send.WhichOneof("to"), user)
    if kind == "typing":
        return addressed(parsed.typing, parsed.typing.WhichOneof("in"), user)
    if kind in ("received", "read", "sync"):
        name: str = getattr(parsed, kind).conversation
        if name or kind != "sync":
            conversations.parse(name)
        return name
    return ""


def addressed(message: Send | Typing, to: str | None, user: int) -> str:
    """Return the name of the conversation that a message is addressed to.

    :param to: which of its fields says so
    :param user: who sent it
    :raises InvalidField: a receiver or group that cannot be
    """
    if to == "user":
        return conversations.private(user, message.user)
    if to == "group":
        return conversations.group(message.group)
    raise InvalidField("to", "must name a user or a group")


def check_client_id(client_id: str) -> None:
    """Check what a sender calls a message.

    :raises InvalidField: it is empty or too long
    """
    if not 0 < len(client_id.encode()) <= MAX_CLIENT_ID:
        raise InvalidField("client_id", f"must have 1 to {MAX_CLIENT_ID} bytes")


def check_send(send: Send, max_content: int = MAX_CONTENT) -> None:
    """Check everything about a Send that needs no store.

    A text may hold any character, NUL too. TEXT and EDIT have a text or data, so that an empty TEXT is a recalled one;
    a REACTION has a short text, and an empty one takes the sender's reaction back; a RECALL has nothing but its `ref`.

    :param max_content: bytes of text and data together
    :raises InvalidField: names the field
    :raises TooLarge: text and data are over `max_content`
    """
    to = send.WhichOneof("to")
    if to is None:
        raise InvalidField("to", "must name a user or a group")
    receiver = send.user if to == "user" else send.group
    if (to == "user" or receiver) and not 0 < receiver < ID_LIMIT:
        check_id(receiver, to)
    check_client_id(send.client_id)
    size = len(send.text.encode()) + len(send.data)
    if size > max_content:
        raise TooLarge(f"text and data have {size} bytes together, more than {max_content}")
    content_type = send.content_type
    if content_type and not (
        len(content_type) <= MAX_CONTENT_TYPE and content_type.isascii() and content_type.isprintable()
    ):
        raise InvalidField("content_type", f"must have at most {MAX_CONTENT_TYPE} printable ASCII characters")
    kind = send.kind
    if kind not in _KINDS:
        raise InvalidField("kind", "must be TEXT, RECALL, EDIT or REACTION")
    if kind == TEXT:
        if send.ref:
            raise InvalidField("ref", "must be empty for a TEXT")
    elif positions.parse(send.ref, "ref") == positions.ZERO:
        raise InvalidField("ref", f"must be the position of a message for {Kind.Name(kind)}")
    if kind in (TEXT, EDIT):
        if not size:
            raise InvalidField("text", "must not be empty when there is no data")
    elif kind == RECALL:
        if size or send.content_type:
            raise InvalidField("text", "and data and content_type must be empty for a RECALL")
    elif size > MAX_REACTION or send.data or send.content_type:
        raise InvalidField("text", f"must have at most {MAX_REACTION} bytes, and no data beside it, for a REACTION")


def digest(send: Send) -> bytes:
    """Return 16 bytes that are the same for two Sends exactly when they say the same."""
    text, content_type, ref = send.text.encode(), send.content_type.encode(), send.ref.encode()
    lengths = struct.pack("<4Ii", len(text), len(send.data), len(content_type), len(ref), send.kind)
    return hashlib.blake2b(b"".join((lengths, text, send.data, content_type, ref)), digest_size=16).digest()


def body_of(send: Send, sender: int, sender_name: str, sent_at: int) -> bytes:
    """Return what is stored of a Send that was checked.

    :param sender: the user of the session that sent it
    :param sent_at: ms since 1970
    """
    if send.kind == TEXT and not send.data and not send.content_type:
        return packed.text_body(sender, sender_name, sent_at, send.client_id, send.text, send.group)
    return Deliver(
        sender=sender,
        sender_name=sender_name,
        sent_at=sent_at,
        client_id=send.client_id,
        text=send.text,
        data=send.data,
        content_type=send.content_type,
        kind=send.kind,
        ref=send.ref,
        group=send.group,
    ).SerializeToString()


def parse_body(body: bytes) -> Deliver:
    """Read a stored body.

    :raises BadFrame: when it is none
    """
    try:
        return Deliver.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BadFrame("a stored message cannot be decoded")


def blank(body: bytes) -> bytes:
    """Return the body of a message that was recalled: nothing of what it said, everything else as it was.

    :raises BadFrame: when it is no body
    """
    deliver = parse_body(body)
    for field in ("text", "data", "content_type"):
        deliver.ClearField(field)
    return deliver.SerializeToString()


def is_blank(body: bytes) -> bool:
    """Return whether the body of a TEXT is of one that was recalled.

    :raises BadFrame: when it is no body
    """
    deliver = parse_body(body)
    return not deliver.text and not deliver.data


def guest_text(
    deliver: Deliver, edited: str = "(edited) ", attachment: str = "[attachment]", *, new: bool = False
) -> str | None:
    """Return what a guest is shown of a message; None for nothing.

    :param edited: stands before the new text of an EDIT
    :param attachment: stands for data without a text
    :param new: it was just said: guests may say nothing at all, otherwise an empty text is a recalled one
    """
    kind = deliver.kind
    if kind not in (TEXT, EDIT):
        return None
    shown = deliver.text or (attachment if deliver.data else "")
    if kind == EDIT:
        return edited + shown if shown else None
    return shown if shown or new else None


def deliver_packet(body: bytes, conversation: str, position: str, previous: str) -> bytes:
    """Return the packet that delivers a stored message.

    :param body: as stored
    """
    # Names and positions are ASCII and far shorter than 128 bytes, so their lengths are one byte each.
    place = f"\n{chr(len(conversation))}{conversation}\x12{chr(len(position))}{position}"
    if previous:
        place += f"\x1a{chr(len(previous))}{previous}"
    return _DELIVER_TAG + encode_varint(len(body) + len(place)) + body + place.encode()


def synced_packet(conversation: str, after: str, upto: str, more: bool, reset: bool = False) -> bytes:
    """Return the end of a page: what lies in (after, upto] was sent before it."""
    return Packet(
        synced=Synced(conversation=conversation, after=after, upto=upto, more=more, reset=reset)
    ).SerializeToString()


def news_packet(heads: Iterable[Head], more: str = "") -> bytes:
    """Return the packet that tells of conversations with something new."""
    return Packet(news=News(heads=heads, more=more)).SerializeToString()


def goodbye_packet(code: str, message: str = "", retry_after: int = 0) -> bytes:
    """Return the last packet of a session.

    :param code: one of those in docs/protocol.md, The end
    :param retry_after: seconds to wait before the next login; 0 leaves it to the client
    """
    return Packet(goodbye=Goodbye(code=code, message=message, retry_after_seconds=retry_after)).SerializeToString()


def failure_packet(error: BaseException, client_id: str = "", conversation: str = "", retry_after: int = 0) -> bytes:
    """Return the answer to what failed; only an error of ours is quoted.

    :param retry_after: seconds to wait before the next attempt; 0 leaves it to the client
    """
    return Packet(
        failure=Failure(
            code=row_of(error).failure,
            message=error.message if isinstance(error, CIMError) else "temporarily unavailable, please try again",
            client_id=client_id,
            conversation=conversation,
            retry_after_seconds=retry_after,
        )
    ).SerializeToString()
