"""A policy that is asked over HTTP: a before-hook (docs/hooks.md)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import InvalidField, Unavailable
from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, About, Question, Verdict, changed, check_kinds, refused
from cim.private_files import BadFile, read_private
from cim.route.policy.guarded import DEADLINE, Bounds
from cim.standard_webhooks import read_secret, signed
from cim.traces import UNTRACED, Trace

if TYPE_CHECKING:
    from cim.web.calling import Answer

#: The largest answer, in bytes: room for a text of which each byte is escaped.
MAX_ANSWER = 512 * 1024
#: The longest deadline of a hook, in seconds: servers give a message up after five.
LONGEST_DEADLINE = 2.0
_NAME = re.compile("[a-z0-9][a-z0-9-]{0,31}")
_KEYS = frozenset({"name", "url", "kinds", "deadline", "on-failure", "secret-file"})


class Request(Protocol):
    """Sends a request to strangers, as `cim.outgoing.client.Outgoing.request` does."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        most: int,
        trace: Trace = UNTRACED,
    ) -> Deferred[Answer]:
        """See `cim.outgoing.client`."""


@frozen
class HookSettings:
    """What an operator configures of a hook.

    :param name: what metrics and health call it
    :param secret: with which questions are signed
    """

    name: str
    url: str
    kinds: frozenset[About]
    bounds: Bounds
    secret: bytes = field(repr=False)


def hook_of(table: Mapping[str, Any]) -> HookSettings:
    """Return what a table `[[before-hook]]` of a file says.

    :raises ValueError: with the end of a sentence that begins with the table's name
    """
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ValueError(f"has no key {unknown[0][:40]!r}; its keys are {', '.join(sorted(_KEYS))}")
    texts = {key: table.get(key) for key in ("name", "url", "on-failure", "secret-file")}
    for key, text in texts.items():
        if not isinstance(text, str) or not text:
            raise ValueError(f"must have a text for {key}")
    name, url, on_failure, path = (str(text) for text in texts.values())
    if not _NAME.fullmatch(name):
        raise ValueError("must have a name of up to 32 small letters, digits and hyphens")
    if on_failure not in ("open", "closed"):
        raise ValueError(
            "must have for on-failure open (what is asked about is done all the same) or closed (it is not)"
        )
    seconds = table.get("deadline", DEADLINE)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.01 <= seconds <= LONGEST_DEADLINE:
        raise ValueError(f"must have for deadline 0.01 to {LONGEST_DEADLINE:g} seconds")
    try:
        kinds = check_kinds(table.get("kinds"))
    except InvalidField as error:
        raise ValueError(f"has wrong kinds: they {error.reason}") from None
    try:
        secret = read_secret(read_private(path).decode("ascii").strip())
    except BadFile as error:
        raise ValueError(f"has a secret-file that cannot be used: {error}") from None
    except ValueError as error:
        raise ValueError(f"has a secret-file whose secret {error}") from None
    return HookSettings(name, url, kinds, Bounds(float(seconds), on_failure == "open"), secret)


@implementer(IMessagePolicy)
class Hook:
    """Asks a hook.

    :param request: sends to strangers, no redirections followed
    :param new_id: makes a unique id
    :param time: returns the time of day, in seconds since 1970
    """

    at_once = False

    def __init__(
        self, settings: HookSettings, request: Request, new_id: Callable[[], str], time: Callable[[], float]
    ) -> None:
        self._settings = settings
        self.name = settings.name
        self.kinds = settings.kinds
        self._request = request
        self._new_id = new_id
        self._time = time

    def configured(self, argument: str) -> IMessagePolicy:
        """Return this one: it is configured."""
        return self

    def check(self, question: Question) -> Deferred[Verdict]:
        """See IMessagePolicy."""
        return Deferred.fromCoroutine(self._ask(question))

    async def _ask(self, question: Question) -> Verdict:
        id, now, settings = self._new_id(), self._time(), self._settings
        body = json.dumps(asked(question, id, now), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", **signed(settings.secret, id, int(now), body)}
        answer = await self._request(
            "POST",
            settings.url,
            headers=headers,
            body=body,
            seconds=settings.bounds.seconds,
            most=MAX_ANSWER,
            trace=question.trace,
        )
        if answer.status != 200:
            raise Unavailable(f"it answered with status {answer.status} instead of 200")
        return verdict_of(answer.body, id)


def asked(question: Question, id: str, now: float) -> dict[str, Any]:
    """Return a question as hooks get it: what does not apply is left out.

    :param now: seconds since 1970
    """
    said: dict[str, Any] = {"id": id, "kind": question.about.value, "at": int(now * 1000), "text": question.text}
    if question.user:
        said["user"] = {"id": question.user, "name": question.name}
    if question.data:
        said["data"] = base64.b64encode(question.data).decode()
    for name in ("conversation", "member", "client_id", "ref", "content_type"):
        if value := getattr(question, name):
            said[name] = value
    return said


def verdict_of(body: bytes, id: str) -> Verdict:
    """Return the verdict that an answer's body is.

    :param id: of the question: an answer to another one is none
    :raises Unavailable: it is none; says why, without quoting it
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable("its answer is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("allow"), bool):
        raise Unavailable("its answer must be an object with `allow`, true or false")
    if said.get("id", id) != id:
        raise Unavailable("its answer has the `id` of another question")
    text, reason = said.get("text"), said.get("reason")
    if not isinstance(text, str | None) or not isinstance(reason, str | None):
        raise Unavailable("`text` and `reason` of its answer must be texts")
    if not said["allow"]:
        return refused(reason or "")
    return ALLOWED if text is None else changed(text)
