"""The interface between a client and its engine, one for each generation of servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import frozen

from twisted.internet.defer import Deferred

from cim.client.dialling import Dialler
from cim.client.life import Life
from cim.client.listeners import Listeners
from cim.client.names import Names
from cim.client.v1 import V1Calls
from cim.client.values import Sent, User, Waiting
from cim.errors import CIMError, NoServerAvailable, RateLimited, Unavailable, Untrusted


@frozen
class World:
    """The outside world of a client.

    :param reactor: connects, and is the clock
    :param time_of_day: the time in seconds since 1970
    :param random: jitter: returns a number from 0 up to 1
    :param dialler: connects to servers
    """

    reactor: Any
    time_of_day: Callable[[], float]
    random: Callable[[], float]
    dialler: Dialler


@frozen
class Told:
    """The objects that an engine reports to."""

    life: Life
    listeners: Listeners
    names: Names


class Engine(Protocol):
    """One identity at servers of one generation; features that they lack do nothing, or fail with NotSupported."""

    async def run(self) -> None:
        """Keep the identity online until it has left.

        :raises CIMError: the session ended for good, or the login was refused for good
        """

    def leave(self) -> None:
        """End the session gracefully, in bounded time; `run` returns when that is done."""

    def pause(self, paused: bool) -> None:
        """Pause or resume reading from the server, across reconnections too."""

    def flush(self) -> Deferred[None]:
        """Fire when all received messages are in the history."""

    def send(self, waiting: Waiting) -> Deferred[Sent]:
        """Send a message; fires when it is accepted, or fails when it is refused."""

    def mark_read(self, conversation: str, position: str) -> None:
        """Mark a conversation as read up to a position, or up to the last message received."""

    def typing(self, user: int, group: int) -> None:
        """Send a typing note to a user, or else to a group; notes that follow too soon are dropped."""

    def watch(self, users: Sequence[int]) -> None:
        """Watch the presence of these users, across reconnections too."""

    def v1(self) -> V1Calls:
        """Return the caller of `/v1`.

        :raises NotSupported: the servers do not have it
        """

    async def online(self, prefix: str, after: str, limit: int) -> tuple[Sequence[User], int]:
        """Return users who are online, sorted by name, and their total number."""


def passes(error: CIMError) -> bool:
    """Return whether the same login may succeed later."""
    return isinstance(error, (Unavailable, NoServerAvailable, RateLimited)) and not isinstance(error, Untrusted)
