"""Packets of the native generation, and the stored form of a message (docs/protocol.md).

A message is stored as its *body*: a serialized `Deliver` without conversation, position and previous, which only the
store knows. Whoever reads or pushes the message appends those bytes to the body and never serializes the body again;
protobuf allows any order of fields.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from google.protobuf.message import DecodeError

from cim.errors import BadFrame, CIMError, InvalidField, TooLarge
from cim.model import ID_LIMIT, Happened, check_id
from cim.wire import conversations, packed, positions
from cim.wire.cim_pb2 import (
    EDIT,
    MEMBERS,
    RECALL,
    TEXT,
    Change,
    Deliver,
    Failure,
    Goodbye,
    Head,
    Invited,
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
#: The most bytes of text and data together; leaves room in a frame of 64 KiB for everything else in a Deliver.
MAX_CONTENT = 48 * 1024
MAX_CONTENT_TYPE = 128
#: Messages in a page of a Sync that names no limit, and the most in one.
PAGE, MAX_PAGE = 100, 500
#: The most bytes of a reaction's text: room for the longest emoji sequences.
MAX_REACTION = 64
#: Categories of what controls a terminal or ends a line.
_ENDS_LINES = frozenset({"Cc", "Zl", "Zp"})

#: The kinds of messages that somebody sends.
_SENT = frozenset(Kind.values()) - {MEMBERS}
_DELIVER_TAG = encode_varint(Packet.DELIVER_FIELD_NUMBER << 3 | 2)
_FIRST_NATIVE_TAG = 0x80

#: A route's answer to a Send whose predecessor is not stored. The server handles it: no client gets it.
OUT_OF_ORDER = "out-of-order"


def packet(**body: Any) -> bytes:
    """Return the serialized packet with one body, given by the name of its field."""
    return Packet(**body).SerializeToString()


PING = packet(ping=Ping())
PONG = packet(pong=Pong())
#: How a packet with a Deliver begins.
DELIVER = packet(deliver=Deliver())[:2]
#: Pushed by a route to make guests' sessions write what they have missed; other sessions ignore it.
FETCH = packet(news=News())


def parse_client_packet(body: bytes) -> Packet:
    """Parse a packet that a native client sent.

    :raises BadFrame: it cannot be decoded, has no known body, or has a guest's fields
    """
    # Serializers write fields by number, so the first byte reveals a guest's frame before its properties take time.
    if not body or body[0] < _FIRST_NATIVE_TAG:
        raise BadFrame("a native packet must have one field numbered 16 or above, and none below 16")
    try:
        parsed = Packet.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BadFrame("a frame is not a protobuf message of this protocol")
    check_client_packet(parsed)
    return parsed


def check_client_packet(parsed: Packet) -> None:
    """Check that a packet is of the native generation, whatever form it arrived in.

    :raises BadFrame: says what is wrong
    """
    if parsed.text or parsed.user_id or parsed.command or parsed.properties or parsed.batch:
        raise BadFrame("a native packet must have one field numbered 16 or above, and none below 16")
    if parsed.WhichOneof("body") is None:
        raise BadFrame("a packet has no known body")


def conversation_of(parsed: Packet, user: int) -> str:
    """Return the name of the conversation that a client's packet concerns, or "" if it concerns none.

    :param user: who sent it
    :raises InvalidField: the name, recipient or group is not possible
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

    :param to: the field that names the recipient, "user" or "group"
    :param user: who sent it
    :raises InvalidField: the recipient or group is missing or not possible
    """
    if to == "user":
        return conversations.private(user, message.user)
    if to == "group":
        return conversations.group(message.group)
    raise InvalidField("to", "must name a user or a group")


def check_client_id(client_id: str) -> None:
    """Check the client_id that a sender gave a message.

    :raises InvalidField: it is empty or too long
    """
    if not 0 < len(client_id.encode()) <= MAX_CLIENT_ID:
        raise InvalidField("client_id", f"must have 1 to {MAX_CLIENT_ID} bytes")


def check_send(send: Send, max_content: int = MAX_CONTENT) -> int:
    """Check everything about a Send that can be checked without the store; return the bytes of text and data together.

    A text may contain any character, even NUL. TEXT and EDIT have a text or data, so that an empty stored TEXT is a
    recalled one. A REACTION has a short text in one line; an empty one withdraws it. A RECALL has only its `ref`.

    :param max_content: the most bytes of text and data together
    :raises InvalidField: a field is invalid; names the field
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
        raise TooLarge(f"text and data have {size} bytes together; the limit is {max_content}")
    content_type = send.content_type
    if content_type and not (
        len(content_type) <= MAX_CONTENT_TYPE and content_type.isascii() and content_type.isprintable()
    ):
        raise InvalidField("content_type", f"must have at most {MAX_CONTENT_TYPE} printable ASCII characters")
    kind = send.kind
    if kind not in _SENT:
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
    elif not _ENDS_LINES.isdisjoint(map(unicodedata.category, send.text)):
        raise InvalidField("text", "must be one line without control characters for a REACTION")
    return size


def digest(send: Send) -> bytes:
    """Return a 16-byte digest that is equal for two Sends exactly when they say the same."""
    text, content_type, ref = send.text.encode(), send.content_type.encode(), send.ref.encode()
    lengths = struct.pack("<4Ii", len(text), len(send.data), len(content_type), len(ref), send.kind)
    return hashlib.blake2b(b"".join((lengths, text, send.data, content_type, ref)), digest_size=16).digest()


def body_of(send: Send, sender: int, sender_name: str, sent_at: int, *, by_operator: bool = False) -> bytes:
    """Return the body to store for a Send that was checked.

    :param sender: the user of the session that sent it
    :param sent_at: ms since 1970
    :param by_operator: whether it is a RECALL by an operator
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
        by_operator=by_operator,
    ).SerializeToString()


def saying(send: Send, text: str) -> Send:
    """Return the same Send with another text."""
    other = Send()
    other.CopyFrom(send)
    other.text = text
    return other


def members_body(happened: Iterable[Happened], group: int, client_id: str, sent_at: int) -> bytes:
    """Return the body to store that tells a group what happened to it and its members."""
    changes = [Change(what=one.what, user=one.user, by=one.by, text=one.text, number=one.number) for one in happened]
    said = Deliver(kind=MEMBERS, group=group, client_id=client_id, sent_at=sent_at, changes=changes)
    return said.SerializeToString()


def parse_body(body: bytes) -> Deliver:
    """Parse a stored body.

    :raises BadFrame: it is not a body
    """
    try:
        return Deliver.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BadFrame("a stored message cannot be decoded")


def are_bodies(bodies: Sequence[bytes]) -> bool:
    """Return whether all are bodies: parsed together, which takes a tenth of the time."""
    try:
        # Each as a packet to deliver, of which protobuf makes one packet.
        Packet.FromString(b"".join([_DELIVER_TAG + packed.varint(len(body)) + body for body in bodies]))
    except (DecodeError, UnicodeDecodeError):
        return False
    return True


def blank(body: bytes, *, by_operator: bool = False) -> bytes:
    """Return the body that a message has once it is recalled: its content is removed, everything else remains.

    :param by_operator: whether an operator recalled it
    :raises BadFrame: when it is no body
    """
    deliver = parse_body(body)
    if by_operator:
        deliver.by_operator = True
    for field in ("text", "data", "content_type"):
        deliver.ClearField(field)
    return deliver.SerializeToString()


def edited(body: bytes, edit: bytes) -> bytes:
    """Return the body that readers get of a TEXT, given that of its last EDIT.

    :raises BadFrame: when either is no body
    """
    deliver, now = parse_body(body), parse_body(edit)
    deliver.text, deliver.data, deliver.content_type, deliver.edited = now.text, now.data, now.content_type, True
    return deliver.SerializeToString()


def anonymous(said: Deliver) -> bytes:
    """Return the body that a message has once its author is erased: neither its content nor the author's name."""
    left = Deliver()
    left.CopyFrom(said)
    for field in ("text", "data", "content_type", "edited", "sender_name"):
        left.ClearField(field)
    return left.SerializeToString()


def is_blank(body: bytes) -> bool:
    """Return whether the body of a TEXT is that of a recalled one.

    :raises BadFrame: when it is no body
    """
    deliver = parse_body(body)
    return not deliver.text and not deliver.data


def guest_text(
    deliver: Deliver, edited: str = "(edited) ", attachment: str = "[attachment]", *, new: bool = False
) -> str | None:
    """Return the text that a guest is shown for a message; None for nothing.

    :param edited: the prefix of an EDIT's new text
    :param attachment: shown for data without a text
    :param new: whether the message was just sent; guests may send an empty text, but in an older message an empty
        text means that it was recalled
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
    # Names and positions are ASCII and far shorter than 128 bytes, so each length takes one byte.
    place = f"\n{chr(len(conversation))}{conversation}\x12{chr(len(position))}{position}"
    if previous:
        place += f"\x1a{chr(len(previous))}{previous}"
    return _DELIVER_TAG + packed.varint(len(body) + len(place)) + body + place.encode()


def deliver_packets(conversation: str, before: str, places: Sequence[str], bodies: Sequence[bytes]) -> list[bytes]:
    """Return the packets that deliver stored messages, each of which names the one before it.

    :param before: the position that the first one names
    :param places: their positions
    :param bodies: as stored
    """
    return list(map(deliver_packet, bodies, repeat(conversation), places, (before, *places)))


def synced_packet(conversation: str, after: str, upto: str, more: bool, reset: bool = False) -> bytes:
    """Return the packet that ends a page; everything in (after, upto] was sent before it."""
    return Packet(
        synced=Synced(conversation=conversation, after=after, upto=upto, more=more, reset=reset)
    ).SerializeToString()


def skipped_packet(packet: bytes) -> bytes:
    """Return the packet that tells those who may not read a delivered message that they miss nothing by it."""
    deliver = Packet.FromString(packet).deliver
    return synced_packet(deliver.conversation, deliver.previous, deliver.position, False)


def news_packet(
    heads: Iterable[Head], more: str = "", *, unasked: bool = False, invited: Iterable[Invited] = ()
) -> bytes:
    """Return the packet that reports conversations with something new.

    :param more: the cursor of the next page; empty if there is none
    :param unasked: it is not a page that the client asked for
    """
    return Packet(news=News(heads=heads, more=more, unasked=unasked, invited=invited)).SerializeToString()


def goodbye_packet(code: str, message: str = "", retry_after: int = 0) -> bytes:
    """Return the last packet of a session.

    :param code: one of those in docs/protocol.md, The end
    :param retry_after: seconds to wait before the next login; 0 leaves it to the client
    """
    return Packet(goodbye=Goodbye(code=code, message=message, retry_after_seconds=retry_after)).SerializeToString()


def failure_packet(error: BaseException, client_id: str = "", conversation: str = "", retry_after: int = 0) -> bytes:
    """Return the Failure that answers a failed request; only messages of our own errors are quoted.

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
