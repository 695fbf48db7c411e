"""Presence for watchers: a change costs one push per watcher."""

from __future__ import annotations

from collections.abc import Sequence

from cim.interfaces import ILink
from cim.route.presence.presence import Online
from cim.route.presence.presence import Presence as Sessions
from cim.wire import native
from cim.wire.cim_pb2 import Presence
from cim.wire.link_pb2 import Deliver, Item

#: The most users that one session may watch.
MAX_WATCHED = 200

_Watcher = tuple[ILink, str]


class Watching:
    """Knows who watches whom, for the sessions whose home is here."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watched: dict[_Watcher, tuple[int, ...]] = {}
        self._watchers: dict[int, set[_Watcher]] = {}
        sessions.observers.append(self)

    def watch(self, link: ILink, session: str, users: Sequence[int]) -> list[bytes]:
        """Replace the users that a session watches; return their present state as Presence packets."""
        watcher = (link, session)
        self.forget(link, session)
        wanted = tuple(dict.fromkeys(users))[:MAX_WATCHED]
        if wanted:
            self._watched[watcher] = wanted
            for user in wanted:
                self._watchers.setdefault(user, set()).add(watcher)
        return [_packet(user, bool(self._sessions.of(user))) for user in wanted]

    def forget(self, link: ILink, session: str) -> None:
        """Remove all watches of a session."""
        watcher = (link, session)
        for user in self._watched.pop(watcher, ()):
            watchers = self._watchers[user]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user]

    def forget_link(self, link: ILink) -> None:
        """Remove all watches behind a lost link; its sessions will watch again."""
        for watcher in [watcher for watcher in self._watched if watcher[0] is link]:
            self.forget(*watcher)

    def __len__(self) -> int:
        return len(self._watched)

    def appeared(self, online: Online) -> None:
        """Note a session; its user has come online if it is the only one."""
        if online.user in self._watchers and len(self._sessions.of(online.user)) == 1:
            self._tell(online.user, True)

    def vanished(self, online: Online) -> None:
        """Note a session that was closed; its user goes offline with the last one."""
        if online.host.link is not None:
            self.forget(online.host.link, online.session)
        self.died(online)

    def died(self, online: Online) -> None:
        """Note a session that ended with its server."""
        if online.user in self._watchers and not self._sessions.of(online.user):
            self._tell(online.user, False)

    def _tell(self, user: int, is_online: bool) -> None:
        packet = _packet(user, is_online)
        links: dict[ILink, list[str]] = {}
        for link, session in self._watchers[user]:
            links.setdefault(link, []).append(session)
        for link, sessions in links.items():
            link.send(Item(deliver=Deliver(sessions=sessions, packet=packet)))


def _packet(user: int, is_online: bool) -> bytes:
    return native.packet(presence=Presence(user_id=user, online=is_online))
