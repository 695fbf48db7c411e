"""Guests' conversations: the server plays a native client's part for them (DESIGN.md section 5, Guests)."""

from __future__ import annotations

from collections.abc import Callable

from cim.server.sessions import GuestSession, Sessions
from cim.wire.guests import GuestMessage
from cim.wire.positions import Position


class Guests:
    """All guests' places in their conversations."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def push(
        self,
        session: GuestSession,
        conversation: str,
        place: tuple[Position, Position],
        message: GuestMessage | None,
        done: Callable[[bool], None] | None,
    ) -> None:
        """Write a message when its turn has come; `done` is told once whether it was."""
        written = message is not None and session.push(message)
        if done is not None:
            done(written)

    def recheck(self, session: GuestSession) -> None:
        """Look for what the guest may have missed."""

    def fetch_offline(self, user: int, done: Callable[[int], None]) -> None:
        """Write a guest's backlog; `done` is told how many sessions it was written to."""
        done(0)
