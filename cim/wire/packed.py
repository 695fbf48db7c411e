"""What is serialized for every single message, by concatenating bytes, which is cheaper than making protobuf objects.

Each function's result parses to the same message as protobuf's own serialization of those fields (tests ensure that).
Lengths and tags of one byte are literals; whatever may be longer goes through `varint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from cim.traces import UNTRACED, Trace
from cim.wire.framing import encode_varint

_SMALL = tuple(encode_varint(number) for number in range(1024))

# The tags of Packet.accepted, Item.deliver, Item.request and Item.reply; tags inside those are literals below.
_ACCEPTED = b"\x9a\x01"
_DELIVER = b"\x4a"
_REQUEST = b"\x52"
_REPLY = b"\x5a"


def varint(number: int) -> bytes:
    """Return a number, 0 or more, as a varint."""
    return _SMALL[number] if number < 1024 else encode_varint(number)


@lru_cache(65536)
def _id(number: int) -> bytes:
    """Return an id as a varint; cached, because there are far fewer ids than messages."""
    return encode_varint(number)


@lru_cache(16)
def _time(ms: int) -> bytes:
    """Return a time as a varint; cached, because many messages share one."""
    return encode_varint(ms)


def _text(tag: bytes, text: str) -> bytes:
    data = text.encode()
    return tag + varint(len(data)) + data if data else b""


def _each(tag: bytes, values: Iterable[bytes]) -> bytes:
    return b"".join([b"%b%b%b" % (tag, varint(len(value)), value) for value in values])


def accepted(client_id: str, conversation: str, position: str, sent_at: int, previous: str) -> bytes:
    """Return a Packet with Accepted."""
    # Names and positions are ASCII, and a client_id has at most 64 bytes, so each length takes one byte.
    id = client_id.encode()
    body = b"\x0a%c%b\x12%c%b\x1a%c%b\x20%b" % (
        len(id),
        id,
        len(conversation),
        conversation.encode(),
        len(position),
        position.encode(),
        _time(sent_at),
    )
    if previous:
        body += b"\x2a%c%b" % (len(previous), previous.encode())
    return _ACCEPTED + varint(len(body)) + body


def text_body(sender: int, sender_name: str, sent_at: int, client_id: str, text: str, group: int) -> bytes:
    """Return the body to store for a TEXT that has only a text."""
    name, id, said = sender_name.encode(), client_id.encode(), text.encode()
    return b"\x20%b\x2a%b%b\x30%b\x3a%c%b\x42%b%b%b" % (
        _id(sender),
        varint(len(name)),
        name,
        _time(sent_at),
        len(id),
        id,
        varint(len(said)),
        said,
        b"\x68" + _id(group) if group else b"",
    )


def reply(call: int, packet: bytes) -> bytes:
    """Return an Item with a Reply of one packet."""
    body = b"\x08%b\x1a%b%b" % (encode_varint(call), varint(len(packet)), packet)
    return _REPLY + varint(len(body)) + body


def replies(call: int, packets: Sequence[bytes]) -> bytes:
    """Return an Item with a Reply to several calls of one packet each, 2 or more.

    :param call: the first; the others are the numbers behind it
    """
    body = b"\x08%b%b\x20%b" % (encode_varint(call), _each(b"\x1a", packets), varint(len(packets)))
    return _REPLY + varint(len(body)) + body


def asker(user: int, name: str, session: str, device: str, members: bool = False) -> bytes:
    """Return the fields that all requests of a session share.

    :param members: whether it gets messages of the kind MEMBERS
    """
    named = b"\x10%b%b%b%b" % (_id(user), _text(b"\x1a", name), _text(b"\x22", session), _text(b"\x2a", device))
    return named + b"\x68\x01" if members else named


def request(
    call: int,
    asker: bytes,
    conversation: str,
    packet: bytes,
    after: str = "",
    trace: Trace = UNTRACED,
    more: Sequence[bytes] = (),
) -> bytes:
    """Return an Item with a Request that forwards a client's packet.

    :param call: the number that the answer will carry; 0 if nobody waits for an answer
    :param after: for a Send, the client_id of the one that must be stored before it; "" for none
    :param more: for a Send, the session's next ones in the same conversation
    """
    body = b"%b%b%b\x42%b%b%b%b%b" % (
        b"\x08" + encode_varint(call) if call else b"",
        asker,
        _text(b"\x3a", conversation),
        varint(len(packet)),
        packet,
        _text(b"\x62", after) if after else b"",
        b"\x72\x18" + trace if trace else b"",
        _each(b"\x7a", more) if more else b"",
    )
    return _REQUEST + varint(len(body)) + body


def pushed(
    packet: bytes, repeated: bool = False, batch: int = 0, trace: Trace = UNTRACED, more: Sequence[bytes] = ()
) -> bytes:
    """Return the fields that all Delivers of a push share.

    :param batch: how many messages of its batch are still to come, this one included; 0 if it is in no batch
    :param more: the packets to push behind it
    """
    return b"%b%b%b%b%b%b" % (
        b"\x62" + varint(len(packet)) if packet else b"",
        packet,
        b"\x70\x01" if repeated else b"",
        b"\x78" + varint(batch) if batch else b"",
        b"\x9a\x01\x18" + trace if trace else b"",
        _each(b"\xa2\x01", more) if more else b"",
    )


def deliver(
    pushed: bytes,
    users: Iterable[int] = (),
    *,
    call: int = 0,
    group: int = 0,
    everyone: bool = False,
    except_user: int = 0,
    except_session: str = "",
    reads: str = "",
    members: bool = False,
) -> bytes:
    """Return an Item with a Deliver.

    :param pushed: what `pushed` returned
    :param reads: the position that members of a group must be allowed to read to get it
    :param members: whether it is of the kind MEMBERS
    """
    ids = b"".join([_id(user) for user in users])
    body = b"%b%b%b%b%b%b%b%b%b" % (
        b"\x08" + encode_varint(call) if call else b"",
        b"\x12%b%b" % (varint(len(ids)), ids) if ids else b"",
        b"\x18\x01" if everyone else b"",
        b"\x20" + _id(except_user) if except_user else b"",
        b"\x38" + _id(group) if group else b"",
        _text(b"\x42", except_session),
        b"\x82\x01%c%b" % (len(reads), reads.encode()) if reads else b"",
        b"\x88\x01\x01" if members else b"",
        pushed,
    )
    return _DELIVER + varint(len(body)) + body
