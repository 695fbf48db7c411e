"""What routes push to this server's sessions (DESIGN.md sections 5 and 6).

Native sessions get a packet's bytes as they came, encoded once for each kind of connection. Guests get a message of a
conversation through `server.guests`, which keeps it in its place, and what is of no conversation, or for everyone, at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from cim.metrics import Metrics
from cim.server.groups import GroupIndex
from cim.server.native import NativeSession
from cim.server.sessions import GuestSession, Session, Sessions
from cim.server.shared_packet import SharedPacket
from cim.wire import positions
from cim.wire.guests import GuestMessage
from cim.wire.link_pb2 import Deliver, Guest

#: How long an answer waits for guests whose backlog goes first: routes wait 2 s.
ANSWER_SECONDS = 1.5


class Guests(Protocol):
    """Who keeps guests' messages in their places."""

    def push(
        self,
        session: GuestSession,
        conversation: str,
        place: tuple[positions.Position, positions.Position],
        message: GuestMessage | None,
        batch: bool,
        repeated: bool,
        done: Callable[[bool], None] | None,
    ) -> None:
        """Write a message when its turn has come; `done` is told once whether it was.

        :param place: position and previous
        :param message: None for what the guest is not shown
        :param batch: it stands for all messages between the two positions
        :param repeated: it was said before, and is pushed again
        """


class Asked:
    """A Deliver whose sender waits for how many sessions it was written to."""

    __slots__ = ("_answer", "_left", "written")

    def __init__(self, answer: Callable[[int], None]) -> None:
        self._answer: Callable[[int], None] | None = answer
        self._left = 1
        self.written = 0

    def wait(self) -> Callable[[bool], None]:
        """Wait for one more; return what tells whether it was written."""
        self._left += 1
        return self.settle

    def settle(self, written: bool) -> None:
        """One is known."""
        self.written += written
        self._left -= 1
        if not self._left:
            self.finish()

    def finish(self) -> None:
        """Answer with what is known."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(self.written)

    @property
    def open(self) -> bool:
        """Whether it is not answered."""
        return self._answer is not None


class Deliveries:
    """Pushes to sessions.

    :param max_frame: the largest frame that guests are sent, bytes
    """

    def __init__(
        self,
        sessions: Sessions,
        index: GroupIndex,
        guests: Guests,
        clock: IReactorTime,
        max_frame: int,
        metrics: Metrics,
    ) -> None:
        self._sessions = sessions
        self._index = index
        self._guests = guests
        self._clock = clock
        self._max_frame = max_frame
        self._metrics = metrics

    def deliver(self, deliver: Deliver, answer: Callable[[int], None]) -> None:
        """Push; `answer` is called with the number of sessions it was written to, when all is known.

        :raises CIMError: what came cannot be shown to guests; nothing was pushed
        """
        shown = deliver.HasField("guest")
        message = self._message(deliver.guest) if shown and deliver.guest.texts else None
        packet, call = deliver.packet, deliver.call
        shared = SharedPacket(packet) if packet else None
        asked = Asked(answer) if call else None
        written = 0
        except_user, except_session = deliver.except_user, deliver.except_session
        for session in self._receivers(deliver):
            if (except_user and session.user == except_user) or session.id == except_session:
                continue
            if isinstance(session, NativeSession):
                if shared is not None:
                    written += session.push(shared)
                continue
            assert isinstance(session, GuestSession)
            if shown and deliver.conversation and not deliver.everyone:
                self._keep_place(session, deliver, message, asked)
            elif message is not None:
                written += session.push(message)
        self._metrics.messages_out += written
        if asked is not None:
            asked.written += written
            asked.settle(False)
            if asked.open:
                self._clock.callLater(ANSWER_SECONDS, asked.finish)

    def _keep_place(
        self, session: GuestSession, deliver: Deliver, message: GuestMessage | None, asked: Asked | None
    ) -> None:
        self._guests.push(
            session,
            deliver.conversation,
            (positions.parse(deliver.position), positions.parse(deliver.previous, "previous")),
            None if session.user == deliver.guest.sender else message,
            deliver.guest.batch,
            deliver.repeated,
            asked.wait() if asked is not None else None,
        )

    def _receivers(self, deliver: Deliver) -> Iterable[Session]:
        if deliver.everyone:
            return list(self._sessions)
        if deliver.group:
            return list(self._index.of(deliver.group))
        users = deliver.users
        if len(users) == 1 and not deliver.sessions:
            return self._sessions.of(users[0])
        found = [session for user in users for session in self._sessions.of(user)]
        for id in deliver.sessions:
            session = self._sessions.session(id)
            if session is not None:
                found.append(session)
        return found

    def _message(self, guest: Guest) -> GuestMessage:
        return GuestMessage(
            guest.sender,
            guest.sender_name,
            guest.texts,
            batch=guest.batch,
            offline=guest.offline,
            properties=guest.properties,
            max_frame=self._max_frame,
        )
