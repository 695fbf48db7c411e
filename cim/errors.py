"""Every error of CIM, as one hierarchy. What each is on the wire stands in `cim.wire.error_table`, a row for each."""

from __future__ import annotations


class CIMError(Exception):
    """Something was refused or failed; the message is a sentence that a user may read.

    :ivar retry_after: seconds after which the same may be asked again; 0 when nobody knows
    """

    text = "Failure"
    retry_after = 0

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else self.text)

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self.args[0])


class InvalidField(CIMError):
    """A value from outside is missing, mistyped or out of bounds; names the field."""

    text = "invalid argument"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"invalid argument: {field} {reason}")
        self.field = field
        self.reason = reason


class BadRequest(CIMError):
    """An HTTP request that cannot be understood at all; carries the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RepeatLogin(CIMError):
    """The user has a live session already and the login policy refuses a second one."""

    text = "Repeat login, log out an account please!"


class RateLimited(CIMError):
    """The caller asks more often than it may, or more is queued than the bound allows."""

    text = "请求限流"

    def __init__(self, message: str | None = None, retry_after: int = 0) -> None:
        """
        :param retry_after: seconds after which it may be tried again; 0 when nobody knows
        """
        super().__init__(message)
        self.retry_after = retry_after


class UserOffline(CIMError):
    """The receiver has no live session, or none that the message could be written to."""

    text = "You selected user is offline!, please try again later!"


class NoServerAvailable(CIMError):
    """No living server can take a session."""

    text = "cim server is not available, please try again later!"


class AccountMismatch(CIMError):
    """No such account, or its name is another."""

    text = "The User information you have used is incorrect!"


class Misdirected(CIMError):
    """A client was sent to a server's address that cannot be right; the operator has to change an option."""


class Unavailable(CIMError):
    """A part that CIM needs is away; what was asked may or may not have been done."""

    text = "temporarily unavailable, please try again"


class StoreUnavailable(Unavailable):
    """Redis or SQLite did not answer in time or at all."""

    text = "the store is not available, please try again"


class RegistryUnavailable(Unavailable):
    """ZooKeeper did not answer in time or at all."""

    text = "the registry is not available, please try again"


class LinkLost(Unavailable):
    """The link to a server went away before it answered."""

    text = "the server's link was lost, please try again"


class Unreachable(Unavailable):
    """No connection could be made: nothing was sent, so nothing was done."""

    text = "no connection could be made, please try again"


class CallTimeout(Unavailable):
    """An answer did not come in time: whether it was done is unknown."""

    text = "no answer in time, please try again"


class OutOfOrder(Unavailable):
    """The message that must be stored before this one is not: nothing was stored, so it may come again behind it."""

    text = "the message before it is not stored, please send that one first"


class ProtocolViolation(CIMError):
    """Bytes that the wire protocol does not allow; the connection that sent them ends.

    :cvar kind: the short name under which it is counted
    """

    kind = "protocol"


class FrameTooLarge(ProtocolViolation):
    """A frame announces more bytes than the limit."""

    kind = "frame-too-large"


class BadFrame(ProtocolViolation):
    """A frame's length or content cannot be decoded."""

    kind = "bad-frame"


class BadLogin(ProtocolViolation):
    """A first frame that is no login, or a second one that claims another id."""

    kind = "bad-login"


class HandshakeFailed(CIMError):
    """The other end of a link did not prove that it knows the cluster's secret."""


class RepeatedEnd(CIMError):
    """An /offLine that repeats one just handled; the new session it would hit stays."""

    text = "already logged out"


class Forbidden(CIMError):
    """The user may not do this."""

    text = "you are not allowed to do this"


class NotFound(CIMError):
    """What was named does not exist, or not for this user."""

    text = "not found"


class Conflict(CIMError):
    """It stands against what is there already."""

    text = "it conflicts with what is already there"


class TooLarge(CIMError):
    """More bytes, or more of something, than a limit allows."""

    text = "too large"


class Unauthorized(CIMError):
    """No proof of who is asking, or none that holds."""

    text = "not authorized"


class NotSupported(CIMError):
    """The servers, or what the client was given, do not have this."""

    text = "this server does not support it"


class HistoryUnavailable(CIMError):
    """A client's local history cannot be read or written; names the file."""

    text = "the local history is not available"
