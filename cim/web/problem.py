"""Errors as RFC 9457 problem documents, with the HTTP status that says the same (docs/http-api.md)."""

from __future__ import annotations

import json
from typing import Any

from cim.ecim import BadRequest, CIMError, InvalidField
from cim.web.site import respond
from cim.wire.error_table import row_of

CONTENT_TYPE = b"application/problem+json"
#: What `type` begins with; the problem's code follows.
TYPE = "urn:cim:problem:"
#: What `title` says, by code.
TITLES = {
    "invalid": "A value is missing, mistyped or out of bounds",
    "unauthorized": "No proof of who is asking, or none that holds",
    "forbidden": "Not allowed",
    "not-found": "Not found",
    "method-not-allowed": "The method does not go with the path",
    "second-login": "The user has a session on another device",
    "conflict": "It conflicts with what is there",
    "too-large": "Too large",
    "unsupported-media-type": "The body is not JSON",
    "rate-limited": "Too many requests",
    "unavailable": "Temporarily unavailable",
    "out-of-order": "The message before it is not stored",
    "timeout": "No answer in time",
    "internal": "Something failed here",
}
_MALFORMED = "The request cannot be understood"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:
    """Return a value as JSON. A lone surrogate, which UTF-8 cannot say, becomes a question mark."""
    return _encode(value).encode("utf-8", "replace")


def problem(error: BaseException) -> tuple[int, bytes]:
    """Return the status and the document; only an error of ours is quoted."""
    row = row_of(error)
    title = _MALFORMED if isinstance(error, BadRequest) and row.problem == "invalid" else TITLES[row.problem]
    document: dict[str, Any] = {"type": TYPE + row.problem, "title": title, "status": row.status, "code": row.problem}
    if isinstance(error, CIMError):
        document["detail"] = error.message
    if isinstance(error, InvalidField):
        document["field"] = error.field
    return row.status, encode(document)


def respond_problem(request: Any, error: BaseException) -> int:
    """Answer a request with what went wrong, and return the status."""
    status, document = problem(error)
    seconds = getattr(error, "retry_after", 0) or row_of(error).retry_after
    if seconds:
        request.setHeader(b"Retry-After", b"%d" % seconds)
    if status == 401:
        request.setHeader(b"WWW-Authenticate", b"Bearer")
    respond(request, status, document, CONTENT_TYPE)
    return status
