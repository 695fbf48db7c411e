"""Upstream's answer to every call: exactly four keys in this order (UPSTREAM.md section 2.0).

Java callers refuse an answer with any further key.
"""

from __future__ import annotations

import json
from typing import Any

from cim.ecim import CIMError
from cim.wire.error_table import SUCCESS, row_of

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def envelope(code: str, message: str, data: Any = None) -> bytes:
    """The bytes of an answer. A lone surrogate, which UTF-8 cannot say, becomes a question mark."""
    return _encode({"code": code, "message": message, "reqNo": None, "dataBody": data}).encode("utf-8", "replace")


_SUCCESS = envelope(SUCCESS, "Success")


def success(data: Any = None) -> bytes:
    """The answer of a call that was done."""
    return _SUCCESS if data is None else envelope(SUCCESS, "Success", data)


def failure(error: CIMError) -> bytes:
    """The answer of a call that was refused or failed."""
    return envelope(row_of(error).envelope, error.message)


#: For what nobody expected: says nothing of the cause.
INTERNAL_ERROR = failure(CIMError())
