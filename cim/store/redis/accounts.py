"""Accounts in Redis.

    cim-account:<id>                   the name                    upstream's format
    cim-name:<percent-encoded name>    the id
    cim:last-account-id                the highest id given

Upstream keeps the id of a name under the bare name, which may be any key at all. It is read when we have no
`cim-name:` for it, and believed only when it holds `cim-account:<id>` and that account has this very name; it is
never written (docs/upstream.md). As upstream may write `cim-account:<id>` at any key, ours included, what is no id
there counts as absent.

The name is written last: it must not lead to an account that is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import Conflict
from cim.icim import IAccounts
from cim.model import ID_LIMIT, Account
from cim.store.redis.changing import Changing, Command, Decision, Facts, Seen
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

_ID = re.compile(rb"[1-9][0-9]*")
_UPSTREAM = re.compile(rb"%b([1-9][0-9]*)" % Key.ACCOUNT.encode())


def name_key(name: str) -> str:
    """Return our key of a name."""
    return f"{Key.ACCOUNT_NAME}{quote(name, safe='')}"


def account_key(user: int) -> str:
    """Return the key of an account."""
    return f"{Key.ACCOUNT}{user}"


@implementer(IAccounts)
class RedisAccounts:
    """Accounts that all routes share."""

    def __init__(self, connection: RedisConnection, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        return self._changing.operation("register", self._register(name))

    async def _register(self, name: str) -> Account:
        id, _ = await self._find_or_make("register", name)
        return Account(id, name)

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.command("account", "MGET", account_key(user)).addCallback(
            lambda found: None if found[0] is None else Account(user, found[0].decode(errors="replace"))
        )

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._changing.operation("named", self._named(name))

    async def _named(self, name: str) -> Account | None:
        id, _ = await self._find("named", name)
        return None if id is None else Account(id, name)

    def create(self, name: str, password: str) -> Deferred[Account]:
        """Make an account with a credential; see ICredentials."""
        return self._changing.operation("create_account", self._create(name, password))

    async def _create(self, name: str, password: str) -> Account:
        id, made = await self._find_or_make("create_account", name, password)
        if not made:
            raise Conflict("this name is taken")
        return Account(id, name)

    async def _find(self, operation: str, name: str) -> tuple[int | None, bytes | None]:
        """Return the id of a name, and what our key of it holds."""
        (ours,), (theirs,) = (await self._changing.look(operation, ("MGET", name_key(name)), ("MGET", name))).replies
        if ours is not None and _ID.fullmatch(ours):
            return int(ours), ours
        match = _UPSTREAM.fullmatch(theirs or b"")
        if match is None or int(match[1]) >= ID_LIMIT:
            return None, ours
        id = int(match[1])
        (its_name,) = await self._connection.command("account", "MGET", account_key(id))
        return (id if its_name == name.encode() else None), ours

    async def _find_or_make(self, operation: str, name: str, password: str | None = None) -> tuple[int, bool]:
        """Return the id of a name, and whether its account was made now.

        :param password: of the account that is made; a guest's has none
        """
        while True:
            known, held = await self._find(operation, name)
            if known is not None:
                return known, False
            made = await self._make(operation, name, held, password)
            if made is not None:
                return made, True

    async def _make(self, operation: str, name: str, held: bytes | None, password: str | None) -> int | None:
        """Return the id of the new account of a name; None when somebody was faster.

        :param held: what our key of the name holds while it is nobody's
        """
        key = name_key(name)
        id = await self._changing.change(operation, key, Facts(()), _allot, ())
        account = account_key(id)
        commands: list[Command] = [("SET", account, name), ("SET", key, id)]
        if password is not None:
            commands.insert(0, ("HSET", Key.CREDENTIAL.of(id), "password", password, "valid_from", 0))

        def decide(seen: Seen) -> Decision[int | None]:
            if seen.replies != [[held], 0]:
                return Decision(lambda _: None)
            return Decision(lambda _: id, commands)

        facts = Facts([("MGET", key), ("EXISTS", account)])
        return await self._changing.change(operation, key, facts, decide, [[held], 0])


def _allot(seen: Seen) -> Decision[int]:
    return Decision(lambda given: int(given[0]), [("ID", Key.LAST_ACCOUNT)])
