"""The calls of `append` that wait for the writer, which takes at once all that have come when it begins.

So one that comes while another transaction is under way neither waits for that and for one of its own behind it, nor
costs another one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from cim.daemon.sqlite import MAX_WAITING
from cim.errors import CIMError, StoreUnavailable
from cim.model import Append, Appended

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: How many calls are worth having under way: one in each turn of the reactor during a transaction.
CALLS = 8

#: The results of messages, in their order.
Results = list[Appended | CIMError]
Appends = Callable[[sqlite3.Connection, Sequence[Append]], Results]


@frozen
class _Call:
    items: Sequence[Append]
    fate: Deferred[Results]


class Gathering:
    """Appends what several calls have, in their order, as one piece of work.

    :param begin: called for each piece; returns what appends its messages in the writer's thread
    """

    def __init__(self, sqlite: Sqlite, begin: Callable[[], Appends]) -> None:
        self._sqlite = sqlite
        self._begin = begin
        # Put into by the reactor's thread; what is taken out, by either one, is that one's.
        self._waiting: deque[_Call] = deque()
        # Whether work will begin that takes what waits.
        self._asked = False

    def append(self, items: Sequence[Append]) -> Deferred[Results]:
        """Append messages; fires with their results when they are durable, or fails as `Sqlite.write` does."""
        if len(self._waiting) >= MAX_WAITING:
            return fail(StoreUnavailable())
        call = _Call(items, Deferred())
        self._waiting.append(call)
        if not self._asked:
            self._ask()
        return call.fate

    def _ask(self) -> None:
        self._asked = True
        append = self._begin()
        calls: list[_Call] = []

        def work(connection: sqlite3.Connection) -> Results:
            # First of all, for a call that comes from now on may be too late for this piece.
            self._asked = False
            items = self._take(calls)
            return append(connection, items) if items else []

        appending = self._sqlite.write("append", work)
        appending.addCallbacks(self._told, self._failed, callbackArgs=(calls,), errbackArgs=(calls,))

    def _told(self, results: Results, calls: Sequence[_Call]) -> None:
        at = 0
        for call in calls:
            end = at + len(call.items)
            call.fate.callback(results[at:end])
            at = end

    def _failed(self, failure: Failure, calls: list[_Call]) -> None:
        if not calls:  # it has not begun, and took nothing
            self._asked = False
            self._take(calls)
        for call in calls:
            call.fate.errback(failure)

    def _take(self, calls: list[_Call]) -> list[Append]:
        """Take out all calls; return their messages."""
        items: list[Append] = []
        with contextlib.suppress(IndexError):
            while True:
                call = self._waiting.popleft()
                calls.append(call)
                items += call.items
        return items
