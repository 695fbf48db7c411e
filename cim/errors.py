"""All of CIM's errors, as one hierarchy. `cim.wire.error_table` has a row for each that says how it is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from cim.model import Sanction


class CIMError(Exception):
    """Something was refused or failed; the message is a sentence that may be shown to a user.

    :ivar retry_after: seconds after which to try again; 0 when unknown
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
    """An HTTP request cannot be understood at all; carries the HTTP status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RepeatLogin(CIMError):
    """The user already has a live session, and the login policy refuses a second one."""

    text = "Repeat login, log out an account please!"


class RateLimited(CIMError):
    """The caller asks more often than it may, or a queue is full."""

    text = "请求限流"

    def __init__(self, message: str | None = None, retry_after: int = 0) -> None:
        """
        :param retry_after: seconds after which to try again; 0 when unknown
        """
        super().__init__(message)
        self.retry_after = retry_after


class NoRoom(RateLimited):
    """The store takes no more: of this sender, in this conversation, or of anybody (docs/limits.md, History)."""

    def __init__(self, message: str | None = None, retry_after: int = 0, kind: str = "history-full") -> None:
        """
        :param kind: the short name under which it is counted
        """
        super().__init__(message, retry_after)
        self.kind = kind


class UserOffline(CIMError):
    """The recipient has no live session, or none that the message could be written to."""

    text = "You selected user is offline!, please try again later!"


class NoServerAvailable(CIMError):
    """No living server can take a session."""

    text = "cim server is not available, please try again later!"


class AccountMismatch(CIMError):
    """There is no such account, or it has a different name."""

    text = "The User information you have used is incorrect!"


class Misdirected(CIMError):
    """A client was given a server address that cannot be right; the operator must change an option."""


class Unavailable(CIMError):
    """Something that CIM needs is unavailable; what was asked may or may not have been done."""

    text = "temporarily unavailable, please try again"


class StoreUnavailable(Unavailable):
    """Redis or SQLite did not answer in time or at all."""

    text = "the store is not available, please try again"


class RegistryUnavailable(Unavailable):
    """ZooKeeper did not answer in time or at all."""

    text = "the registry is not available, please try again"


class LinkLost(Unavailable):
    """The link to a server was lost before the server answered."""

    text = "the link to the server was lost, please try again"


class Unreachable(Unavailable):
    """No connection could be made, so nothing was sent or done."""

    text = "could not connect, please try again"


class Untrusted(Unreachable):
    """A server did not prove that it is the right one, so nothing was sent to it."""


class OutgoingRefused(Unreachable):
    """A URL leads to an address that daemons may not send to, so nothing was sent."""


class Insecure(CIMError):
    """A password or messages would cross a network without TLS."""


class CallTimeout(Unavailable):
    """No answer came in time; whether it was done is unknown."""

    text = "no answer in time, please try again"


class OutOfOrder(Unavailable):
    """The message that must be stored before this one is not, so nothing was stored; send this one again after it."""

    text = "the message before this one is not stored, please send that one first"


class Undecided(Unavailable):
    """Nothing has become of it yet: a policy that must decide on it did not (docs/architecture.md, Policies)."""

    text = "this cannot be checked right now, please try again"


class ProtocolViolation(CIMError):
    """The other end sent bytes that the wire protocol does not allow; its connection ends.

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
    """A first frame is not a login, or a second one claims another id."""

    kind = "bad-login"


class HandshakeFailed(CIMError):
    """The other end of a link did not prove that it knows the cluster's secret."""


class RepeatedEnd(CIMError):
    """An /offLine repeats one that was just handled; the new session that it would end stays."""

    text = "already logged out"


class Forbidden(CIMError):
    """The user may not do this."""

    text = "you are not allowed to do this"


class InvitationNeeded(Forbidden):
    """Accounts are made by invitation, and none was given, or none that is valid."""

    text = "an invitation is needed here to make an account: ask an operator for one, and give its code"


class AccountsClosed(Forbidden):
    """Accounts are made by operators alone."""

    text = "accounts are made by operators here: ask one of them"


class Sanctioned(Forbidden):
    """Somebody who may keeps the user from doing this, for a time or for ever.

    :ivar until: when that ends, in ms since 1970; 0 for never, or if it is not known
    :ivar reason: why, for the user; empty if nobody said
    """

    until = 0
    reason = ""
    said = "{for_long} by {by}"

    @classmethod
    def of(cls, sanction: Sanction, by: str = "an operator", endless: str = "for good") -> Self:
        """Return the error that tells a user of a sanction.

        :param by: who made it
        :param endless: for how long one is that does not end by itself
        """
        for_long = f"until {date_of(sanction.until)}" if sanction.until else endless
        why = f": {sanction.reason}" if sanction.reason else ""
        error = cls(cls.said.format(for_long=for_long, by=by) + why)
        error.until, error.reason = sanction.until, sanction.reason
        return error


class Banned(Sanctioned):
    """An operator keeps this account from logging in."""

    text = "this account is banned by an operator: ask one of them"
    said = "this account is banned {for_long} by {by}"


#: What it was called before a ban could end.
Suspended = Banned


class Muted(Sanctioned):
    """An operator, or somebody who leads the group, keeps this user from saying anything."""

    text = "you are muted, and may say nothing"
    said = "you are muted {for_long} by {by}"


def date_of(ms: int) -> str:
    """Return a time for people, by the minute after it.

    :param ms: since 1970; at most in the year 9999
    """
    return f"{datetime.fromtimestamp(-(-ms // 60_000) * 60, UTC):%Y-%m-%d %H:%M} UTC"


class Refused(Forbidden):
    """A policy or a hook of the operator refused it, and says why (docs/architecture.md, Policies)."""

    text = "this is not allowed here"


class NotFound(CIMError):
    """What was named does not exist, or this user may not see it."""

    text = "not found"


class Conflict(CIMError):
    """The request conflicts with what already exists."""

    text = "it conflicts with what is already there"


class TooLarge(CIMError):
    """The request has more bytes, or more of something, than a limit allows."""

    text = "too large"


class Unauthorized(CIMError):
    """The caller gave no valid proof of who it is."""

    text = "not authorized"


class NotSupported(CIMError):
    """The servers, or the parts that the client was made with, do not support this."""

    text = "this server does not support it"


class HistoryUnavailable(CIMError):
    """A client's local history cannot be read or written; names the file."""

    text = "the local history is not available"
