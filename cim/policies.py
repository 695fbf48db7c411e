"""What a policy is asked, and what it may answer (docs/hooks.md)."""

from __future__ import annotations

import enum

from attrs import field, frozen

from cim.errors import CIMError, InvalidField
from cim.names import check_new_name
from cim.traces import UNTRACED, Trace
from cim.wire.native import MAX_CONTENT

#: The most characters of a reason that is passed on.
MAX_REASON = 200
#: What somebody is told who is given no reason.
NO_REASON = "this is not allowed here"


class About(enum.StrEnum):
    """What a policy may be asked about."""

    TEXT = "text"
    EDIT = "edit"
    REACTION = "reaction"
    #: The name of a new account.
    ACCOUNT = "account"
    #: The name of a group, new or old.
    GROUP = "group"
    #: Somebody is to become a member of a group.
    JOIN = "join"


@frozen(kw_only=True)
class Question:
    """What a policy is asked about.

    :param text: what is said, or the name; empty for a JOIN
    :param user: who says or does it; 0 for a stranger who makes an account
    :param name: the name of that user; empty for a stranger
    :param conversation: where; empty where there is none yet
    :param member: of a JOIN, who is to become a member
    :param client_id: of a message: its sender's own id for it
    :param ref: of an EDIT or a REACTION: the position of the message that it refers to
    :param data: what goes with the text
    :param content_type: the type of `data`
    :param trace: that of a message, if it is traced
    """

    about: About
    text: str
    user: int = 0
    name: str = ""
    conversation: str = ""
    member: int = 0
    client_id: str = ""
    ref: str = ""
    data: bytes = b""
    content_type: str = ""
    trace: Trace = UNTRACED


def _reason(text: str) -> str:
    """Return a reason in one line that can be shown to users."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line[:MAX_REASON] or NO_REASON


@frozen
class Verdict:
    """What a policy answers; made by `ALLOWED`, `refused` and `changed`.

    :ivar reason: why it is refused, for its sender; None if it is not
    :ivar text: what is to be said in place of what was; None if nothing is changed
    """

    reason: str | None = field(default=None)
    text: str | None = field(default=None)


#: Nothing stands against it.
ALLOWED = Verdict()


def refused(reason: str = "") -> Verdict:
    """Return the verdict that something must not be said or done.

    :param reason: what its sender is told; at most MAX_REASON characters in one line are
    """
    return Verdict(reason=_reason(reason))


def changed(text: str) -> Verdict:
    """Return the verdict that something is to be said otherwise."""
    return Verdict(text=text)


def check_verdict(question: Question, verdict: object) -> Verdict:
    """Return a verdict if it can be followed; that nothing is changed if it changes nothing.

    A TEXT, an EDIT and the name of a group may be changed; nothing else.

    :raises ValueError: it cannot; says why
    """
    if not isinstance(verdict, Verdict):
        raise ValueError("is no verdict")
    if verdict.reason is not None or verdict.text is None or verdict.text == question.text:
        return verdict if verdict.reason is not None else ALLOWED
    text = verdict.text
    if question.about in (About.TEXT, About.EDIT):
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ValueError("has lone surrogates in its text") from None
        if not 0 < size + len(question.data) <= MAX_CONTENT:
            raise ValueError(f"has a text that is empty, or larger than {MAX_CONTENT} bytes with its data")
    elif question.about is About.GROUP:
        try:
            check_new_name(text, "text")
        except (CIMError, UnicodeError) as error:
            raise ValueError(f"has no name of a group: {error}") from None
    else:
        raise ValueError(f"changes what cannot be changed: {question.about}")
    return verdict


def check_kinds(kinds: object) -> frozenset[About]:
    """Return what a policy is to be asked about, given in words.

    :raises InvalidField: it is no list of some of these words
    """
    try:
        found = frozenset(map(About, kinds))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        found = frozenset()
    if not found:
        raise InvalidField("kinds", f"must be some of {', '.join(About)}")
    return found
