"""The line editor on this process's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.output.vt100 import Vt100_Output

from cim.terminal.console.chat import Chat
from cim.terminal.console.editor import Editor

#: How many typed lines are kept, and the longest that is, in characters.
KEPT, LONGEST = 1000, 10_000


class TypedLines(InMemoryHistory):
    """The history of typed lines, in a file that only its user can read; a line break is stored as `\\\\n`.

    :param path: the file; empty to keep none
    """

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__([line.replace("\\n", "\n") for line in self._read()])

    def _read(self) -> list[str]:
        try:
            with open(self._path, encoding="utf-8", errors="replace", newline="\n") as file:
                lines = file.read().splitlines()
            if len(lines) > 2 * KEPT:
                lines = lines[-KEPT:]
                with open(self._path, "w", encoding="utf-8", newline="\n") as file:
                    file.writelines(f"{line}\n" for line in lines)
            return lines
        except OSError:
            return []  # missing or unreadable: the history is only a convenience

    def store_string(self, string: str) -> None:
        """Append a line to the file."""
        super().store_string(string)
        if self._path and len(string) <= LONGEST:
            try:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                with open(os.open(self._path, flags, 0o600), "a", encoding="utf-8", errors="replace") as file:
                    file.write(string.replace("\n", "\\n") + "\n")
            except OSError:
                self._path = ""


def editor(
    chat: Callable[[Any], Chat],
    commands: Sequence[Any],
    clock: Any,
    leave: Callable[[int], None],
    *,
    colour: bool,
    where: str,
    typed: str,
    term: str,
    banner: Sequence[str],
) -> Editor:
    """Return the editor on standard input and output, which must be a terminal."""
    # twistd has replaced sys.stdout by its log.
    stdin, stdout = sys.__stdin__, sys.__stdout__
    assert stdin is not None and stdout is not None

    def size() -> Size:
        columns, rows = os.get_terminal_size(stdout.fileno())
        # A terminal of unknown size reports 0 by 0.
        return Size(rows=rows or 24, columns=columns or 80)

    # Never ask for the cursor's position: not all terminals answer, and nothing here needs it.
    output = Vt100_Output(stdout, size, term=term, enable_cpr=False)
    return Editor(
        chat,
        commands,
        clock,
        leave,
        input=Vt100Input(stdin),
        output=output,
        history=TypedLines(typed),
        colour=colour,
        where=where,
        banner=banner,
    )
