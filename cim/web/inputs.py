"""Reads a request's query, and its body, a JSON object."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from cim.errors import BadRequest, InvalidField
from cim.web.schema import Fields, Optional

_MAX_PARAMETERS = 16
_JSON_TYPES = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these names and values.

    :raises InvalidField: a name occurs twice, so that others might read another value than we do
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidField(twice[:40], "must be given only once")
    return found


_decode = json.JSONDecoder(parse_constant=_no_constant).decode
_decode_unique = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unique).decode


def is_json(content_type: bytes | None) -> bool:
    """Return whether a Content-Type means JSON in UTF-8."""
    if content_type in _JSON_TYPES:
        return True
    if content_type is None:
        return False
    kind, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = {value.strip(b'"') for name, _, value in (p.partition(b"=") for p in parameters) if name == b"charset"}
    return kind == b"application/json" and charsets <= {b"utf-8"}


def parse_object(body: bytes, *, unique: bool = True) -> dict[str, Any]:
    """Parse a JSON object.

    :param unique: whether a name may occur only once in an object; otherwise its last value counts
    :raises BadRequest: with status 400, if the body is not a JSON object
    :raises InvalidField: a name occurs twice; the error names it
    """
    try:
        values = (_decode_unique if unique else _decode)(body.decode())
    except RecursionError:
        raise BadRequest(400, "invalid argument: the body is nested too deeply") from None
    except ValueError:  # not UTF-8, not JSON, or a number with more digits than Python reads
        raise BadRequest(400, "invalid argument: the body is not valid JSON in UTF-8") from None
    if type(values) is not dict:
        raise BadRequest(400, "invalid argument: the body must be a JSON object")
    return values


def read_object(request: Any, raw: bytes, *, unique: bool = True) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    :raises BadRequest: with status 415 if the Content-Type is not JSON, and as `parse_object` does
    :raises InvalidField: as `parse_object` does
    """
    if not is_json(request.getHeader(b"content-type")):
        raise BadRequest(415, "invalid argument: Content-Type must be application/json")
    return parse_object(raw, unique=unique)


def read_query(uri: bytes, wanted: Fields) -> dict[str, Any]:
    """Return the wanted values of a query, and ignore all others.

    :raises BadRequest: with status 400 if it is not UTF-8 or has too many parameters
    :raises InvalidField: a parameter is invalid; the error names it
    """
    given: dict[str, str] = {}
    query = uri.partition(b"?")[2]
    pairs = query.split(b"&") if query else []
    if len(pairs) > _MAX_PARAMETERS:
        raise BadRequest(400, f"invalid argument: the query must have at most {_MAX_PARAMETERS} parameters")
    for pair in pairs:
        raw_name, _, raw_value = pair.partition(b"=")
        try:
            name = unquote_to_bytes(raw_name.replace(b"+", b" ")).decode()
            value = unquote_to_bytes(raw_value.replace(b"+", b" ")).decode()
        except UnicodeDecodeError:
            raise BadRequest(400, "invalid argument: the query must be valid UTF-8") from None
        if name not in wanted:
            continue
        if name in given:
            raise InvalidField(name, "must be given only once")
        given[name] = value
    values: dict[str, Any] = {}
    for name, schema in wanted.items():
        kind = schema.schema if isinstance(schema, Optional) else schema
        if name in given:
            values[name] = kind.read_text(name, given[name])
        elif isinstance(schema, Optional):
            values[name] = schema.default
        else:
            raise InvalidField(name, "is missing")
    return values
