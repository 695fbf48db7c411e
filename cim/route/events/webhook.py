"""What an operator configures of a webhook (docs/webhooks.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from attrs import field, frozen

from cim.errors import InvalidField
from cim.private_files import BadFile, read_private
from cim.standard_webhooks import read_secret
from cim.wire import conversations

#: What is sent from the logs: at least once, and in order within a conversation.
LOGGED = ("message.sent", "message.edited", "message.recalled", "message.reaction", "group.changed", "gap")
#: What is sent at most once.
MOMENTARY = (
    *("session.began", "session.ended", "user.online", "user.offline", "receipt.read", "account.created"),
    "account.deleted",
)
#: The most webhooks, and requests under way to one of them.
MOST = 16
MOST_AT_ONCE = 16
_NAME = re.compile("[a-z0-9][a-z0-9-]{0,31}")
_CONVERSATIONS = re.compile(r"[pg]:\*")
_KEYS = frozenset({"name", "url", "secret-file", "events", "conversations", "seconds", "at-once"})
_NO_KEY = "has no key {!r}; its keys are {}"


@frozen
class Webhook:
    """Whom to send what.

    :param name: what its places, metrics and health are called by
    :param secrets: with which it is signed; two while one takes the place of the other
    :param events: the types that it gets
    :param conversations: those that it gets, by their names, or `p:*` or `g:*`; empty for all
    :param seconds: how long it may take to answer
    :param at_once: the most requests under way
    """

    name: str
    url: str
    secrets: tuple[bytes, ...] = field(repr=False)
    events: frozenset[str] = frozenset(LOGGED)
    conversations: frozenset[str] = frozenset()
    seconds: float = 10.0
    at_once: int = 8

    @property
    def follows(self) -> bool:
        """Whether it gets anything from the logs."""
        return not self.events.isdisjoint(LOGGED)

    def wants(self, type: str, conversation: str = "") -> bool:
        """Return whether it gets an event.

        :param conversation: in which it happened; empty for none
        """
        if type not in self.events:
            return False
        chosen = self.conversations
        return not (chosen and conversation) or conversation in chosen or f"{conversation[:2]}*" in chosen


def webhook_of(table: Mapping[str, Any]) -> Webhook:
    """Return what a table `[[webhook]]` of a file says.

    :raises ValueError: with the end of a sentence that begins with the table's name
    """
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ValueError(_NO_KEY.format(unknown[0][:40], ", ".join(sorted(_KEYS))))
    for key in ("name", "url"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise ValueError(f"must have a text for {key}")
    if not _NAME.fullmatch(table["name"]):
        raise ValueError("must have a name of up to 32 small letters, digits and hyphens")
    return Webhook(
        table["name"],
        table["url"],
        tuple(_secret(path) for path in _texts(table, "secret-file", 1, 2)),
        _events(_texts(table, "events", 0, 32)),
        frozenset(_conversation(name) for name in _texts(table, "conversations", 0, 1000)),
        float(_number(table, "seconds", 10.0, 0.1, 20.0)),
        int(_number(table, "at-once", 8, 1, MOST_AT_ONCE)),
    )


def check_webhooks(webhooks: Sequence[Webhook]) -> None:
    """Check all webhooks together.

    :raises ValueError: says what is wrong
    """
    if len(webhooks) > MOST:
        raise ValueError(f"there must be at most {MOST} webhooks")
    names = [webhook.name for webhook in webhooks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two webhooks are called {name}")


def _texts(table: Mapping[str, Any], key: str, least: int, most: int) -> list[str]:
    value = table.get(key, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"must have a text, or a list of texts, for {key}")
    if not least <= len(texts) <= most:
        raise ValueError(f"must have {least} to {most} texts for {key}")
    return texts


def _number(table: Mapping[str, Any], key: str, usual: float, low: float, high: float) -> float:
    value = table.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"must have a number from {low:g} to {high:g} for {key}")
    return value


def _secret(path: str) -> bytes:
    try:
        return read_secret(read_private(path).decode("ascii").strip())
    except BadFile as error:
        raise ValueError(f"has a secret-file that cannot be used: {error}") from None
    except ValueError as error:
        why = "is not ASCII" if isinstance(error, UnicodeDecodeError) else error
        raise ValueError(f"has a secret-file whose secret {why}") from None


def _events(patterns: Iterable[str]) -> frozenset[str]:
    """Return the types that match patterns; those of the logs without any. Gaps come with what has them."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = {type for type in (*LOGGED, *MOMENTARY) if fnmatchcase(type, pattern)}
        if not found:
            raise ValueError(f"has no events {pattern[:40]!r}; there are {', '.join((*LOGGED, *MOMENTARY))}")
        chosen |= found
    if not chosen or not chosen.isdisjoint(LOGGED):
        chosen.add("gap")
    return frozenset(chosen) if len(chosen) > 1 or "gap" not in chosen else frozenset(LOGGED)


def _conversation(name: str) -> str:
    if not _CONVERSATIONS.fullmatch(name):
        try:
            conversations.parse(name)
        except InvalidField as error:
            raise ValueError(f"has {name[:40]!r} among its conversations: it {error.reason}, or p:* or g:*") from None
    return name
