"""The guest generation (W2) under a `Client`: for servers of upstream, and for accounts of its API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from cim.client.api import RouteAPI
from cim.client.guest_session import GuestSession
from cim.client.v1 import V1Calls
from cim.client.values import Message, Sent, State, User, Waiting
from cim.ecim import NotSupported
from cim.wire import conversations


class Owner(Protocol):
    """Whose engine it is."""

    def to_state(self, state: State, reason: str) -> None:
        """It stands elsewhere."""

    def identified(self, user: User) -> None:
        """It is known who is logged in."""

    def hand(self, message: Message) -> bool:
        """Give a message to the listeners; False when nothing more is wanted."""


class GuestEngine:
    """One guest.

    Messages have no positions, and whether one was for everyone or for us alone is not told: those of others are given
    as private ones, so that an answer goes to nobody who should not read it.
    """

    def __init__(
        self,
        owner: Owner,
        api: RouteAPI,
        name: str,
        reactor: Any,
        random: Callable[[], float],
        endpoint: Callable[[str, int], IStreamClientEndpoint],
    ) -> None:
        self._owner = owner
        self._reactor = reactor
        self._guest = GuestSession(api, name, reactor, random, self._received, self._state, endpoint=endpoint)

    @property
    def _me(self) -> User:
        account = self._guest.account
        return User(account.id, account.name) if account is not None else User(0, self._guest.user_name)

    async def run(self) -> None:
        """Be online until cancelled.

        :raises CIMError: the first login is refused for good
        """
        self._guest.startService()
        raise await self._guest.when_refused()

    async def leave(self) -> None:
        """Leave in good order, within bounds."""
        await self._guest.stopService()

    def close(self) -> None:
        """See Engine: whoever waits was told already."""

    def mark_read(self, conversation: str, position: str) -> None:
        """See Engine."""

    def typing(self, user: int, group: int) -> None:
        """See Engine."""

    def watch(self, users: Sequence[int]) -> None:
        """See Engine."""

    def v1(self) -> V1Calls:
        """See Engine."""
        raise NotSupported("servers of this kind do not have this")

    def pause(self, paused: bool) -> None:
        """Read nothing while paused."""
        if paused:
            self._guest.pause_receiving()
        else:
            self._guest.resume_receiving()

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """Send a text to a user or to everyone; what else there is fails with NotSupported."""
        return Deferred.fromCoroutine(self._send(waiting))

    async def _send(self, waiting: Waiting) -> Sent:
        if waiting.data or waiting.ref or waiting.group:
            raise NotSupported("servers of this kind take texts to a user or to everyone, and nothing else")
        if waiting.user:
            await self._guest.send_private(waiting.user, waiting.text)
            name = conversations.private(self._me.id, waiting.user)
        else:
            await self._guest.send_group(waiting.text)
            name = conversations.EVERYONE
        at = self._now()
        self._owner.hand(Message(name, "", self._me, at, waiting.text, client_id=waiting.client_id, mine=True))
        return Sent(waiting.client_id, name, "", at)

    async def online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        """Return who is online, by name, and how many."""
        everyone = await self._guest.online_users()
        found = sorted(
            (User(one.id, one.name) for one in everyone if one.name.startswith(prefix)), key=lambda user: user.name
        )
        return [user for user in found if user.name > after][:limit], len(found)

    # What the guest tells

    def _received(self, sender: int, sender_name: str, text: str) -> None:
        known = sender and sender != self._me.id
        name = conversations.private(self._me.id, sender) if known else conversations.EVERYONE
        self._owner.hand(Message(name, "", User(sender, sender_name), self._now(), text))

    def _state(self, state: State, reason: str) -> None:
        if state is State.CLOSED:
            return  # the client says so itself, once
        if state is State.READY:
            self._owner.identified(self._me)
        self._owner.to_state(state, reason)

    def _now(self) -> int:
        return int(self._reactor.seconds() * 1000)
