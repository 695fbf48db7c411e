"""Accounts for the message path: cached, since they hardly ever change."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

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
        self._clock = clock
        self._kept: OrderedDict[int, tuple[float, Account]] = OrderedDict()

    def at_hand(self, user: int) -> Account | None:
        """Return a cached account, or None."""
        kept = self._kept.get(user)
        if kept is None or kept[0] < self._clock.seconds():
            return None
        return kept[1]

    async def get(self, user: int) -> Account:
        """Return an account.

        :raises AccountMismatch: there is no account with that id
        """
        account = self.at_hand(user)
        if account is None:
            account = await self._accounts.account(user)
            if account is None:
                raise AccountMismatch()
            self.keep(account)
        return account

    async def look(self, user: int) -> Account:
        """Return an account as it is at this moment, whatever is cached.

        :raises AccountMismatch: there is no account with that id
        """
        self.forget(user)
        return await self.get(user)

    def forget(self, user: int) -> None:
        """Drop an account that was deleted."""
        self._kept.pop(user, None)

    def keep(self, account: Account) -> None:
        """Cache an account."""
        self._kept[account.id] = (self._clock.seconds() + KEPT_SECONDS, account)
        self._kept.move_to_end(account.id)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
