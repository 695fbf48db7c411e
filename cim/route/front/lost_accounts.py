"""Ends the sessions of accounts that are gone after the store went back (docs/architecture.md, Epochs)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import AccountMismatch, LinkLost, Unavailable
from cim.model import RESERVATION_SECONDS
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.together import together
from cim.route.presence.presence import Presence
from cim.supervision import Loop

#: How long a server may take to report its sessions, in seconds, before their accounts are looked up.
REPORT_SECONDS = 3.0
#: How many accounts are looked up at once.
AT_ONCE = 64
RETRY_SECONDS = 0.5


class LostAccounts(Service):
    """Looks up the accounts of the sessions whose home this route is, and ends those of accounts that are gone.

    It does so when a new epoch of the store begins, and if one has begun before this route started: then a server was
    told of an earlier one. It does so twice, because a login that was reserved before may become a session a little
    later.

    :param end: ends the sessions of a user
    :param epoch: returns the number of the store's epoch, or 0
    """

    _log = Logger()

    def __init__(
        self,
        accounts: KnownAccounts,
        presence: Presence,
        end: Callable[[int], Awaitable[object]],
        clock: IReactorTime,
        epoch: Callable[[], int],
    ) -> None:
        self._accounts = accounts
        self._presence = presence
        self._end = end
        self._epoch = epoch
        #: The earliest epoch that a server was told last, until it is compared.
        self._told = 0
        # As a set in order.
        self._waiting: dict[int, None] = {}
        self._rounds = 0
        self._loop = Loop("looking for accounts that are gone", self._look, clock)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._loop.stop()

    def look(self) -> None:
        """Look up all accounts, now and once more."""
        self._rounds = 2
        self._waiting.clear()
        self._loop.start()

    def told(self, epoch: int) -> None:
        """Look up all accounts soon if a server was last told of an epoch that is over."""
        if epoch:
            self._told = min(epoch, self._told or epoch)
            self._loop.wake(REPORT_SECONDS)

    async def _look(self) -> float | None:
        if self._told:
            if not self._epoch():
                return RETRY_SECONDS
            told, self._told = self._told, 0
            if told < self._epoch():
                self._rounds = 2
        if not self._waiting:
            if not self._rounds:
                return None
            self._rounds -= 1
            for host in self._presence.hosts.values():
                self._waiting.update(dict.fromkeys(online.user for online in host.sessions.values() if online.home))
        users = list(islice(self._waiting, AT_ONCE))
        try:
            await together([Deferred.fromCoroutine(self._check(user)) for user in users])
        except Unavailable:
            return RETRY_SECONDS
        if self._waiting:
            return 0
        return RESERVATION_SECONDS if self._rounds else None

    async def _check(self, user: int) -> None:
        try:
            await self._accounts.look(user)
        except AccountMismatch:
            await self._end_all(user)
        self._waiting.pop(user, None)

    async def _end_all(self, user: int) -> None:
        self._log.info("The account of user {user} is gone: ending the user's sessions", user=user)
        with suppress(LinkLost):  # its server is out of reach, and hears of it when it is linked again
            await self._end(user)
