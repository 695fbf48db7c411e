"""Which accounts are guests': those without a password, the only ones that upstream's API acts for."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
from cim.errors import AccountMismatch
from cim.interfaces import ICredentials
from cim.route.messages.accounts import KnownAccounts

MAX_KEPT = 100_000
#: How long an account that was given a password through another route may still be taken for a guest's.
KEPT_SECONDS = 3.0


class GuestAccounts:
    """Remembers accounts that were found to have no password."""

    def __init__(self, accounts: KnownAccounts, credentials: ICredentials, clock: IReactorTime) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._kept: Cache[int, bool] = Cache(clock.seconds, KEPT_SECONDS, MAX_KEPT)

    def at_hand(self, user: int) -> bool:
        """Whether an account is remembered to have no password."""
        return self._kept.get(user) is not None

    async def check(self, user: int, *, anew: bool = False) -> None:
        """Check that there is such an account, and that it has no password: of the others an id proves nothing.

        :param anew: whatever is remembered: what is granted lasts
        :raises AccountMismatch: there is none, or it has one; nobody learns which
        """
        if anew or not self.at_hand(user):
            await self._kept.look_up(user, self._look_up)

    async def _look_up(self, user: int) -> bool:
        await self._accounts.get(user)
        if await self._credentials.credential(user) is not None:
            raise AccountMismatch()
        return True

    def forget_all(self) -> None:
        """The store may have gone back."""
        self._kept.clear()

    def forget(self, user: int) -> None:
        """The account has a password now."""
        self._kept.forget(user)
