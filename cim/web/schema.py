"""Schemas of requests and answers: one declaration checks values and describes them in the OpenAPI document.

Every `read` returns the checked value, or raises InvalidField with the field and the reason. Bounds of texts are in
bytes of UTF-8.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from attrs import field, frozen

from cim.errors import InvalidField
from cim.model import ID_LIMIT, MAX_NAME, check_id, check_name
from cim.names import check_new_name

_MAX_DIGITS = 16
_LIMIT_32 = 1 << 31


def string(name: str, value: Any) -> str:
    """Return a value that must be a string.

    :raises InvalidField: it is not a string
    """
    if type(value) is not str:
        raise InvalidField(name, "must be a string")
    return value


class Schema:
    """Describes and checks a kind of value."""

    def read(self, name: str, value: Any) -> Any:
        """Check a value from JSON."""
        raise NotImplementedError

    def read_text(self, name: str, text: str) -> Any:
        """Check a value from a path or query."""
        return self.read(name, text)

    def coerced(self, value: Any) -> Any:
        """Return a JSON value as upstream's Jackson would convert it, to be checked by `read`."""
        return value

    def document(self) -> dict[str, Any]:
        """Return the JSON schema."""
        raise NotImplementedError


@frozen
class Integer(Schema):
    """A whole number."""

    low: int
    high: int
    about: str = ""

    def read(self, name: str, value: Any) -> int:
        """See Schema."""
        if type(value) is not int:
            raise InvalidField(name, "must be a whole number")
        if not self.low <= value <= self.high:
            raise InvalidField(name, f"must be between {self.low} and {self.high}")
        return value

    def read_text(self, name: str, text: str) -> int:
        """See Schema."""
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            raise InvalidField(name, "must be a whole number")
        return self.read(name, int(text))

    def coerced(self, value: Any) -> Any:
        """See Schema: a string of digits becomes a number."""
        if type(value) is str:
            digits = value.strip()
            unsigned = digits.removeprefix("-")
            if unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= _MAX_DIGITS:
                return int(digits)
        return value

    def document(self) -> dict[str, Any]:
        """See Schema."""
        width = "int32" if self.low >= -_LIMIT_32 and self.high < _LIMIT_32 else "int64"
        return _about(self.about, {"type": "integer", "format": width, "minimum": self.low, "maximum": self.high})


@frozen
class Id(Integer):
    """The id of a user or group."""

    low: int = 1
    high: int = ID_LIMIT - 1

    def read(self, name: str, value: Any) -> int:
        """See Schema."""
        if type(value) is not int:
            raise InvalidField(name, "must be a whole number")
        return check_id(value, name)


@frozen
class Ids(Schema):
    """Ids in a query, separated by commas."""

    most: int
    about: str = ""

    def read_text(self, name: str, text: str) -> list[int]:
        """See Schema."""
        given = text.split(",")
        if len(given) > self.most:
            raise InvalidField(name, f"must name at most {self.most}")
        return [Id().read_text(name, one) for one in given]

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "array", "items": Id().document(), "minItems": 1, "maxItems": self.most})


@frozen
class IdList(Schema):
    """Ids in a body, each once."""

    most: int
    about: str = ""

    def read(self, name: str, value: Any) -> list[int]:
        """See Schema."""
        if type(value) is not list:
            raise InvalidField(name, "must be an array")
        if len(value) > self.most:
            raise InvalidField(name, f"must have at most {self.most:,} entries")
        given = [Id().read(name, one) for one in value]
        if len(set(given)) < len(given):
            raise InvalidField(name, "must name each one once")
        return given

    def document(self) -> dict[str, Any]:
        """See Schema."""
        items = {"type": "array", "items": Id().document(), "maxItems": self.most, "uniqueItems": True}
        return _about(self.about, items)


@frozen
class Boolean(Schema):
    """True or false."""

    about: str = ""

    def read(self, name: str, value: Any) -> bool:
        """See Schema."""
        if type(value) is not bool:
            raise InvalidField(name, "must be true or false")
        return value

    def read_text(self, name: str, text: str) -> bool:
        """See Schema."""
        return self.read(name, {"true": True, "false": False}.get(text))

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "boolean"})


@frozen
class Text(Schema):
    """A text whose length in bytes of UTF-8 is bounded.

    :param printable: only printable characters are allowed
    """

    high: int
    low: int = 0
    about: str = ""
    printable: bool = False

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        size = _size(name, value)
        if not self.low <= size <= self.high:
            wanted = f"{self.low} to {self.high}" if self.low else f"at most {self.high}"
            raise InvalidField(name, f"must have {wanted} bytes, has {size}")
        if self.printable and not value.isprintable():
            raise InvalidField(name, "must contain printable characters only")
        return value

    def coerced(self, value: Any) -> Any:
        """See Schema: a whole number becomes its digits."""
        return _text(value)

    def document(self) -> dict[str, Any]:
        """See Schema."""
        bounds: dict[str, Any] = {"type": "string", "maxLength": self.high}
        if self.low:
            bounds["minLength"] = 1
        size = f"{self.low} to {self.high}" if self.low else f"At most {self.high}"
        return _about(f"{self.about} {size} bytes of UTF-8.".strip(), bounds)


@frozen
class Name(Schema):
    """The name of a user or group."""

    about: str = ""

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        return check_name(string(name, value), name)

    def coerced(self, value: Any) -> Any:
        """See Schema: a whole number becomes its digits."""
        return _text(value)

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(
            f"{self.about or 'A name.'} No control characters, not blank.",
            {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        )


@frozen
class NewName(Name):
    """The name of a user or group that is made or renamed now (docs/security.md, Names)."""

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        return check_new_name(string(name, value), name)

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(
            f"{self.about} A Nickname of RFC 8266: nothing invisible, no space at either end, letters of one alphabet, "
            'none of : [ ] ". Emoji are welcome.'.strip(),
            {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        )


@frozen
class Texts(Schema):
    """A list of texts whose total length is bounded."""

    items: int
    high: int
    about: str = ""

    def read(self, name: str, value: Any) -> list[str]:
        """See Schema."""
        if type(value) is not list:
            raise InvalidField(name, "must be a list of strings")
        if len(value) > self.items:
            raise InvalidField(name, f"must have at most {self.items} items, has {len(value)}")
        _check_together(name, value, self.high)
        return value

    def coerced(self, value: Any) -> Any:
        """See Schema."""
        return [_text(item) for item in value] if type(value) is list else value

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "array", "items": {"type": "string"}, "maxItems": self.items})


@frozen
class TextMap(Schema):
    """A map of texts by name whose total length is bounded."""

    items: int
    high: int

    def read(self, name: str, value: Any) -> dict[str, str]:
        """See Schema."""
        if type(value) is not dict:
            raise InvalidField(name, "must be an object whose values are strings")
        if len(value) > self.items:
            raise InvalidField(name, f"must have at most {self.items} entries, has {len(value)}")
        _check_together(name, chain.from_iterable(value.items()), self.high)
        return value

    def coerced(self, value: Any) -> Any:
        """See Schema: entries that are null are dropped."""
        if type(value) is not dict or {*map(type, value.values())} == {str}:  # the usual case
            return value
        return {key: _text(item) for key, item in value.items() if item is not None}

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": self.items}


@frozen
class Choice(Schema):
    """One of several words.

    :param any_case: words, which are upper case, are taken in any
    """

    words: tuple[str, ...]
    about: str = ""
    any_case: bool = False

    def read(self, name: str, value: Any) -> str:
        """See Schema."""
        if self.any_case and type(value) is str and value.isascii():
            value = value.upper()
        if type(value) is not str or value not in self.words:
            raise InvalidField(name, f"must be one of {', '.join(self.words)}")
        return value

    def coerced(self, value: Any) -> Any:
        """See Schema: a number is the index of a word, as in a Java enum."""
        return self.words[value] if type(value) is int and 0 <= value < len(self.words) else value

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "string", "enum": list(self.words)})


@frozen
class Base64(Schema):
    """Bytes, as base64 with the standard alphabet and padding."""

    high: int
    about: str = ""

    def read(self, name: str, value: Any) -> bytes:
        """See Schema."""
        try:
            data = base64.b64decode(string(name, value).encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise InvalidField(name, "must be base64") from None
        if len(data) > self.high:
            raise InvalidField(name, f"must have at most {self.high} bytes, has {len(data)}")
        return data

    def document(self) -> dict[str, Any]:
        """See Schema."""
        longest = (self.high + 2) // 3 * 4
        return _about(self.about, {"type": "string", "contentEncoding": "base64", "maxLength": longest})


@frozen
class Nullable(Schema):
    """A value or null, only in answers."""

    item: Schema
    about: str = ""

    def document(self) -> dict[str, Any]:
        """See Schema."""
        document = self.item.document()
        if isinstance(document.get("type"), str):
            document["type"] = [document["type"], "null"]
            return _about(self.about, document)
        return _about(self.about, {"anyOf": [document, {"type": "null"}]})


@frozen
class Array(Schema):
    """A list, only in answers."""

    item: Schema
    about: str = ""

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "array", "items": self.item.document()})


@frozen
class Anything(Schema):
    """An object with any fields, only in answers."""

    about: str = ""

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return _about(self.about, {"type": "object"})


@frozen
class Optional:
    """A value that may be left out."""

    schema: Schema
    default: Any = None


Fields = Mapping[str, Schema | Optional]


@frozen
class Object(Schema):
    """An object with these fields, and in requests no others: answers may get further ones in later releases.

    :param title: its name in the OpenAPI document, where it is defined once
    """

    fields: Fields = field(hash=False)
    title: str = ""
    about: str = ""

    def read(self, name: str, value: Any) -> dict[str, Any]:
        """See Schema."""
        if type(value) is not dict:
            raise InvalidField(name, "must be an object")
        for given in value:
            if given not in self.fields:
                raise InvalidField(given[:40], "is not a field of this call")
        result: dict[str, Any] = {}
        for wanted, schema in self.fields.items():
            if isinstance(schema, Optional):
                result[wanted] = schema.schema.read(wanted, value[wanted]) if wanted in value else schema.default
            elif wanted in value:
                result[wanted] = schema.read(wanted, value[wanted])
            else:
                raise InvalidField(wanted, "is missing")
        return result

    def read_leniently(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check an object as upstream's Jackson does: unknown fields are ignored, and null counts as missing."""
        result: dict[str, Any] = {}
        for wanted, schema in self.fields.items():
            value = values.get(wanted)
            if isinstance(schema, Optional):
                if value is None:
                    result[wanted] = schema.default
                    continue
                schema = schema.schema
            elif value is None:
                raise InvalidField(wanted, "is missing")
            result[wanted] = schema.read(wanted, schema.coerced(value))
        return result

    def document(self) -> dict[str, Any]:
        """See Schema."""
        return {"$ref": f"#/components/schemas/{self.title}"} if self.title else self.whole()

    def whole(self) -> dict[str, Any]:
        """Return the JSON schema itself."""
        properties: dict[str, Any] = {}
        for name, schema in self.fields.items():
            if isinstance(schema, Optional):
                properties[name] = schema.schema.document()
                if schema.default is not None:
                    properties[name]["default"] = schema.default
            else:
                properties[name] = schema.document()
        whole: dict[str, Any] = {"type": "object", "properties": properties}
        required = [name for name, schema in self.fields.items() if not isinstance(schema, Optional)]
        if required:
            whole["required"] = required
        return _about(self.about, whole)


def _size(name: str, value: Any) -> int:
    """Return the length of a text in bytes."""
    if type(value) is str and value.isascii():
        return len(value)
    try:
        return len(string(name, value).encode())
    except UnicodeEncodeError:
        raise InvalidField(name, "must not contain lone surrogates") from None


def _check_together(name: str, texts: Iterable[Any], high: int) -> None:
    try:
        together = "".join(texts)
    except TypeError:
        raise InvalidField(name, "must contain only strings") from None
    if _size(name, together) > high:
        raise InvalidField(name, f"must have at most {high} bytes in total")


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _about(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "description": text} if text else schema
