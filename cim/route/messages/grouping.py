"""Groups and their members, and how the servers' indexes keep up with them (docs/architecture.md, Groups).

Every change is in the store's log. A route tells its servers what it changed at once, and looks into the log now and
then for what others changed: what it told itself it does not tell again, but each of the others does, so it comes
through even if the route that made it dies first. A server that was away is told what it missed. Servers take a change
by its version, so being told twice does no harm.
"""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import CIMError, Unavailable
from cim.interfaces import IGroups, ILink
from cim.model import GroupChange, Memberships, Role
from cim.route.messages.delivery import Delivery
from cim.route.messages.reading import Reading
from cim.route.presence.calls import LinkCalls
from cim.route.presence.presence import Presence

#: How often the log is looked into, seconds.
LOOK_SECONDS = 2.0


def _anew(version: int) -> GroupChange:
    """Return what has a server read its sessions' groups anew, of which it may lack changes up to a version."""
    return GroupChange(version, 0, 0, False)


class Grouping(Service):
    """Changes groups, and tells the servers."""

    _log = Logger()

    def __init__(
        self,
        *,
        groups: IGroups,
        presence: Presence,
        calls: LinkCalls,
        delivery: Delivery,
        reading: Reading,
        clock: IReactorTime,
    ) -> None:
        self._groups = groups
        self._presence = presence
        self._calls = calls
        self._delivery = delivery
        self._reading = reading
        #: The version of the log up to which this route's servers were told; None until it was read first.
        self._version: int | None = None
        #: Versions beyond that which this route told when it made them.
        self._own: set[int] = set()
        self._looking = False
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin to look into the log."""
        super().startService()
        self._loop.start(LOOK_SECONDS, now=True)

    def stopService(self) -> None:
        """End."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        if self._looking:
            return
        self._looking = True
        looking = Deferred.fromCoroutine(self._read_log())
        looking.addErrback(lambda failure: self._log.failure("the log of group changes was not read", failure))

    async def _read_log(self) -> None:
        try:
            changes, version, forgotten = await self._groups.changes(self._version or 0)
        except Unavailable:
            return
        finally:
            self._looking = False
        if self._version is not None:
            if forgotten:
                self._tell(_anew(version))
            for change in changes:
                # Another look may have told it meanwhile.
                if change.version > self._version and change.version not in self._own:
                    self._tell(change)
            if changes:  # there may be more
                version = changes[-1].version
        self._version = version
        self._own = {own for own in self._own if own > version}

    def _tell(self, change: GroupChange) -> list[Deferred[bool]]:
        self._delivery.forget_group(change.group)
        self._reading.forget(change.group, change.user)
        return [self._tell_one(link, change) for link in self._presence.links()]

    def _tell_one(self, link: ILink, change: GroupChange) -> Deferred[bool]:
        def lost(failure: Failure) -> bool:
            failure.trap(CIMError)
            return False

        return self._calls.group_change(link, change).addCallbacks(lambda _: True, lost)

    def memberships(self, user: int) -> Deferred[Memberships | None]:
        """Return a user's memberships; None when they cannot be had: whoever needs them asks again. Never fails."""

        def failed(failure: Failure) -> None:
            if not failure.check(CIMError):
                self._log.failure("a user's groups were not read", failure)

        return self._groups.memberships(user).addErrback(failed)

    def seen(self, link: ILink, version: int) -> None:
        """A server says up to where its index goes: tell it the rest."""
        telling = Deferred.fromCoroutine(self._catch_up(link, version))
        telling.addErrback(lambda failure: self._log.failure("a server's group index was not renewed", failure))

    async def _catch_up(self, link: ILink, seen: int) -> None:
        if not seen:
            return
        try:
            while True:
                changes, version, forgotten = await self._groups.changes(seen)
                if forgotten:
                    self._tell_one(link, _anew(version))
                    return
                for change in changes:
                    self._tell_one(link, change)
                if not changes or changes[-1].version >= version:
                    return
                seen = changes[-1].version
        except Unavailable:
            # Better an index that is read anew than one that lacks something.
            self._tell_one(link, _anew(seen))

    async def add(self, group: int, actor: int, user: int) -> bool:
        """Make `user` a member; False when it was one. Errors as of IGroups.add."""
        return await self._changed(await self._groups.add(group, actor, user))

    async def remove(self, group: int, actor: int, user: int) -> bool:
        """End a membership, and return when the servers push nothing more to it, or did not answer in time."""
        return await self._changed(await self._groups.remove(group, actor, user))

    async def _changed(self, change: GroupChange | None) -> bool:
        """Tell what this route changed, and wait for the servers; False when there is nothing to tell."""
        if change is None:
            return False
        self._own.add(change.version)
        for told in self._tell(change):
            await told
        return True

    async def create(self, owner: int, name: str, *, open: bool, history: bool) -> int:
        """Make a group and return its id."""
        group = await self._groups.create(owner, name, open=open, history=history)
        # The owner's membership stands in the log like any other.
        await self._read_log()
        return group.id

    async def set_role(self, group: int, actor: int, user: int, role: Role) -> None:
        """Give a member a role."""
        await self._groups.set_role(group, actor, user, role)
        self._reading.forget(group, user)
