"""Presence for watchers: a change costs one push per watcher."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.interfaces import ILink
from cim.route.presence.blocks import Blocks
from cim.route.presence.presence import Online
from cim.route.presence.presence import Presence as Sessions
from cim.route.presence.whereabouts import Whereabouts
from cim.wire import native
from cim.wire.cim_pb2 import Presence
from cim.wire.link_pb2 import Deliver, Item

#: The most users that one session may watch.
MAX_WATCHED = 200

_Watcher = tuple[ILink, str]


class Watching:
    """Knows who watches whom, for the sessions whose home is here."""

    _log = Logger()

    def __init__(self, sessions: Sessions, whereabouts: Whereabouts, blocks: Blocks) -> None:
        self._whereabouts = whereabouts
        self._blocks = blocks
        # Whose session it is, and whom it watches.
        self._watched: dict[_Watcher, tuple[int, tuple[int, ...]]] = {}
        self._watchers: dict[int, set[_Watcher]] = {}
        # Of each who is watched, whether it is online as watchers were told.
        self._online: dict[int, bool] = {}
        sessions.observers.append(self)
        whereabouts.pins = self._watchers
        whereabouts.observers.append(self._changed)

    async def watch(self, link: ILink, session: str, viewer: int, users: Sequence[int]) -> list[bytes]:
        """Replace the users that a session watches; return their present state as Presence packets.

        Who blocks the viewer, whose session it is, seems to be offline.
        """
        watcher = (link, session)
        self.forget(link, session)
        wanted = tuple(dict.fromkeys(users))[:MAX_WATCHED]
        if wanted:
            self._watched[watcher] = viewer, wanted
            for user in wanted:
                self._watchers.setdefault(user, set()).add(watcher)
        await self._whereabouts.known(wanted)
        for user in wanted:
            self._changed(user)
            if user in self._watchers:
                self._online.setdefault(user, False)
        hidden = await self._blocks.hidden(viewer, [user for user in wanted if self._online.get(user)])
        return [_packet(user, self._online.get(user, False) and user not in hidden) for user in wanted]

    def forget(self, link: ILink, session: str) -> None:
        """Remove all watches of a session."""
        watcher = (link, session)
        _, users = self._watched.pop(watcher, (0, ()))
        for user in users:
            watchers = self._watchers[user]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user]
                self._online.pop(user, None)

    def forget_link(self, link: ILink) -> None:
        """Remove all watches behind a lost link; its sessions will watch again."""
        for watcher in [watcher for watcher in self._watched if watcher[0] is link]:
            self.forget(*watcher)

    def __len__(self) -> int:
        return len(self._watched)

    def appeared(self, online: Online) -> None:
        """Note a session."""
        self._changed(online.user)

    def vanished(self, online: Online) -> None:
        """Note a session that was closed."""
        if online.host.link is not None:
            self.forget(online.host.link, online.session)
        self._changed(online.user)

    def died(self, online: Online) -> None:
        """Note a session that ended with its server."""
        self._changed(online.user)

    moved = died

    def _changed(self, user: int) -> None:
        """Tell watchers if a user has come online with its first session, or gone offline with its last."""
        if user not in self._watchers:
            return
        is_online = self._whereabouts.is_online(user)
        before = self._online.get(user)
        if is_online is not None and is_online is not before:
            self._online[user] = is_online
            if before is not None:
                self._tell(user)

    def _tell(self, user: int) -> None:
        telling = Deferred.fromCoroutine(self._tell_watchers(user))
        telling.addErrback(lambda failure: self._log.failure("a user's presence was not told", failure))

    async def _tell_watchers(self, user: int) -> None:
        seen: list[_Watcher] = []
        for watcher in tuple(self._watchers[user]):
            viewer, _ = self._watched.get(watcher, (0, ()))
            if not await self._blocks.blocks(user, viewer):
                seen.append(watcher)
        packet = _packet(user, self._online.get(user, False))
        links: dict[ILink, list[str]] = {}
        for watcher in seen:
            if watcher in self._watchers.get(user, ()):  # still
                links.setdefault(watcher[0], []).append(watcher[1])
        for link, sessions in links.items():
            link.send(Item(deliver=Deliver(sessions=sessions, packet=packet)))


def _packet(user: int, is_online: bool) -> bytes:
    return native.packet(presence=Presence(user_id=user, online=is_online))
