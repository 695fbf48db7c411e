"""The people of a store in Redis: the accounts with a password, found by the beginning of their comparison forms.

    cim:people         sorted set, all scores 0: `<form> NUL <id, with 16 digits>` for each of them
    cim:auth:{<id>}    hash: `listed` is 1 if the account is in there

An account comes into the set as it is made, or gets its first password, and leaves it when it is deleted. Those that
are there without are gone through in a step of the schema. One that a route of an earlier release makes after that is
not `listed`, and is put in when its credential is next read, as each login and the first call with a token do; one that
such a route deletes stays in until somebody finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from cim.model import Account, Listing
from cim.names import comparison_form
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key, id_of_account

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

_NAME = "list_people"
#: About how many accounts are gone through in one step: others are served between steps.
STEP = 100
#: Behind all that UTF-8 has.
_LAST = b"\xff"


def member_of(form: str, user: int) -> str:
    """Return the member of the set for an account whose name has a comparison form."""
    return f"{form}\0{user:016d}"


class People:
    """Puts people into the set, and finds them in it."""

    _log = Logger()

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    async def put_all(self) -> None:
        """Go through all accounts."""
        cursor: bytes | int | None = None
        seen = 0
        while cursor is None or int(cursor):
            scan = ("SCAN", cursor or 0, "MATCH", f"{Key.ACCOUNT}*", "COUNT", STEP, "TYPE", "string")
            ((cursor, keys),) = await self._connection.commands(_NAME, scan)
            ids = [id for key in keys if (id := id_of_account(key)) is not None]
            if ids:
                await self.put(ids)
            seen += len(ids)
        if seen:
            self._log.info("noted which of {count} accounts can be found by the beginnings of their names", count=seen)

    async def put(self, users: Sequence[int]) -> None:
        """Put those of some accounts into the set that belong there."""

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            words: Words = []
            for at, user in enumerate(users):
                (name,), (password, listed) = replies[2 * at : 2 * at + 2]
                if name is not None and password is not None and listed is None:
                    if form := comparison_form(name.decode(errors="replace")):
                        words += 4, "ZADD", 1, 0, member_of(form, user)
                    words += 4, "HSET", 3 + 2 * at, "listed", 1
            return Decision(words)

        keys: list[str] = [Key.PEOPLE]
        words: list[str | int] = []
        for at, user in enumerate(users):
            keys += account_key(user), Key.CREDENTIAL.of(user)
            words += 2, "MGET", 2 + 2 * at, 4, "HMGET", 3 + 2 * at, "password", "listed"
        await self._changing.change(_NAME, keys, Facts(2 * len(users), 0, words), decide)

    async def found(self, form: str, whole: bool, after: str, limit: int) -> Listing[Account]:
        """Return those whose forms begin with a text; see IAccounts.people."""
        start, end = form.encode(), form.encode() + (b"\x01" if whole else _LAST)
        first = b"(" + after.encode() if after else b"[" + start + (b"\0" if whole else b"")
        by_form = ("ZRANGEBYLEX", Key.PEOPLE, first, b"(" + end, "LIMIT", 0, limit + 1)
        (members,) = await self._connection.commands("people", by_form)
        page = members[:limit]
        users = [int(member.rpartition(b"\0")[2]) for member in page]
        names = (await self._connection.commands("people", ("MGET", *map(account_key, users))))[0] if users else ()
        gone = [member for member, name in zip(page, names, strict=True) if name is None]
        if gone:
            await self._connection.commands("people", ("ZREM", Key.PEOPLE, *gone))
        accounts = [
            Account(user, name.decode(errors="replace"))
            for user, name in zip(users, names, strict=True)
            if name is not None
        ]
        return Listing(accounts, page[-1].decode() if len(members) > limit else "")
