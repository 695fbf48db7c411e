"""What Tab offers: commands, users, groups, talks, files, emoji. Pure, except that it lists folders."""

from __future__ import annotations

import os
from collections.abc import Iterable

from cim.terminal.console import emoji
from cim.terminal.console.chat import Chat

#: The most completions offered at once.
MANY = 100


def offers(chat: Chat, text: str) -> list[tuple[str, int, str]]:
    """Return the possible completions of the text typed so far.

    :returns: for each: its text, how many typed characters it replaces, and a short description
    """
    if text.startswith(":") and " " not in text:
        found = [
            (f"{word} ", len(text), command.summary)
            for command in chat.commands
            for word in command.words
            if word.startswith(text)
        ]
        return found or _emoji(text)
    if text.startswith(":"):
        word, _, rest = text.partition(" ")
        command = next((command for command in chat.commands if word in command.words), None)
        if command is not None and command.completes:
            return [(one, len(rest), about) for one, about in _arguments(chat, command.completes, rest)][:MANY]
    if text.startswith("@"):
        names = sorted(name for name in chat.users if _begins(name, text[1:]))
        return [(f"@{name} ", len(text), "") for name in names[:MANY]]
    return _emoji(text)


def _emoji(text: str) -> list[tuple[str, int, str]]:
    at = text.rfind(":")
    begun = text[at + 1 :]
    if at < 0 or len(begun) < 2 or " " in begun or (at > 0 and text[at - 1].isalnum()):
        return []
    found = sorted(alias for alias in emoji.aliases() if alias.startswith(begun))
    return [(emoji.aliases()[alias], len(begun) + 1, f":{alias}:") for alias in found[:MANY]]


def _arguments(chat: Chat, kind: str, begun: str) -> Iterable[tuple[str, str]]:
    if kind == "commands":
        wanted = ":" + begun.removeprefix(":")
        return [
            (word, command.summary)
            for command in chat.commands
            for word in command.words
            if word[: len(wanted)] == wanted
        ]
    if kind == "files":
        return _files(begun)
    groups = [title for name, title in chat.titles.items() if name.startswith("g:") and _begins(title, begun)]
    users = [name for name in chat.users if _begins(name, begun)]
    found = {"users": users, "groups": groups, "talks": users + groups}.get(kind, [])
    return [(name, "") for name in sorted(set(found))]


def _begins(name: str, typed: str) -> bool:
    """Return whether a name is being typed; the quotes of one that needs them may be left to completion."""
    if " " in typed and not typed.startswith('"'):
        return False  # what has a space and no quotes is a name and a text
    return name.removeprefix('"').lower().startswith(typed.removeprefix('"').lower())


def _files(begun: str) -> list[tuple[str, str]]:
    folder, name = os.path.split(begun)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = [
                os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(name) and (name or not entry.name.startswith("."))
            ]
    except OSError:
        return []
    return [(path, "") for path in sorted(found)]
