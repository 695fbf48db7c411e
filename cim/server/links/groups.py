"""Which of this server's sessions are in which group (docs/architecture.md, Groups).

A session's groups are read when it opens, as of a version of the store's change log. From then on the routes report
changes, some more than once and not always in order. Missing changes are asked for again; when they are no longer
available, the sessions' groups are read again.

Versions of two epochs of the store do not compare. When routes tell of a new one, all groups are read again; what a
route says of an earlier one is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from heapq import heappop, heappush

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.server.sessions.table import KnownGroups, Session, Sessions
from cim.supervision import Loop
from cim.wire import positions
from cim.wire.link_pb2 import GroupChange, OpenOutcome, Reserve
from cim.wire.positions import ZERO, Position

#: How many changes are remembered, for sessions whose groups were read before those changes.
KEPT_CHANGES = 10_000
#: How long to wait for a missing change before asking for it: routes read the log every two seconds.
PATIENCE_SECONDS = 3.0

#: Its version, the group, the user, whether the user was added, the user's floor, and the version before.
_Change = tuple[int, int, int, bool, Position, int]


def groups_in(told: Reserve | OpenOutcome) -> KnownGroups:
    """Return the groups that a route named."""
    groups = {group: positions.parse(floor) for group, floor in zip(told.groups, told.floors, strict=True)}
    return KnownGroups(told.version, groups, told.epoch)


class GroupIndex:
    """The sessions on this server by group.

    :ivar epoch: the store's, the highest that a route told; 0 when none did
    :ivar on_missing: called when the routes must report the changes after `version` again
    :ivar on_outdated: called with the sessions whose groups must be read again
    :ivar on_epoch: called when the store may have gone back, or been replaced
    """

    _log = Logger()

    def __init__(self, sessions: Sessions, clock: IReactorTime) -> None:
        self._sessions = sessions
        self.on_missing: list[Callable[[], None]] = []
        self.on_outdated: list[Callable[[list[Session]], None]] = []
        self.on_epoch: list[Callable[[], None]] = []
        self.epoch = 0
        self._members: dict[int, set[Session]] = {}
        # The newest position in each group that one of its sessions here could not read; none are kept for ZERO.
        self._floors: dict[int, Position] = {}
        self._joined = 0
        # All changes up to here were applied, and beyond it those in _ahead.
        self._version = 0
        self._ahead: dict[int, _Change] = {}
        # The versions of those, the lowest first, and the newest of them by group and user.
        self._versions: list[int] = []
        self._newest: dict[tuple[int, int], int] = {}
        # The changes that are remembered, the first to come first; and the same by user.
        self._recent: deque[_Change] = deque()
        self._recent_of: dict[int, list[_Change]] = {}
        #: The newest change that is no longer remembered.
        self._forgotten = 0
        self._loop = Loop("waiting for a change of a group", self._missing, clock)
        self._asked = False

    @property
    def version(self) -> int:
        """The version up to which the log was applied; 0 when no session's groups are known."""
        return self._version if self._joined else 0

    def of(self, group: int) -> Collection[Session]:
        """Return the sessions here of a group's members."""
        return self._members.get(group, ())

    def who_may_read(self, group: int, position: str) -> tuple[Collection[Session], Collection[Session]]:
        """Return the sessions here of members who may read a position of a group, and of those who may not."""
        sessions = self.of(group)
        newest = self._floors.get(group)
        if newest is None or not position or (place := positions.parse(position)) > newest:
            return sessions, ()
        may = [session for session in sessions if session.groups and session.groups[group] < place]
        return may, set(sessions).difference(may)

    def is_current(self, epoch: int) -> bool:
        """Return whether what a route says is of the store's epoch; a later one than was known begins now.

        :param epoch: 0 from routes of earlier releases, which are believed
        """
        if epoch <= self.epoch:
            return epoch in (0, self.epoch)
        before, self.epoch = self.epoch, epoch
        if before:
            self._log.warn("The routes' store may have gone back: checking all sessions")
            self._read_anew()
            for listener in self.on_epoch:
                listener()
        return True

    def join(self, session: Session, known: KnownGroups) -> bool:
        """Add a session to its groups; False when they are out of date and must be read again."""
        if not self.is_current(known.epoch):
            return False
        version = known.version
        if session.groups is not None:
            self.leave(session)
        if version < self._forgotten:
            return False
        if version > self._version and not (self._joined and self._version):
            self._skip(version)
        self._joined += 1
        session.groups = {}
        session.groups_version = version
        for group, floor in known.groups.items():
            self._add(session, group, floor)
        for change in sorted(self._recent_of.get(session.user, ())):
            self._apply(session, change)
        return True

    def leave(self, session: Session) -> None:
        """Remove a session from all its groups."""
        groups, session.groups = session.groups, None
        if groups is None:
            return
        self._joined -= 1
        for group in groups:
            self._discard(session, group)

    def _add(self, session: Session, group: int, floor: Position) -> None:
        if session.groups is not None:
            session.groups[group] = floor
            if floor > self._floors.get(group, ZERO):
                self._floors[group] = floor
            self._members.setdefault(group, set()).add(session)

    def _discard(self, session: Session, group: int) -> None:
        members = self._members.get(group)
        if members is not None:
            members.discard(session)
            if not members:
                del self._members[group]
                self._floors.pop(group, None)

    def _apply(self, session: Session, change: _Change) -> None:
        version, group, _, added, floor, _ = change
        if session.groups is None or version <= session.groups_version:
            return
        if added:
            self._add(session, group, floor)
        elif group in session.groups:
            del session.groups[group]
            self._discard(session, group)

    def changed(self, told: GroupChange) -> None:
        """Apply a change; one that was applied before has no effect."""
        version = told.version
        if not self.is_current(told.epoch):
            return
        if not told.group:
            self._read_all(version)
            return
        if version <= self._version or version in self._ahead:
            return
        previous = told.previous or version - 1
        change = (version, told.group, told.user, told.added, positions.parse(told.floor), previous)
        # For one user and group the newest change counts, whichever came first.
        whose = told.group, told.user
        if self._newest.get(whose, 0) < version:
            self._newest[whose] = version
            for session in self._sessions.of(told.user):
                self._apply(session, change)
        self._remember(change)
        if not self._version:
            self._version = previous
        self._ahead[version] = change
        heappush(self._versions, version)
        self._advance()

    def _remember(self, change: _Change) -> None:
        self._recent.append(change)
        self._recent_of.setdefault(change[2], []).append(change)
        if len(self._recent) > KEPT_CHANGES:
            oldest = self._recent.popleft()
            self._forgotten = max(self._forgotten, oldest[0])
            of_user = self._recent_of[oldest[2]]
            del of_user[0]
            if not of_user:
                del self._recent_of[oldest[2]]

    def _advance(self) -> None:
        while self._versions:
            version = self._versions[0]
            _, group, user, _, _, previous = self._ahead[version]
            if version > self._version:
                if previous > self._version:
                    break
                self._version = version
            del self._ahead[heappop(self._versions)]
            if self._newest.get((group, user)) == version:
                del self._newest[group, user]
        if self._ahead:
            self._loop.wake(PATIENCE_SECONDS)
        else:
            self._loop.plan(None)
            self._asked = False

    def _skip(self, version: int) -> None:
        """Give up the missing changes up to a version; sessions whose groups are older must have them read again."""
        if version > self._version:
            self._version = version
            self._forgotten = max(self._forgotten, version)
        self._advance()

    def _missing(self) -> float | None:
        if not self._ahead:
            return None  # it failed after what was missing had been given up
        if not self._asked and self._joined:
            self._asked = True
            for ask in self.on_missing:
                ask()
            return PATIENCE_SECONDS
        self._read_all(max(self._ahead))
        return None

    def _read_all(self, version: int) -> None:
        self._asked = False
        self._sessions.forget_groups()
        self._skip(version)
        self._outdate()

    def _read_anew(self) -> None:
        """Read all groups again, whose versions may be lower than those that were known."""
        self._version = self._forgotten = 0
        self._recent.clear()
        self._recent_of.clear()
        self._ahead.clear()
        self._versions.clear()
        self._newest.clear()
        self._advance()
        self._sessions.forget_groups()
        for session in self._sessions:
            session.groups_version = 0
        self._outdate()

    def _outdate(self) -> None:
        outdated = [session for session in self._sessions if session.groups is not None]
        for read_again in self.on_outdated:
            read_again(outdated)
