"""How commands list messages and users, and how a message looks in the chat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cim.client.values import Kind, Message, User
from cim.terminal.console import emoji, look
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.chat import Chat
from cim.terminal.console.typed_names import typed_name
from cim.terminal.iconsole import Line, Span

#: The most users that one call returns.
PAGE = 100


async def online_users(chat: Chat, prefix: str, most: int) -> tuple[list[User], int]:
    """Return at most `most` of the users who are online, sorted by name, and the total number."""
    users: list[User] = []
    while True:
        page, total = await chat.client.online(prefix, users[-1].name if users else "", PAGE)
        users += page
        if len(page) < PAGE or len(users) >= most:
            chat.learn(users)
            return sorted(users, key=lambda user: (user.name, user.id))[:most], max(total, len(users))


async def show_found(
    chat: Chat, messages: Sequence[Message], wanted: str = "", *, none: str = "nothing has been said yet"
) -> None:
    """List messages, the latest last, each with a number that `:recall`, `:edit` and `:react` accept.

    :param wanted: the text to highlight
    :param none: what to show if there are none, when nothing was wanted
    """
    # An edited or recalled message is shown as it is now.
    messages = [one for one in messages if one.kind in (Kind.TEXT, Kind.REACTION)]
    chat.numbered = list(reversed(messages))
    width = len(str(len(messages)))
    lines: list[Line] = []
    for index, message in zip(range(len(messages), 0, -1), messages, strict=True):
        lines.append([("dim", f"#{index:<{width}} "), *message_spans(chat, message, dated=True, wanted=wanted)])
    await chat.screen.show(lines or ["nothing was found" if wanted else none])


def message_spans(chat: Chat, message: Message, *, dated: bool = False, wanted: str = "") -> list[Span]:
    """Return the line of a message: time, mark, sender, conversation and text."""
    when = datetime.fromtimestamp(message.sent_at / 1000 if message.sent_at else chat.now()).astimezone()
    now = datetime.fromtimestamp(chat.now()).astimezone()
    day = f"{when:%Y-%m-%d} " if dated and when.date() != now.date() else ""
    read = message.mine and bool(message.position) and chat.is_read(message)
    mark = "✓✓" if read else "✓" if message.mine else ""
    spans = [("dim", f"{day}{when:%H:%M} "), ("good", f"{mark:{2 if dated else 1}} ")]
    sender = typed_name(message.sender.name)
    spans.append(("me", "me") if message.mine else (look.of_name(sender), sender))
    text = emoji.emojize(message.text)
    where = f" [{chat.title_of(message.conversation)}]" if message.group else ""
    if message.kind is Kind.RECALL:
        said = ": deleted by an operator" if message.by_operator else " took back a message"
        return [*spans, ("bold", where), ("dim", said)]
    if message.kind is Kind.REACTION:
        said = f" reacted {text}" if text else " took back a reaction"
        return [*spans, ("bold", where), ("dim", said + _about(chat, message))]
    if not where and message.conversation not in ("", EVERYONE.name):
        where = f" → {chat.title_of(message.conversation)}" if message.mine else " → me"
    spans.append(("bold", where))
    if message.kind is Kind.EDIT or message.edited:
        spans.append(("dim", " (edited)"))
    if not text and message.data:
        text = f"[{len(message.data)} bytes of {message.content_type or 'data'}]"
    elif not text:
        return [*spans, ("", ": "), ("dim", "(deleted by an operator)" if message.by_operator else "(taken back)")]
    return [*spans, ("", ": "), *(look.highlighted(text, wanted) if wanted else [("", text)])]


def _about(chat: Chat, message: Message) -> str:
    about = chat.referred(message)
    if about is None or not about.text:
        return ""
    line = about.text.split("\n")[0]
    return f": {line if len(line) <= 40 else line[:39] + '…'}"
