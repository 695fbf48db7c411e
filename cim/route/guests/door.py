"""Whether guests are served (docs/security.md, Guests): by option, or else by where the system is and what it stores.

A server takes a guest only after a login at a route, so routes decide for the whole cluster; sessions from before are
ended when their server reports them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import CIMError, Forbidden, Unavailable
from cim.interfaces import IAccounts
from cim.model import GUEST, Account
from cim.route.presence.presence import Online, Presence

#: What callers are told.
CLOSED = "guests are not served here: log in with a password; or the operator starts routes with --guests"
#: What operators are told, by what decided it.
OPTION, LOOPBACK, PUBLIC, STORED = "option", "loopback", "public", "stored"
_TOLD = {
    (OPTION, True): "by an option",
    (OPTION, False): "by an option",
    (LOOPBACK, True): "because all that is advertised is loopback; --no-guests closes this",
    (PUBLIC, False): "because an address is advertised that is not loopback; --guests serves them",
}


class GuestDoor(Service):
    """Lets guests in or not.

    :param asked: whether options serve them; None to do so only if the store has accounts without a password
    :param why: OPTION, LOOPBACK or PUBLIC, for the log
    :param end: ends the sessions of a guest
    :param everyone: lists all guests who are online, at whichever route
    :ivar open: whether guests are served; None until the store has said so
    """

    _log = Logger()

    def __init__(
        self,
        asked: bool | None,
        why: str,
        accounts: IAccounts,
        presence: Presence,
        end: Callable[[int], Awaitable[object]],
        everyone: Callable[[], Awaitable[Iterable[Account]]],
    ) -> None:
        self._everyone = everyone
        # Whether those are still to be ended of whom other routes are told, which may not be closed.
        self._elsewhere = True
        self.open = self._asked = asked
        self._why = why
        self._accounts = accounts
        self._presence = presence
        self._end = end
        # Those whose sessions are being ended, as a set in order.
        self._leaving: dict[int, None] = {}
        presence.observers.append(self)
        presence.on_change.append(self._look_elsewhere)

    def startService(self) -> None:
        """Say how it is, or ask the store."""
        super().startService()
        if self.open is None:
            self.look_again()
        else:
            self._tell(self._why)

    def forget(self) -> None:
        """Forget what the store said: it may have gone back."""
        self.open = self._asked

    def look_again(self) -> None:
        """Ask the store, if that is still to be done; it may be away."""
        if self.open is None:
            Deferred.fromCoroutine(self.look()).addErrback(lambda failure: failure.trap(Unavailable))

    async def look(self) -> bool:
        """Return whether guests are served.

        :raises StoreUnavailable: it depends on the store, which does not answer
        """
        if self.open is None:
            stored = await self._accounts.guests()
            if self.open is None:
                self.open = stored
                self._tell(STORED if stored else self._why)
        return bool(self.open)

    async def check(self) -> None:
        """Check that guests are served.

        :raises Forbidden: they are not
        :raises StoreUnavailable: see `look`
        """
        if not await self.look():
            raise Forbidden(CLOSED)

    def _tell(self, why: str) -> None:
        if why == STORED:
            self._log.warn(
                "Guests are served, who need no password, because the store has, or may have, accounts without one,"
                " although an address is advertised that is not loopback: say --no-guests, or --guests to keep them"
            )
        else:
            served = "served" if self.open else "not served"
            self._log.info("Guests are {served}, {why}", served=served, why=_TOLD[why, bool(self.open)])
        if not self.open:
            self._end_all(online for host in self._presence.hosts.values() for online in list(host.sessions.values()))
            self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """End, once servers have said who is told of whom, the sessions that are other routes' to tell of."""
        if self.open is False and self._elsewhere and self._presence.hosts and self._presence.agreed:
            self._elsewhere = False
            Deferred.fromCoroutine(self._end_elsewhere())

    async def _end_elsewhere(self) -> None:
        try:
            guests = await self._everyone()
        except CIMError as error:
            self._log.info("Guests of other routes are left to these: {error}", error=error.message)
        else:
            self._end_users(guest.id for guest in guests)

    def facts(self) -> dict[str, Any]:
        """Return what `/health` shows."""
        return {} if self.open is None else {"guests": self.open}

    def appeared(self, online: Online) -> None:
        """End a session that is a guest's, if none are served."""
        if self.open is False:
            self._end_all((online,))

    def vanished(self, online: Online) -> None:
        """Do nothing."""

    died = moved = vanished

    def _end_all(self, sessions: Iterable[Online]) -> None:
        self._end_users(online.user for online in sessions if online.device == GUEST)

    def _end_users(self, users: Iterable[int]) -> None:
        running = bool(self._leaving)
        self._leaving.update(dict.fromkeys(users))
        if self._leaving and not running:
            Deferred.fromCoroutine(self._end_in_turn())

    async def _end_in_turn(self) -> None:
        """End the sessions of one guest after the other: there may be many."""
        while self._leaving:
            user = next(iter(self._leaving))
            try:
                await self._end(user)
            except CIMError as error:
                self._log.info("The session of guest {user} is not over yet: {error}", user=user, error=error.message)
            del self._leaving[user]
