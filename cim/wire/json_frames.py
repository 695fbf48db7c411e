"""Packets as text for `cim.v1.json`: the proto3 JSON mapping, both ways, as strict as the binary form.

This is our own code because google.protobuf.json_format accepts what it should not (base64 with anything in it, numbers
such as "1_0" and "٥", `true` for an enum, `[]` for a message) and reads at half the speed. The mapping is the standard
one: lowerCamelCase names (the names in cim.proto are accepted too), defaults left out, int64 as strings (numbers are
accepted), enums by name (numbers are accepted), bytes in base64 (URL-safe and unpadded are accepted), null for absent
fields. Guests' fields have no JSON form.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from cim import strict_json
from cim.errors import BadFrame
from cim.wire.cim_pb2 import Packet

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_FROM_URL_SAFE = str.maketrans("-_", "+/")
#: Above this a float does not identify an integer exactly.
_EXACT = 1 << 53

#: Converts a value from json into one for protobuf, or the other way round.
_Convert = Callable[[Any], Any]


def to_json(packet: bytes | Packet) -> str:
    """Return a packet as text.

    :raises BadFrame: the bytes are not a packet
    """
    if isinstance(packet, bytes):
        try:
            packet = Packet.FromString(packet)
        except (DecodeError, UnicodeDecodeError):
            raise BadFrame("a frame is not a protobuf message of this protocol")
    return _encode(_PACKET.write(packet))


def from_json(text: str) -> Packet:
    """Parse a packet; whoever took it from the wire has bounded its size.

    :raises BadFrame: says what is wrong with it
    """
    try:
        loaded = strict_json.decode(text)
    except RecursionError:
        raise BadFrame("a JSON packet is nested too deep")
    except ValueError as error:
        raise BadFrame(f"a packet is not JSON: {str(error)[:80]}")
    parsed: Packet = _PACKET.read(loaded)
    return parsed


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Form:
    """How one type of message is written and read."""

    __slots__ = ("_make", "_readers", "_writers")

    def __init__(self, descriptor: Any) -> None:
        self._make = GetMessageClass(descriptor)
        #: by field number: the name in JSON, the function that converts the value to JSON
        self._writers: dict[int, tuple[str, _Convert]] = {}
        #: by either name: the name in protobuf, its oneof, the function that converts JSON to the value
        self._readers: dict[str, tuple[str, str | None, _Convert]] = {}
        for field in descriptor.fields:
            if descriptor is Packet.DESCRIPTOR and field.containing_oneof is None:
                continue
            write, read = _converters(field)
            oneof = field.containing_oneof.name if field.containing_oneof is not None else None
            self._writers[field.number] = field.json_name, write
            self._readers[field.json_name] = self._readers[field.name] = field.name, oneof, read

    def write(self, message: Message) -> dict[str, Any]:
        """Return a message as an object for json."""
        written = {}
        for field, value in message.ListFields():
            if (writer := self._writers.get(field.number)) is not None:
                written[writer[0]] = writer[1](value)
        return written

    def read(self, loaded: Any) -> Any:
        """Return the message for an object from json."""
        if type(loaded) is not dict:
            raise BadFrame("a JSON packet lacks an object where one belongs")
        values: dict[str, Any] = {}
        oneofs: set[str] = set()
        for name, given in loaded.items():
            reader = self._readers.get(name)
            if reader is None:
                raise BadFrame(f"a JSON packet has an unknown field {name[:40]!r}")
            if given is None:
                continue
            field, oneof, read = reader
            if field in values or oneof in oneofs:
                raise BadFrame(f"a JSON packet has {name!r} beside another field that excludes it")
            if oneof is not None:
                oneofs.add(oneof)
            try:
                values[field] = read(given)
            except (ValueError, TypeError):
                raise BadFrame(f"a JSON packet has a wrong value for {name!r}")
        try:
            return self._make(**values)
        except (ValueError, TypeError):
            # The value is out of the range of its field's type, or is a text with lone surrogates.
            raise BadFrame(f"a JSON packet has an impossible value in {self._make.DESCRIPTOR.name}")


def _converters(field: Any) -> tuple[_Convert, _Convert]:
    write, read = _scalar_converters(field)
    if not field.is_repeated:
        return write, read

    def write_all(values: Any) -> list[Any]:
        return [write(value) for value in values]

    def read_all(given: Any) -> list[Any]:
        if type(given) is not list:
            raise TypeError
        return [read(value) for value in given]

    return write_all, read_all


def _scalar_converters(field: Any) -> tuple[_Convert, _Convert]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        form = _Form(field.message_type)
        return form.write, form.read
    if field.type == FieldDescriptor.TYPE_STRING:
        return _same, _read_text
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _write_bytes, _read_bytes
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _same, _read_bool
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = {value.number: value.name for value in field.enum_type.values}
        numbers = {name: number for number, name in names.items()}

        def write_enum(value: int) -> str | int:
            return names.get(value, value)

        def read_enum(given: Any) -> int:
            if type(given) is str:
                if given not in numbers:
                    raise ValueError
                return numbers[given]
            return _read_integer(given)

        return write_enum, read_enum
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
        return str, _read_integer
    return _same, _read_integer


def _same(value: Any) -> Any:
    return value


def _read_text(given: Any) -> str:
    if type(given) is not str:
        raise TypeError
    return given


def _read_bool(given: Any) -> bool:
    if type(given) is not bool:
        raise TypeError
    return given


def _read_integer(given: Any) -> int:
    if type(given) is int:
        return given
    if type(given) is str and _DECIMAL.fullmatch(given):
        return int(given)
    if type(given) is float and given.is_integer() and abs(given) < _EXACT:
        return int(given)
    raise TypeError


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_bytes(given: Any) -> bytes:
    if type(given) is not str:
        raise TypeError
    standard = given.translate(_FROM_URL_SAFE)
    if not _BASE64.fullmatch(standard):
        raise ValueError
    bare = standard.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if standard not in (bare, padded):
        raise ValueError
    return base64.b64decode(padded, validate=True)


_PACKET = _Form(Packet.DESCRIPTOR)
