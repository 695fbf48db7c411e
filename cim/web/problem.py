"""The dialect of `/v1`: strict fields, meaningful statuses, errors as RFC 9457 problem documents.

docs/http-api.md describes it for users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cim.errors import BadRequest, CIMError, InvalidField, Sanctioned
from cim.web.declaring import Audit, Call, Gate, WithStatus
from cim.web.inputs import read_object
from cim.web.origins import NO_ORIGINS, Origins
from cim.web.request import respond
from cim.wire.error_table import row_of

#: The path prefix of this dialect, and the path of its document.
PREFIX = "/v1/"
DOCUMENT = "/openapi.json"
CONTENT_TYPE = b"application/problem+json"
#: The beginning of every `type`; the problem's code follows.
TYPE = "urn:cim:problem:"
#: The `title` of each code.
TITLES = {
    "invalid": "A value is missing, mistyped or out of bounds",
    "unauthorized": "The credentials are missing or not valid",
    "forbidden": "Not allowed",
    "invitation-needed": "An account needs an invitation",
    "accounts-closed": "Accounts are made by operators",
    "suspended": "The account is banned by an operator",
    "muted": "The user may say nothing",
    "refused": "A rule of the operator refused it",
    "not-found": "Not found",
    "method-not-allowed": "This path does not support the method",
    "second-login": "The user is logged in on another device",
    "conflict": "It conflicts with what is already there",
    "too-large": "Too large",
    "unsupported-media-type": "The body is not JSON",
    "misdirected": "The Host is not a name of this daemon",
    "rate-limited": "Too many requests",
    "unavailable": "Temporarily unavailable",
    "out-of-order": "The message before it is not stored",
    "timeout": "No answer in time",
    "internal": "Internal error",
}
_MALFORMED = "The request cannot be understood"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:
    """Return a value as JSON; a lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    return _encode(value).encode("utf-8", "replace")


def problem(error: BaseException) -> tuple[int, bytes]:
    """Return the status and the document of an error; only the text of a CIMError is shown."""
    row = row_of(error)
    title = _MALFORMED if isinstance(error, BadRequest) and row.problem == "invalid" else TITLES[row.problem]
    document: dict[str, Any] = {"type": TYPE + row.problem, "title": title, "status": row.status, "code": row.problem}
    if isinstance(error, CIMError):
        document["detail"] = error.message
    if isinstance(error, InvalidField):
        document["field"] = error.field
    if isinstance(error, Sanctioned):
        document["until"], document["reason"] = error.until or None, error.reason
    return row.status, encode(document)


class Problems:
    """The strict dialect, of `/v1` and its OpenAPI document.

    :param origins: the web origins whose pages may call
    :param audit: called with each audited call of an operator once it is answered
    """

    refusal = ""

    def __init__(self, admit: Gate, origins: Origins = NO_ORIGINS, audit: Audit | None = None) -> None:
        self.admit = admit
        self._origins = origins
        self._audit = audit

    def speaks(self, path: str) -> bool:
        """See Dialect."""
        return path.startswith(PREFIX) or path == DOCUMENT

    def begin(self, request: Any) -> None:
        """See Dialect."""
        self._origins.allow(request)

    def read(self, request: Any, call: Call) -> dict[str, Any]:
        """See Dialect: the body may be missing if no field is required."""
        assert call.body is not None
        raw = request.content.read()
        values = read_object(request, raw) if raw or call.body_required else {}
        return call.body.read("the body", values)

    def succeed(self, request: Any, call: Call, result: Any) -> int:
        """See Dialect."""
        status, value = (result.status, result.value) if isinstance(result, WithStatus) else (call.usual, result)
        body = b"" if call.answers[status] is None else encode(value)
        request.setHeader(b"Cache-Control", b"no-store")
        respond(request, status, body)
        return status

    def fail(self, request: Any, error: BaseException) -> int:
        """See Dialect."""
        status, document = problem(error)
        seconds = getattr(error, "retry_after", 0) or row_of(error).retry_after
        if seconds:
            request.setHeader(b"Retry-After", b"%d" % seconds)
        if status == 401:
            request.setHeader(b"WWW-Authenticate", b"Bearer")
        # Caches may keep some errors, such as 404, without being told to, and an answer to a cookie is for one user.
        request.setHeader(b"Cache-Control", b"no-store")
        respond(request, status, document, CONTENT_TYPE)
        return status

    def done(self, request: Any, call: Call, status: int, result: Any = None) -> None:
        """See Dialect."""
        if self._audit is not None and call.audited:
            self._audit(request, status, result)

    def options(self, request: Any, methods: Iterable[bytes]) -> None:
        """See Dialect."""
        self._origins.preflight(request, methods)
        respond(request, 204, b"")
