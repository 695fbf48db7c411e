"""What a client asks of the generation of servers that it speaks to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from cim.client.v1 import V1Calls
from cim.client.values import Sent, User, Waiting


class Engine(Protocol):
    """One identity at servers of one generation; what these do not have does nothing, or fails with NotSupported."""

    async def run(self) -> None:
        """Be online until cancelled.

        :raises CIMError: it is over, or never began: the login is refused for good
        """

    async def leave(self) -> None:
        """End the session in good order, within bounds; `run` was cancelled."""

    def close(self) -> None:
        """Do nothing more; whoever waits for an answer is told so."""

    def pause(self, paused: bool) -> None:
        """Read nothing from the server while paused, over reconnections too."""

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
