"""Upstream's dialect: fields as its Jackson reads them, and one envelope for every answer (docs/http-api.md).

The envelope has exactly four keys in this order: Java callers refuse an answer with any further key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cim.errors import BadRequest, CIMError, RateLimited
from cim.web.declaring import Call, Gate
from cim.web.inputs import read_object
from cim.web.request import respond
from cim.wire.error_table import SUCCESS, row_of

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def envelope(code: str, message: str, data: Any = None) -> bytes:
    """Return the bytes of an answer; a lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    return _encode({"code": code, "message": message, "reqNo": None, "dataBody": data}).encode("utf-8", "replace")


_SUCCESS = envelope(SUCCESS, "Success")


def success(data: Any = None) -> bytes:
    """Return the answer of a call that succeeded."""
    return _SUCCESS if data is None else envelope(SUCCESS, "Success", data)


def failure(error: CIMError) -> bytes:
    """Return the answer of a call that was refused or failed."""
    return envelope(row_of(error).envelope, error.message)


#: The answer to an unexpected error: it does not reveal the cause.
INTERNAL_ERROR = failure(CIMError())


class Envelopes:
    """The lenient dialect, of every path that no other dialect speaks."""

    refusal = "invalid argument: "

    def __init__(self, admit: Gate) -> None:
        self.admit = admit

    def speaks(self, path: str) -> bool:
        """See Dialect."""
        return True

    def begin(self, request: Any) -> None:
        """See Dialect."""

    def read(self, request: Any, call: Call) -> dict[str, Any]:
        """See Dialect."""
        assert call.body is not None
        return call.body.read_leniently(read_object(request, request.content.read(), unique=False))

    def succeed(self, request: Any, call: Call, result: Any) -> int:
        """See Dialect: 200."""
        respond(request, 200, success(result))
        return 200

    def fail(self, request: Any, error: BaseException) -> int:
        """See Dialect: 200 for a call that was refused or failed, the error's status for a malformed request."""
        status = error.status if isinstance(error, BadRequest) else 200 if isinstance(error, CIMError) else 500
        if isinstance(error, RateLimited) and error.retry_after:
            request.setHeader(b"Retry-After", b"%d" % error.retry_after)
        respond(request, status, failure(error) if isinstance(error, CIMError) else INTERNAL_ERROR)
        return status

    def done(self, request: Any, call: Call, status: int, result: Any = None) -> None:
        """See Dialect."""

    def options(self, request: Any, methods: Iterable[bytes]) -> None:
        """See Dialect."""
        respond(request, 200, b"", b"text/plain")
