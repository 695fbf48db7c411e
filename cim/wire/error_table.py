"""How each error is sent: one row for each class of `cim.errors`, used in both directions.

Whoever answers uses `row_of`. Clients turn an answer into an error with `of_failure`, `of_problem` and `of_envelope`.
If several classes share a code, the first in the table counts, so general classes come before special ones. A subclass
that is defined elsewhere, such as the registry's, is sent as its nearest base class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from attrs import evolve, frozen

from cim.errors import (
    AccountMismatch,
    AccountsClosed,
    BadFrame,
    BadLogin,
    BadRequest,
    Banned,
    CallTimeout,
    CIMError,
    Conflict,
    Forbidden,
    FrameTooLarge,
    HandshakeFailed,
    HistoryUnavailable,
    Insecure,
    InvalidField,
    InvitationNeeded,
    LinkLost,
    Misdirected,
    Muted,
    NoRoom,
    NoServerAvailable,
    NotFound,
    NotSupported,
    OutgoingRefused,
    OutOfOrder,
    ProtocolViolation,
    RateLimited,
    Refused,
    RegistryUnavailable,
    RepeatedEnd,
    RepeatLogin,
    Sanctioned,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    Undecided,
    Unreachable,
    Untrusted,
    UserOffline,
)

#: Upstream's code for a successful call (docs/http-api.md).
SUCCESS = "9000"


@frozen
class Row:
    """How an error is sent.

    :ivar status: the HTTP status in `/v1`
    :ivar problem: the code of the problem document in `/v1`
    :ivar envelope: the code of upstream's envelope
    :ivar failure: the code of a native client's Failure (docs/protocol.md)
    :ivar retryable: whether the same request may be repeated and may then succeed
    :ivar retry_after: seconds to wait before that, if the error itself does not say; 0 to say nothing
    """

    status: int
    problem: str
    envelope: str
    failure: str
    retryable: bool = False
    retry_after: int = 0


_AWAY = Row(503, "unavailable", "4000", "unavailable", retryable=True, retry_after=1)
_LIMITED = Row(429, "rate-limited", "6000", "rate-limited", retryable=True, retry_after=1)
#: For errors that should reach nobody: faults, and errors that end a connection or stay within a client.
_FAULT = Row(500, "internal", "4000", "unavailable", retryable=True)

TABLE: dict[type[CIMError], Row] = {
    Unavailable: _AWAY,
    StoreUnavailable: _AWAY,
    RegistryUnavailable: _AWAY,
    LinkLost: _AWAY,
    Unreachable: _AWAY,
    Untrusted: _AWAY,
    OutgoingRefused: _AWAY,
    Undecided: _AWAY,
    # Native clients never get this: their server takes care of the order.
    OutOfOrder: Row(503, "out-of-order", "4000", "unavailable", retryable=True, retry_after=1),
    CallTimeout: Row(504, "timeout", "4000", "timeout", retryable=True, retry_after=1),
    NoServerAvailable: Row(503, "unavailable", "7100", "unavailable", retryable=True, retry_after=1),
    UserOffline: Row(503, "unavailable", "7000", "unavailable", retryable=True, retry_after=1),
    RateLimited: _LIMITED,
    NoRoom: _LIMITED,
    BadRequest: Row(400, "invalid", "3000", "invalid"),
    InvalidField: Row(400, "invalid", "3000", "invalid"),
    Forbidden: Row(403, "forbidden", "4000", "forbidden"),
    InvitationNeeded: Row(403, "invitation-needed", "4000", "forbidden"),
    AccountsClosed: Row(403, "accounts-closed", "4000", "forbidden"),
    Sanctioned: Row(403, "forbidden", "4000", "forbidden"),
    # What it was called before a ban could end.
    Banned: Row(403, "suspended", "4000", "forbidden"),
    Muted: Row(403, "muted", "4000", "muted"),
    Refused: Row(403, "refused", "4000", "refused"),
    Unauthorized: Row(401, "unauthorized", "4000", "forbidden"),
    NotFound: Row(404, "not-found", "4000", "not-found"),
    AccountMismatch: Row(404, "not-found", "9100", "not-found"),
    Conflict: Row(409, "conflict", "4000", "conflict"),
    RepeatLogin: Row(409, "second-login", "5000", "conflict"),
    TooLarge: Row(413, "too-large", "4000", "too-large"),
    CIMError: _FAULT,
    # Concerns stored messages: a client's own broken frame ends its connection instead.
    BadFrame: Row(500, "internal", "4000", "invalid"),
    FrameTooLarge: Row(500, "internal", "4000", "too-large"),
    ProtocolViolation: _FAULT,
    BadLogin: _FAULT,
    HandshakeFailed: _FAULT,
    Insecure: _FAULT,
    Misdirected: _FAULT,
    NotSupported: _FAULT,
    HistoryUnavailable: _FAULT,
    # What was asked had been done before, so upstream's clients get success.
    RepeatedEnd: Row(409, "conflict", SUCCESS, "conflict"),
}
#: The codes of Failures after which the same Send may be repeated with its client_id.
RETRYABLE = frozenset(row.failure for row in TABLE.values() if row.retryable)
#: The problems of requests that are refused only for their form, by the status that BadRequest carries.
_OF_STATUS = {
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    421: "misdirected",
}


def row_of(error: BaseException) -> Row:
    """Return how to send an error; an error that is not ours is sent as a fault."""
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
    """Return the error that a Failure stands for; an unknown code is not retryable."""
    return _made(_BY_FAILURE.get(code, CIMError), message, 400)


def of_envelope(code: str, message: str | None) -> CIMError:
    """Return the error that an envelope stands for, whose code is not SUCCESS.

    4000 says only that the call failed, so part of it may have been done: Unavailable.
    """
    return _made(_BY_ENVELOPE.get(code, CIMError), message, 200)


def of_problem(status: int, code: str, message: str, retry_after: int = 0) -> CIMError:
    """Return the error that a problem document stands for.

    :param retry_after: the seconds that the answer gives; 0 if it gives none
    """
    kind = _BY_PROBLEM.get(code)
    if kind is None or kind is CIMError:
        kind = RateLimited if status == 429 else Unavailable if status >= 500 else BadRequest
    error = _made(kind, message, status)
    if retry_after:
        error.retry_after = retry_after
    return error
