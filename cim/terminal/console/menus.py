"""Completion for prompt_toolkit, and the colours that it draws with."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.styles import Style

from cim.plain import printable
from cim.terminal.console.chat import Chat
from cim.terminal.console.completion import offers

STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "dim": "ansibrightblack",
        "good": "ansigreen",
        "warn": "ansiyellow",
        "bad": "ansired",
        "bar": "reverse",
        "completion-menu": "bg:ansibrightblack fg:ansiwhite",
        "completion-menu.completion.current": "bg:ansicyan fg:ansiblack",
    }
)


class Offers(Completer):
    """Offers completions for a single line, and none for text of several lines."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """See Completer."""
        if "\n" not in document.text:
            for text, length, about in offers(self._chat, document.text_before_cursor):
                yield Completion(text, -length, display=printable(text).strip() or text, display_meta=about)
