"""Presence for those who watch: a change costs as many pushes as it has watchers."""

from __future__ import annotations

from collections.abc import Sequence

from cim.interfaces import ILink
from cim.route.presence.presence import Online
from cim.route.presence.presence import Presence as Sessions
from cim.wire import native
from cim.wire.cim_pb2 import Presence
from cim.wire.link_pb2 import Deliver, Item

#: Users that one session may watch.
MAX_WATCHED = 200

_Watcher = tuple[ILink, str]


class Watching:
    """Who watches whom, for the sessions whose home is here."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watched: dict[_Watcher, tuple[int, ...]] = {}
        self._watchers: dict[int, set[_Watcher]] = {}
        sessions.observers.append(self)

    def watch(self, link: ILink, session: str, users: Sequence[int]) -> list[bytes]:
        """Replace what a session watches; return how these users are now, as Presence packets."""
        watcher = (link, session)
        self.forget(link, session)
        wanted = tuple(dict.fromkeys(users))[:MAX_WATCHED]
        if wanted:
            self._watched[watcher] = wanted
            for user in wanted:
                self._watchers.setdefault(user, set()).add(watcher)
        return [_packet(user, bool(self._sessions.of(user))) for user in wanted]

    def forget(self, link: ILink, session: str) -> None:
        """The session watches nobody any more."""
        watcher = (link, session)
        for user in self._watched.pop(watcher, ()):
            watchers = self._watchers[user]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user]

    def forget_link(self, link: ILink) -> None:
        """The link is gone; the sessions behind it say again whom they watch."""
        for watcher in [watcher for watcher in self._watched if watcher[0] is link]:
            self.forget(*watcher)

    def __len__(self) -> int:
        return len(self._watched)

    def appeared(self, online: Online) -> None:
        """A session is there; its user was not online if it is the only one."""
        if online.user in self._watchers and len(self._sessions.of(online.user)) == 1:
            self._tell(online.user, True)

    def vanished(self, online: Online) -> None:
        """A session is gone, and its user with the last one."""
        if online.host.link is not None:
            self.forget(online.host.link, online.session)
        self.died(online)

    def died(self, online: Online) -> None:
        """A session is gone with its server."""
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
