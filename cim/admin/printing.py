"""How `cim-admin` prints: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from attrs import frozen

from cim.plain import printable


def when(ms: int) -> str:
    """Return a time, given in ms since 1970, as people read it."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


@frozen
class Column:
    """A column of a table.

    :param title: its heading; its values are in the field of that name in lower case, unless `of` says otherwise
    :param of: returns what is shown of a row
    """

    title: str
    of: Callable[[Mapping[str, Any]], Any] | None = None

    def shown(self, row: Mapping[str, Any]) -> str:
        """Return what is shown of a row, on one line, with nothing in it that a terminal obeys."""
        value = row[self.title.lower()] if self.of is None else self.of(row)
        return printable("" if value is None else str(value))


class Table:
    """Rows that are printed as they come.

    :param columns: what is shown of a row; a script gets all of it
    """

    def __init__(self, printing: Printing, columns: Sequence[Column]) -> None:
        self._printing = printing
        self._columns = columns
        self._widths: list[int] = []

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print some rows; those that come first say how wide the columns are."""
        rows = list(rows)
        if self._printing.json:
            for row in rows:
                self._printing.line(_json(row))
            return
        lines = [[column.shown(row) for column in self._columns] for row in rows]
        if lines and not self._widths:
            lines.insert(0, [column.title for column in self._columns])
            self._widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            self._printing.line("  ".join(cell.ljust(width) for cell, width in zip(line, self._widths, strict=True)))


class Printing:
    """Prints what a command has to say.

    :param out: takes what was asked for
    :param err: takes what people want to know beside it
    :param json: whether it is for scripts
    """

    def __init__(self, out: TextIO, err: TextIO, *, json: bool = False) -> None:
        self._out = out
        self._err = err
        self.json = json

    def table(self, columns: Sequence[Column]) -> Table:
        """Return a table to which rows can be added."""
        return Table(self, columns)

    def one(self, value: Mapping[str, Any], text: str) -> None:
        """Print one thing: the value for scripts, the text for people, of which nothing is printed if it is empty."""
        if self.json:
            self.line(_json(value))
        elif text:
            self.line(text)

    def note(self, text: str) -> None:
        """Tell people something; scripts do not want to know."""
        if not self.json:
            self._err.write(f"{text}\n")

    def line(self, text: str) -> None:
        """Print a line as it is."""
        self._out.write(f"{text.rstrip()}\n")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
