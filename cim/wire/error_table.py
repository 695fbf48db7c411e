"""What each error is on the wire: one row for each class of `cim.errors`, read in both directions.

`row_of` is for whoever answers. Clients make an error of what they were answered by `of_failure`, `of_problem` and
`of_envelope`: of several classes that share a word, it is the first in the table, so the general stand before the
special. A subclass that stands elsewhere, such as the registry's, is told as the nearest class above it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from attrs import evolve, frozen

from cim.errors import (
    AccountMismatch,
    BadFrame,
    BadLogin,
    BadRequest,
    CallTimeout,
    CIMError,
    Conflict,
    Forbidden,
    FrameTooLarge,
    HandshakeFailed,
    HistoryUnavailable,
    InvalidField,
    LinkLost,
    Misdirected,
    NoServerAvailable,
    NotFound,
    NotSupported,
    OutOfOrder,
    ProtocolViolation,
    RateLimited,
    RegistryUnavailable,
    RepeatedEnd,
    RepeatLogin,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
    UserOffline,
)

#: Upstream's code for a call that was done (docs/http-api.md).
SUCCESS = "9000"


@frozen
class Row:
    """How an error is told.

    :ivar status: the HTTP status in `/v1`
    :ivar problem: the code of the problem document there
    :ivar envelope: the code of upstream's envelope
    :ivar failure: the code of a native client's Failure (docs/protocol.md)
    :ivar retryable: whether the same may be asked again, and may then be done
    :ivar retry_after: seconds until then, where the error itself does not say; 0 for no word about it
    """

    status: int
    problem: str
    envelope: str
    failure: str
    retryable: bool = False
    retry_after: int = 0


_AWAY = Row(503, "unavailable", "4000", "unavailable", retryable=True, retry_after=1)
#: Of what nobody should be told: of a fault, and of what ends a connection or stays within a client.
_FAULT = Row(500, "internal", "4000", "unavailable", retryable=True)

TABLE: dict[type[CIMError], Row] = {
    Unavailable: _AWAY,
    StoreUnavailable: _AWAY,
    RegistryUnavailable: _AWAY,
    LinkLost: _AWAY,
    Unreachable: _AWAY,
    # Native clients are never told: their server sees to the order.
    OutOfOrder: Row(503, "out-of-order", "4000", "unavailable", retryable=True, retry_after=1),
    CallTimeout: Row(504, "timeout", "4000", "timeout", retryable=True, retry_after=1),
    NoServerAvailable: Row(503, "unavailable", "7100", "unavailable", retryable=True, retry_after=1),
    UserOffline: Row(503, "unavailable", "7000", "unavailable", retryable=True, retry_after=1),
    RateLimited: Row(429, "rate-limited", "6000", "rate-limited", retryable=True, retry_after=1),
    BadRequest: Row(400, "invalid", "3000", "invalid"),
    InvalidField: Row(400, "invalid", "3000", "invalid"),
    Forbidden: Row(403, "forbidden", "4000", "forbidden"),
    Unauthorized: Row(401, "unauthorized", "4000", "forbidden"),
    NotFound: Row(404, "not-found", "4000", "not-found"),
    AccountMismatch: Row(404, "not-found", "9100", "not-found"),
    Conflict: Row(409, "conflict", "4000", "conflict"),
    RepeatLogin: Row(409, "second-login", "5000", "conflict"),
    TooLarge: Row(413, "too-large", "4000", "too-large"),
    CIMError: _FAULT,
    # Of what is stored: a client's own broken frame ends its connection instead.
    BadFrame: Row(500, "internal", "4000", "invalid"),
    FrameTooLarge: Row(500, "internal", "4000", "too-large"),
    ProtocolViolation: _FAULT,
    BadLogin: _FAULT,
    HandshakeFailed: _FAULT,
    Misdirected: _FAULT,
    NotSupported: _FAULT,
    HistoryUnavailable: _FAULT,
    # What had been done before is done.
    RepeatedEnd: Row(409, "conflict", SUCCESS, "conflict"),
}
#: The codes of Failures after which the same Send may come again under its client_id.
RETRYABLE = frozenset(row.failure for row in TABLE.values() if row.retryable)
#: The problems of requests that are refused for their form alone, by the status that BadRequest carries.
_OF_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}


def row_of(error: BaseException) -> Row:
    """Return how an error is told; what is none of ours is told as a fault."""
    if isinstance(error, BadRequest):
        return _row_of_status(error.status)
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return _FAULT


@cache
def _row_of_status(status: int) -> Row:
    return evolve(TABLE[BadRequest], status=status, problem=_OF_STATUS.get(status, "invalid"))


def _first(word: Callable[[Row], str]) -> dict[str, type[CIMError]]:
    return {word(TABLE[kind]): kind for kind in reversed(TABLE)}


_BY_FAILURE = _first(lambda row: row.failure)
_BY_PROBLEM = _first(lambda row: row.problem)
_BY_ENVELOPE = _first(lambda row: row.envelope)


def _made(kind: type[CIMError], message: str | None, status: int) -> CIMError:
    return BadRequest(status, message or InvalidField.text) if kind is BadRequest else kind(message)


def of_failure(code: str, message: str) -> CIMError:
    """Return the error that a Failure stands for; a code that nobody knows here is final."""
    return _made(_BY_FAILURE.get(code, CIMError), message, 400)


def of_envelope(code: str, message: str | None) -> CIMError:
    """Return the error that an envelope stands for whose code is not SUCCESS.

    4000 says no more than that it failed, so part of it may have been done: Unavailable.
    """
    return _made(_BY_ENVELOPE.get(code, CIMError), message, 200)


def of_problem(status: int, code: str, message: str, retry_after: int = 0) -> CIMError:
    """Return the error that a problem document stands for.

    :param retry_after: seconds, as the answer says; 0 when it does not
    """
    kind = _BY_PROBLEM.get(code)
    if kind is None or kind is CIMError:
        kind = RateLimited if status == 429 else Unavailable if status >= 500 else BadRequest
    error = _made(kind, message, status)
    if retry_after:
        error.retry_after = retry_after
    return error
