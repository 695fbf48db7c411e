"""Errors as RFC 9457 problem documents, with the HTTP status that says the same (docs/http-api.md)."""

from __future__ import annotations

import json
from typing import Any

from cim.ecim import (
    AccountMismatch,
    BadRequest,
    CallTimeout,
    CIMError,
    Conflict,
    Forbidden,
    InvalidField,
    NoServerAvailable,
    NotFound,
    OutOfOrder,
    RateLimited,
    RepeatLogin,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from cim.web.site import respond

CONTENT_TYPE = b"application/problem+json"
#: What `type` begins with; the problem's code follows.
TYPE = "urn:cim:problem:"
#: Seconds after which what failed may be tried again, where nothing better is known.
RETRY_SECONDS = 1

#: Status, code and title; most special first where one is a kind of another.
_KINDS: tuple[tuple[type[CIMError], int, str, str], ...] = (
    (InvalidField, 400, "invalid", "A value is missing, mistyped or out of bounds"),
    (Unauthorized, 401, "unauthorized", "No proof of who is asking, or none that holds"),
    (Forbidden, 403, "forbidden", "Not allowed"),
    (NotFound, 404, "not-found", "Not found"),
    (AccountMismatch, 404, "not-found", "Not found"),
    (RepeatLogin, 409, "second-login", "The user has a session on another device"),
    (Conflict, 409, "conflict", "It conflicts with what is there"),
    (TooLarge, 413, "too-large", "Too large"),
    (RateLimited, 429, "rate-limited", "Too many requests"),
    (NoServerAvailable, 503, "unavailable", "Temporarily unavailable"),
    (CallTimeout, 504, "timeout", "No answer in time"),
    (OutOfOrder, 503, "out-of-order", "The message before it is not stored"),
    (Unavailable, 503, "unavailable", "Temporarily unavailable"),
)
_STATUS_CODES = {
    400: ("invalid", "The request cannot be understood"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "The method does not go with the path"),
    413: ("too-large", "Too large"),
    415: ("unsupported-media-type", "The body is not JSON"),
}
INTERNAL_ERROR = (500, "internal", "Something failed here")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:
    """Return a value as JSON. A lone surrogate, which UTF-8 cannot say, becomes a question mark."""
    return _encode(value).encode("utf-8", "replace")


def kind_of(error: BaseException) -> tuple[int, str, str]:
    """Return the status, code and title of an error."""
    if isinstance(error, BadRequest):
        return (error.status, *_STATUS_CODES.get(error.status, ("invalid", "The request cannot be understood")))
    for kind, status, code, title in _KINDS:
        if isinstance(error, kind):
            return status, code, title
    return INTERNAL_ERROR


def problem(error: BaseException) -> tuple[int, bytes]:
    """Return the status and the document; only an error of ours is quoted."""
    status, code, title = kind_of(error)
    document: dict[str, Any] = {"type": TYPE + code, "title": title, "status": status, "code": code}
    if isinstance(error, CIMError):
        document["detail"] = error.message
    if isinstance(error, InvalidField):
        document["field"] = error.field
    return status, encode(document)


def respond_problem(request: Any, error: BaseException) -> int:
    """Answer a request with what went wrong, and return the status."""
    status, document = problem(error)
    if status in (429, 503, 504):
        seconds = error.retry_after if isinstance(error, RateLimited) and error.retry_after else RETRY_SECONDS
        request.setHeader(b"Retry-After", b"%d" % seconds)
    elif status == 401:
        request.setHeader(b"WWW-Authenticate", b"Bearer")
    respond(request, status, document, CONTENT_TYPE)
    return status
