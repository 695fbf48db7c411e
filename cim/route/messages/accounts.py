"""Accounts for the message path: cached, since they hardly ever change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
from cim.errors import AccountMismatch
from cim.interfaces import IAccounts
from cim.model import Account

MAX_KEPT = 100_000
#: How long an account is cached, in seconds: one that another route deleted may seem to exist for that long.
KEPT_SECONDS = 30.0


class KnownAccounts:
    """Caches accounts that were found, but never that one is missing, since it may be registered next."""

    def __init__(self, accounts: IAccounts, clock: IReactorTime) -> None:
        self._accounts = accounts
        self._kept: Cache[int, Account] = Cache(clock.seconds, KEPT_SECONDS, MAX_KEPT)
        #: Returns a cached account, or None.
        self.at_hand = self._kept.get

    async def get(self, user: int) -> Account:
        """Return an account.

        :raises AccountMismatch: there is no account with that id
        """
        return self.at_hand(user) or await self.look(user)

    async def look(self, user: int) -> Account:
        """Return an account as it is at this moment, whatever is cached.

        :raises AccountMismatch: there is no account with that id
        """
        return await self._kept.look_up(user, self._look_up)

    async def some(self, users: Iterable[int]) -> dict[int, Account]:
        """Return those of some accounts that are there, by id; those that are not cached are read at once."""
        found = {user: self.at_hand(user) for user in users}
        missing = [user for user, account in found.items() if account is None]
        if missing:
            read = await self._accounts.accounts(missing)
            for account in read.values():
                self.keep(account)
            found |= read
        return {user: account for user, account in found.items() if account is not None}

    async def look_all(self, users: Sequence[int]) -> Mapping[int, Account]:
        """Return those of some accounts that are there at this moment, whatever is cached."""
        found: Mapping[int, Account] = await self._accounts.accounts(users)
        for account in found.values():
            self.keep(account)
        return found

    async def names(self, users: Sequence[int]) -> list[str]:
        """Return the names of some accounts; that of one that is just being deleted is empty."""
        found = await self.some(users)
        return [found[user].name if user in found else "" for user in users]

    async def _look_up(self, user: int) -> Account:
        account = await self._accounts.account(user)
        if account is None:
            raise AccountMismatch()
        return account

    def forget(self, user: int) -> None:
        """Drop an account that was deleted."""
        self._kept.forget(user)

    def forget_all(self) -> None:
        """Drop all cached accounts: the store may have gone back."""
        self._kept.clear()

    def keep(self, account: Account) -> None:
        """Cache an account."""
        self._kept.keep(account.id, account)
