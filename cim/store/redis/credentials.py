"""Credentials in Redis.

cim:auth:{<user>}    hash: password, valid_from
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import Conflict
from cim.icim import ICredentials
from cim.model import Account, Credential
from cim.store.redis.accounts import CREATE_ACCOUNT, DELETE_ACCOUNT, RedisAccounts, name_keys
from cim.store.redis.groups import LEAVE_ALL
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

#: Groups that are left in one step of deleting an account.
STEP = 100

SET_PASSWORD = script("set_password")
REVOKE = script("revoke")


@implementer(ICredentials)
class RedisCredentials:
    """Credentials that all routes share."""

    def __init__(self, connection: RedisConnection, accounts: RedisAccounts) -> None:
        self._connection = connection
        self._accounts = accounts

    def credential(self, user: int) -> Deferred[Credential | None]:
        """See ICredentials."""

        def read(held: Any) -> Credential | None:
            password, valid_from = held
            return None if password is None else Credential(password.decode(), int(valid_from or 0))

        return self._connection.command("credential", "HMGET", _key(user), "password", "valid_from").addCallback(read)

    def create(self, name: str, password: str) -> Deferred[Account]:
        """See ICredentials."""

        def created(id: Any) -> Account:
            if id is None:
                raise Conflict("this name is taken")
            return Account(int(id), name)

        keys = (*name_keys(name), Key.LAST_ACCOUNT)
        return self._connection.run(CREATE_ACCOUNT, keys, (password,)).addCallback(created)

    def set_password(self, user: int, password: str, now: int) -> Deferred[bool]:
        """See ICredentials."""
        keys = (f"{Key.ACCOUNT}{user}", _key(user))
        return self._connection.run(SET_PASSWORD, keys, (password, now)).addCallback(bool)

    def revoke(self, user: int, now: int) -> Deferred[None]:
        """See ICredentials."""
        return self._connection.run(REVOKE, (_key(user),), (now,)).addCallback(lambda _: None)

    def delete(self, user: int) -> Deferred[bool]:
        """See ICredentials."""
        return Deferred.fromCoroutine(self._delete(user))

    async def _delete(self, user: int) -> bool:
        # The account last: what was left of an attempt that failed is found again by the next.
        account = await self._accounts.account(user)
        while await self._connection.run(LEAVE_ALL, (), (user, STEP)):
            pass
        # Marks of devices expire by themselves.
        await self._connection.command("delete", "UNLINK", Key.ACTIVITY.of(user))
        name_key, _ = name_keys(account.name if account is not None else "")
        return bool(await self._connection.run(DELETE_ACCOUNT, (f"{Key.ACCOUNT}{user}", _key(user), name_key), (user,)))


def _key(user: int) -> str:
    return Key.CREDENTIAL.of(user)
