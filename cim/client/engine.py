"""What a client asks of the generation of servers that it speaks to, and what these tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from cim.client.life import Life
from cim.client.listeners import Listeners
from cim.client.names import Names
from cim.client.v1 import V1Calls
from cim.client.values import Sent, User, Waiting
from cim.errors import CIMError, NoServerAvailable, RateLimited, Unavailable


@frozen
class World:
    """What a client takes from outside.

    :param reactor: connects, and is the clock
    :param random: jitter: returns a number from 0 up to 1
    :param endpoint: from a host and a port to what connects there
    """

    reactor: Any
    random: Callable[[], float]
    endpoint: Callable[[str, int], IStreamClientEndpoint]


@frozen
class Told:
    """Whom an engine tells what happens."""

    life: Life
    listeners: Listeners
    names: Names


class Engine(Protocol):
    """One identity at servers of one generation; what these do not have does nothing, or fails with NotSupported."""

    async def run(self) -> None:
        """Be online until it has left.

        :raises CIMError: it is over, or never began: the login is refused for good
        """

    def leave(self) -> None:
        """End the session in good order, within bounds; `run` returns when that is done."""

    def pause(self, paused: bool) -> None:
        """Read nothing from the server while paused, over reconnections too."""

    def flush(self) -> Deferred[None]:
        """Fire when all that was received is in the history."""

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """Send a message; fires when it is accepted, and fails when it is refused."""

    def mark_read(self, conversation: str, position: str) -> None:
        """Say that the user has read a conversation, up to what was received of it without a position."""

    def typing(self, user: int, group: int) -> None:
        """Say that the user is typing to a user, or else in a group; too often is left out."""

    def watch(self, users: Sequence[int]) -> None:
        """Hear of the presence of these users, over all sessions."""

    def v1(self) -> V1Calls:
        """Return what calls `/v1`.

        :raises NotSupported: these servers do not have it
        """

    async def online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        """Return who is online, by name, and how many there are in all."""


def passes(error: CIMError) -> bool:
    """Whether the same login may well succeed later."""
    return isinstance(error, (Unavailable, NoServerAvailable, RateLimited))
