"""The rows below the chat, which are redrawn: unsent messages and the status line."""

from __future__ import annotations

from datetime import datetime

from cim.client.values import State
from cim.plain import printable
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.chat import Chat
from cim.terminal.console.typed_names import typed_name

#: How many unsent messages are shown one by one.
UNSENT_ROWS = 3
_STATES = {State.CONNECTING: "◌", State.READY: "●", State.RECONNECTING: "◌", State.CLOSED: "○"}


def unsent_rows(chat: Chat) -> list[str]:
    """Return the rows of the unsent messages: the last few, below a count if there are more."""
    unsent = list(chat.unsent.values())
    rows = []
    for one in unsent[-UNSENT_ROWS:]:
        to = "" if one.talk == EVERYONE else f" → {chat.label(one.talk.name) if one.talk.name else one.talk.title}"
        line = one.text.split("\n")[0]
        line = line if len(line) <= 60 else line[:59] + "…"
        since = datetime.fromtimestamp(one.since).astimezone()
        rows.append(printable(f"{since:%H:%M} … me{to}: {line}"))
    if len(unsent) > UNSENT_ROWS:
        rows.insert(0, f"      … {len(unsent)} messages are on their way")
    return rows


def state_row(chat: Chat, where: str, typed: str) -> str:
    """Return the status line or, while several lines are being typed, the keys that send or discard them."""
    lines = typed.count("\n") + 1
    if lines > 1:
        return f" {lines} lines: Enter sends one message, Alt-Enter each line, Ctrl-C none"
    me = chat.client.me
    parts = [f" {_STATES[chat.standing]} {f'{typed_name(me.name)}@' if me is not None else ''}{where}"]
    if chat.standing is not State.READY:
        parts.append(chat.standing.value)
    typists = chat.typists()
    if typists:
        parts.append(f"{', '.join(typists[:3])} typing…")
    if chat.unread:
        titles = [f"{chat.label(name)} {count}" for name, count in list(chat.unread.items())[:4]]
        more = len(chat.unread) - len(titles)
        parts.append(f"unread: {', '.join(titles)}" + (f" and {more} more" if more else ""))
    if len(typed) > 500:
        parts.append(f"{len(typed)} characters")
    return printable(" · ".join(parts))
