"""The comparison forms of names in Redis, and how accounts that earlier releases made get theirs.

    cim:form:{<percent-encoded form>}    the ids of the accounts that have it, the one that holds it first
    cim:names-indexed                    in a store of a release before numbered schemas: they have theirs

An account gets the form with its name, in one step. Accounts that are there without one, made by an earlier release or
by upstream's, are gone through in the first step of the schema; until that is taken no account is made, lest it looks
like one of them. Several routes may do this at once: of twins the oldest, which has the lowest id, holds the form,
whatever the order, and when it is deleted the next one does. An account that an earlier release makes later gets its
form when it is next looked up by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.logger import Logger

from cim.model import ID_LIMIT
from cim.names import comparison_form
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

_NAME = "index_names"
#: About how many accounts are gone through in one step: others are served between steps.
STEP = 100
#: The schema in which all accounts that were there have their forms.
INDEXED = 1
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


def account_key(user: int) -> str:
    """Return the key of an account."""
    return f"{Key.ACCOUNT}{user}"


def id_of_account(key: bytes) -> int | None:
    """Return the id of the account with a key; None if the key is not one of an account."""
    match = _ACCOUNT.fullmatch(key)
    return int(match[1]) if match is not None and int(match[1]) < ID_LIMIT else None


class NameForms:
    """Gives forms to the accounts that are there without one."""

    _log = Logger()

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    async def index_all(self) -> None:
        """Go through all accounts, unless a release before numbered schemas did."""
        (done,) = await self._connection.commands(_NAME, ("EXISTS", Key.NAMES_INDEXED))
        cursor: bytes | int = 0
        seen = 0
        while not done:
            scan = ("SCAN", cursor, "MATCH", f"{Key.ACCOUNT}*", "COUNT", STEP, "TYPE", "string")
            ((cursor, keys),) = await self._connection.commands(_NAME, scan)
            ids = [id for key in keys if (id := id_of_account(key)) is not None]
            if ids:
                (names,) = await self._connection.commands(_NAME, ("MGET", *map(account_key, ids)))
                forms: dict[str, list[int]] = {}
                for id, name in zip(ids, names, strict=True):
                    form = comparison_form((name or b"").decode(errors="replace"))
                    forms.setdefault(form, []).append(id)
                await self.give(forms)
                seen += len(ids)
            done = int(cursor) == 0
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
