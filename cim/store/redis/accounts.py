"""Accounts in Redis.

    cim-account:<id>                   the name                    upstream's format
    cim-name:<percent-encoded name>    the id
    cim:last-account-id                the highest id given

Upstream keeps the id of a name under the bare name, which may be any key at all. It is read when we have no
`cim-name:` for it, and believed only when it holds `cim-account:<id>` and that account has this very name; it is
never written (UPSTREAM.md section 5). As upstream may write `cim-account:<id>` at any key, ours included, what is no
id there counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.icim import IAccounts
from cim.model import Account
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

ACCOUNT = script("account", "account_names")
NAMED = script("named", "account_names")
REGISTER = script("register", "account_names")
CREATE_ACCOUNT = script("create_account", "account_names")
DELETE_ACCOUNT = script("delete_account")


def name_keys(name: str) -> tuple[str, str]:
    """Return our key of a name, and upstream's."""
    return f"{Key.ACCOUNT_NAME}{quote(name, safe='')}", name


@implementer(IAccounts)
class RedisAccounts:
    """Accounts that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        return self._connection.run(REGISTER, (*name_keys(name), Key.LAST_ACCOUNT), ()).addCallback(
            lambda id: Account(int(id), name)
        )

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.run(ACCOUNT, (f"{Key.ACCOUNT}{user}",), ()).addCallback(
            lambda name: None if name is None else Account(user, name.decode(errors="replace"))
        )

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.run(NAMED, name_keys(name), ()).addCallback(
            lambda id: None if id is None else Account(int(id), name)
        )
