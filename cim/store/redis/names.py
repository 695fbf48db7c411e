"""The comparison forms of names in Redis, and how accounts that earlier releases made get theirs.

    cim:form:{<percent-encoded form>}    the ids of the accounts that have it, the one that holds it first
    cim:names-indexed                    exists once all accounts that were there have theirs

An account gets the form with its name, in one step. Accounts that are there without one, made by an earlier release or
by upstream's, are gone through once when a route starts; until that is done no account is made, lest it looks like one
of them. Several routes may do this at once: of twins the oldest, which has the lowest id, holds the form, whatever the
order, and when it is deleted the next one does. An account that an earlier release makes later gets its form when it is
next looked up by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import StoreUnavailable, Unavailable
from cim.model import ID_LIMIT
from cim.names import comparison_form
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.connection import RedisConnection

_NAME = "index_names"
#: About how many accounts are gone through in one step: others are served between steps.
STEP = 100
#: How long a new account waits for the others to be gone through, seconds.
WAIT_SECONDS = 2.0
_IDS = re.compile(rb"[1-9][0-9]*( [1-9][0-9]*)*")
_ACCOUNT = re.compile(rb"%b([1-9][0-9]*)" % Key.ACCOUNT.encode())


def form_key(form: str) -> str:
    """Return the key of a comparison form."""
    return Key.NAME_FORM.of(quote(form, safe=""))


def ids_of(value: bytes | None) -> tuple[int, ...]:
    """Return the accounts that have a form, given the value of its key; the first one holds it."""
    return tuple(int(id) for id in value.split(b" ")) if value is not None and _IDS.fullmatch(value) else ()


def form_value(ids: Iterable[int]) -> str:
    """Return the value of the key of a form that accounts have."""
    return " ".join(map(str, sorted(set(ids))))


class NameForms:
    """Gives forms to the accounts that are there without one."""

    _log = Logger()

    def __init__(self, connection: RedisConnection, changing: Changing, clock: IReactorTime) -> None:
        self._connection = connection
        self._changing = changing
        self._clock = clock
        self._complete = False
        self._running = False
        self._waiting: list[Deferred[None]] = []

    def begin(self) -> None:
        """Go through all accounts unless that was done: a route starts, or Redis is back, maybe with other data."""
        self._complete = False
        if not self._running:
            self._running = True
            running = Deferred.fromCoroutine(self._run())
            running.addErrback(lambda failure: self._log.failure("failed to index the names of accounts", failure))

    async def complete(self) -> None:
        """Wait until every account has its form.

        :raises StoreUnavailable: Redis does not answer, or it takes too long
        """
        if self._complete:
            return
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self.begin()
        await waiting.addTimeout(WAIT_SECONDS, self._clock, self._late)

    @staticmethod
    def _late(result: Any, seconds: float) -> Any:
        raise StoreUnavailable("the names of old accounts are being indexed: try again in a moment")

    async def _run(self) -> None:
        error: Unavailable | None = None
        try:
            (done,) = await self._connection.commands(_NAME, ("EXISTS", Key.NAMES_INDEXED))
            if not done:
                await self._index_all()
            self._complete = True
        except Unavailable as unavailable:
            error = unavailable
        finally:
            self._running = False
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if self._complete:
                    one.callback(None)
                else:
                    one.errback(error or StoreUnavailable())

    async def _index_all(self) -> None:
        cursor: bytes | int = 0
        seen = 0
        while True:
            scan = ("SCAN", cursor, "MATCH", f"{Key.ACCOUNT}*", "COUNT", STEP, "TYPE", "string")
            ((cursor, keys),) = await self._connection.commands(_NAME, scan)
            ids = [int(match[1]) for key in keys if (match := _ACCOUNT.fullmatch(key)) and int(match[1]) < ID_LIMIT]
            if ids:
                (names,) = await self._connection.commands(_NAME, ("MGET", *(f"{Key.ACCOUNT}{id}" for id in ids)))
                forms: dict[str, list[int]] = {}
                for id, name in zip(ids, names, strict=True):
                    form = comparison_form((name or b"").decode(errors="replace"))
                    forms.setdefault(form, []).append(id)
                await self.give(forms)
                seen += len(ids)
            if int(cursor) == 0:
                break
        await self._connection.commands(_NAME, ("SET", Key.NAMES_INDEXED, 1))
        if seen:
            self._log.info("indexed the names of {count} accounts by how they look", count=seen)

    async def give(self, forms: Mapping[str, Sequence[int]]) -> None:
        """Note the accounts that have each form.

        :param forms: form -> ids; the empty form is ignored
        """
        wanted = [(form, ids) for form, ids in forms.items() if form]
        if not wanted:
            return

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            words: Words = []
            for at, ((_, ids), (value,)) in enumerate(zip(wanted, replies, strict=True), 1):
                there = ids_of(value)
                if not set(ids) <= set(there):
                    words += 3, "SET", at, form_value((*there, *ids))
            return Decision(words)

        words: list[str | int] = []
        for at in range(1, len(wanted) + 1):
            words += 2, "MGET", at
        keys = [form_key(form) for form, _ in wanted]
        await self._changing.change(_NAME, keys, Facts(len(wanted), 0, words), decide, [[None]] * len(wanted))
