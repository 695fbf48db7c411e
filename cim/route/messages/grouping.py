"""Groups and their members, and how the servers' indexes keep up with them (docs/architecture.md, Groups).

Every change is in the store's log. A route sends its own changes to its servers at once, and polls the log for the
changes of others. It does not repeat its own, but every other route sends them too, so a change gets through even if
the route that made it dies first. A server that was away is sent what it missed. Changes carry versions, so a server
ignores one that it already has. Versions compare within an epoch of the store, which everything that is told here
names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from attrs import evolve

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import CIMError, Unavailable
from cim.interfaces import IGroups, ILink, IStore
from cim.model import Group, GroupChange, Happening, Memberships, Role
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.group_entries import OTHERS_SECONDS, GroupEntries
from cim.route.messages.reading import Reading
from cim.route.messages.together import together
from cim.route.presence.calls import LinkCalls, group_change
from cim.route.presence.presence import Presence
from cim.supervision import Loop
from cim.wire import native
from cim.wire.cim_pb2 import Removed

#: How often the log is polled, in seconds.
LOOK_SECONDS = 2.0
#: How many members one call adds to a group and removes from it, and how many at once.
MOST, TOGETHER = 1000, 100


def _anew(version: int) -> GroupChange:
    """Return the item that makes a server reload its sessions' groups: it may lack changes up to a version."""
    return GroupChange(version, 0, 0, False)


T = TypeVar("T")


class Grouping(Service):
    """Changes groups and keeps the servers up to date.

    :param store: whose groups they are
    """

    _log = Logger()

    def __init__(
        self,
        *,
        groups: IGroups,
        store: IStore,
        presence: Presence,
        calls: LinkCalls,
        delivery: Delivery,
        reading: Reading,
        entries: GroupEntries,
        clock: IReactorTime,
    ) -> None:
        self._entries = entries
        self._store = store
        self._groups = groups
        self._presence = presence
        self._calls = calls
        self._delivery = delivery
        self._reading = reading
        #: The version of the log up to which the servers are up to date; None until one was first read.
        self._version: int | None = None
        #: Later versions that this route sent when it made the changes.
        self._own: set[int] = set()
        self._loop = Loop("reading the log of group changes", self._read_log, clock, every=LOOK_SECONDS)

    def startService(self) -> None:
        """Start polling the log."""
        super().startService()
        self._loop.start()

    def stopService(self) -> None:
        """End."""
        super().stopService()
        self._loop.stop()

    def begin_anew(self) -> None:
        """Forget the versions: the store may have gone back."""
        self._version = None
        self._own.clear()
        self._loop.wake()

    async def _read_log(self) -> None:
        while await self._read_page():
            pass

    async def _read_page(self) -> bool:
        """Send the servers the next changes by others; return whether there are more."""
        epoch = self._store.epoch()
        try:
            changes, latest, forgotten = await self._groups.changes(self._version or 0)
        except Unavailable:
            return False
        if epoch not in (0, self._store.epoch()):
            return False
        known, version = self._version, latest
        if known is not None:
            if forgotten:
                self._send(_anew(version))
            for change in changes:
                # Another poll may have sent it in the meantime.
                if change.version > known and change.version not in self._own:
                    self._send(change)
                    self._entries.note(change.group, OTHERS_SECONDS)
            if changes:
                version = changes[-1].version
        self._version = version
        self._own = {own for own in self._own if own > version}
        return known is not None and known < version < latest

    def _send(self, change: GroupChange) -> None:
        """Send all servers a change, to which nobody waits for an answer."""
        self._forget(change)
        item = group_change(change, self._store.epoch())
        for link in self._presence.links():
            link.send(item)

    def _forget(self, change: GroupChange) -> None:
        self._delivery.forget_group(change.group)
        self._reading.forget(change.group, change.user)

    def _tell(self, change: GroupChange) -> list[Deferred[bool]]:
        """Send all servers a change; each result says whether that one has answered."""
        self._forget(change)
        epoch = self._store.epoch()
        return [self._tell_one(link, change, epoch) for link in self._presence.links()]

    def _tell_one(self, link: ILink, change: GroupChange, epoch: int) -> Deferred[bool]:
        def lost(failure: Failure) -> bool:
            failure.trap(CIMError)
            return False

        return self._calls.group_change(link, change, epoch).addCallbacks(lambda _: True, lost)

    def memberships(self, user: int) -> Deferred[Memberships | None]:
        """Return a user's memberships, or None if they cannot be read now; the caller retries. Never fails."""
        epoch = self._store.epoch()

        def read(memberships: Memberships) -> Memberships:
            if self._version is None and epoch in (0, self._store.epoch()):
                self._version = memberships.version
            return evolve(memberships, epoch=epoch)

        def failed(failure: Failure) -> None:
            if not failure.check(CIMError):
                self._log.failure("a user's groups were not read", failure)

        return self._groups.memberships(user, self._version).addCallbacks(read, failed)

    def seen(self, link: ILink, version: int, epoch: int) -> None:
        """Send a server the changes after the version that its index has reached.

        :param epoch: of the store by which that version counts; 0 from servers of earlier releases. One of another
            epoch hears of the store's anyway, and begins anew
        """
        if epoch not in (0, self._store.epoch()):
            return
        telling = Deferred.fromCoroutine(self._catch_up(link, version))
        telling.addErrback(lambda failure: self._log.failure("a server's group index was not renewed", failure))

    async def _catch_up(self, link: ILink, seen: int) -> None:
        if not seen:
            return
        epoch = self._store.epoch()
        try:
            while True:
                changes, version, forgotten = await self._groups.changes(seen)
                for change in [_anew(version)] if forgotten else changes:
                    link.send(group_change(change, epoch))
                if forgotten or not changes or changes[-1].version >= version:
                    return
                seen = changes[-1].version
        except Unavailable:
            # Better to reload the index than to leave it incomplete.
            link.send(group_change(_anew(seen), epoch))

    async def add(self, group: int, actor: int, user: int) -> bool:
        """Make `user` a member; return False if it was one. Raises the same errors as IGroups.add."""
        await self._entries.settle(group)
        return await self._changed(await self._groups.add(group, actor, user), actor)

    async def accept(self, group: int, user: int) -> bool:
        """Make `user` a member by an invitation; return False if it was one. Raises the errors of IGroups.accept."""
        await self._entries.settle(group)
        return await self._changed(await self._groups.accept(group, user), user)

    async def remove(self, group: int, actor: int, user: int) -> bool:
        """End a membership; return once the servers push nothing more to the user, or have not answered in time."""
        return await self._changed(await self._groups.remove(group, actor, user), actor)

    async def change_members(
        self, group: int, actor: int, add: Sequence[int], remove: Sequence[int]
    ) -> list[bool | CIMError]:
        """Do as `add` and `remove` do with many users, one of each at most; return the outcome for each, in order."""
        if add:
            await self._entries.settle(group)
        calls = [partial(self._groups.add, group, actor, user) for user in add]
        calls += [partial(self._groups.remove, group, actor, user) for user in remove]
        return await self._change_all(calls, actor)

    async def _empty(self, group: int, by: int) -> int:
        """Remove up to MOST members of a group that is being dissolved; return how many are left; with none it is gone.

        Owners go last, since a group with members has an owner.

        :param by: who dissolves it, for the members
        :raises CIMError: some were not removed
        """
        owners: list[int] = []
        others: list[int] = []
        after = 0
        while len(others) < MOST and (page := await self._groups.members(group, after=after, limit=MOST)):
            for member in page:
                (owners if member.role == Role.OWNER else others).append(member.user)
            after = page[-1].user

        calls = [partial(self._groups.remove, group, 0, user) for user in [*others, *owners][:MOST]]
        for outcome in await self._change_all(calls, by, Happening.DISSOLVED):
            if isinstance(outcome, CIMError):
                raise outcome
        left = await self._groups.group(group)
        return left.members if left is not None else 0

    async def dissolve(self, group: int, actor: int) -> int:
        """End a group: let nobody in any more, tell its members, and remove up to MOST; return how many are left.

        With none the group is gone. What a call leaves undone the next one does. Raises the same errors as
        IGroups.dissolve.
        """
        await self._groups.dissolve(group, actor)
        await self._entries.settle(group)
        return await self._empty(group, actor)

    async def ban(self, group: int, actor: int, user: int) -> None:
        """Remove a user, and let it not come back. Raises the same errors as IGroups.ban."""
        await self._changed(await self._groups.ban(group, actor, user), actor, Happening.BANNED)
        self._entries.note(group)

    async def unban(self, group: int, actor: int, user: int) -> bool:
        """Let a user come back; return False if it was not banned. Raises the same errors as IGroups.unban."""
        done: bool = await self._groups.unban(group, actor, user)
        self._entries.note(group)
        return done

    async def mute(self, group: int, actor: int, user: int, seconds: int | None) -> int:
        """Let a user, or with 0 all but admins, say nothing; return until when, as IGroups.mute has it.

        :param seconds: for how long; None for ever
        """
        until = self._store.clock.now() + seconds * 1000 if seconds is not None else 0
        await self._groups.mute(group, actor, user, until)
        self._entries.note(group)
        return until

    async def unmute(self, group: int, actor: int, user: int) -> None:
        """Let a user, or with 0 all, say something again. Raises the same errors as IGroups.mute."""
        await self._groups.mute(group, actor, user, None)
        self._entries.note(group)

    async def _changed(self, change: GroupChange | None, actor: int, what: Happening = Happening.REMOVED) -> bool:
        """Send the servers a change and wait for them; return False if nothing changed.

        :param what: what a user is told who is no member any more, unless it left
        """
        if change is None:
            return False
        for told in self._note([change]):
            await told
        self._tell_removed(change, actor, what)
        return True

    async def _change_all(
        self,
        calls: Sequence[Callable[[], Deferred[GroupChange | None]]],
        actor: int,
        what: Happening = Happening.REMOVED,
    ) -> list[bool | CIMError]:
        """Make many changes and send the servers each, as `_changed` does, but wait for them only in the end."""
        outcomes: list[GroupChange | CIMError | None] = []
        told: list[Deferred[bool]] = []
        for at in range(0, len(calls), TOGETHER):
            made = await in_turns(calls[at : at + TOGETHER])
            told += self._note([change for change in made if isinstance(change, GroupChange)])
            outcomes += made
        for answer in told:
            await answer
        for change in outcomes:
            if isinstance(change, GroupChange):
                self._tell_removed(change, actor, what)
        return [one if isinstance(one, CIMError) else one is not None for one in outcomes]

    def _note(self, changes: Sequence[GroupChange]) -> list[Deferred[bool]]:
        """Send the servers changes that this route made; each answers the last, and has applied the others then."""
        for change in changes:
            self._own.add(change.version)
            self._entries.note(change.group)
        for change in changes[:-1]:
            self._send(change)
        return self._tell(changes[-1]) if changes else []

    def _tell_removed(self, change: GroupChange, actor: int, what: Happening) -> None:
        if not change.added:
            left = actor == change.user and what == Happening.REMOVED
            removed = Removed(group=change.group, what=Happening.LEFT if left else what, by=actor)
            self._delivery.to_users(Push(native.packet(removed=removed)), (change.user,))

    async def create(self, owner: int, name: str, *, open: bool, history: bool) -> int:
        """Create a group and return its id."""
        group = await self._groups.create(owner, name, open=open, history=history)
        # The owner's membership is in the log like any other.
        await self._read_log()
        return group.id

    async def set_role(self, group: int, actor: int, user: int, role: Role) -> None:
        """Set the role of a member."""
        await self._groups.set_role(group, actor, user, role)
        self._reading.forget(group, user)
        self._entries.note(group)

    async def edit(
        self, group: int, actor: int, *, name: str | None = None, open: bool | None = None, history: bool | None = None
    ) -> Group:
        """Change what a group is called, and who may join and read. Raises the same errors as IGroups.edit."""
        if history:
            # What happened while newcomers were not to learn of it is before what they may read.
            await self._entries.settle(group)
        edited: Group = await self._groups.edit(group, actor, name=name, open=open, history=history)
        self._entries.note(group)
        return edited


async def in_turns(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T | CIMError]:
    """Make many calls, TOGETHER at once, and return their results, or why they were refused, in order."""

    async def outcome(call: Callable[[], Awaitable[T]]) -> T | CIMError:
        try:
            return await call()
        except CIMError as error:
            return error

    outcomes: list[T | CIMError] = []
    for at in range(0, len(calls), TOGETHER):
        outcomes += await together([Deferred.fromCoroutine(outcome(call)) for call in calls[at : at + TOGETHER]])
    return outcomes
