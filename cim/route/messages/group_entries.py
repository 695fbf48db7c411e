"""Writes into the logs of groups what happened to them and their members (docs/architecture.md, Groups).

The store keeps what happened, in the step in which it happens, until it is in the log. A route writes it a second
later, all of a group's together; whatever a route leaves undone, another one does, or the next change. What is not only
about others who came is written before somebody comes, so that it is behind the newcomer's floor.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import CIMError, NotFound
from cim.interfaces import IConversations, IGroups, IStoreClock
from cim.model import Append, Charge, Happened, Happening
from cim.route.messages.delivery import Delivery, Push
from cim.supervision import Loop
from cim.wire import conversations, native

#: How long changes of a group are collected, in seconds; how long those that another route made are left to it; and
#: after how long writing is retried.
COLLECT_SECONDS = 1.0
OTHERS_SECONDS = 3.0
RETRY_SECONDS = 2.0
#: The least wait from one look at what is due to the next.
STEP_SECONDS = 0.05
#: The most changes in one entry, and about how many bytes of them; a change has so many beside its text.
MOST = 1000
MOST_BYTES = 32 * 1024
CHANGE_BYTES = 32
#: The most groups that may wait: others wait for their next change.
MAX_WAITING = 10_000
#: What tells a newcomer no more than the list of members does.
_CAME = frozenset((Happening.JOINED, Happening.ACCEPTED, Happening.ADDED))


class GroupEntries(Service):
    """Writes and pushes the entries."""

    _log = Logger()

    def __init__(
        self,
        *,
        groups: IGroups,
        store: IConversations,
        delivery: Delivery,
        clock: IReactorTime,
        time: IStoreClock,
    ) -> None:
        self._groups = groups
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._time = time
        # By group, when to write what happened to it.
        self._waiting: dict[int, float] = {}
        self._loop = Loop("writing what happened to groups", self._begin, clock)
        # One write of a group at a time: two at once would push the same.
        self._writing: dict[int, DeferredLock] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, group: int, seconds: float = COLLECT_SECONDS) -> None:
        """Note that something happened to a group, to be written after some seconds."""
        due = self._clock.seconds() + seconds
        if group in self._waiting:
            self._waiting[group] = min(due, self._waiting[group])
        elif len(self._waiting) < MAX_WAITING and self.running:
            self._waiting[group] = due
        else:
            return
        self._loop.wake(seconds)

    def _begin(self) -> float | None:
        now = self._clock.seconds()
        for group in [group for group, due in self._waiting.items() if due <= now]:
            del self._waiting[group]
            Deferred.fromCoroutine(self._write(group))
        return max(STEP_SECONDS, min(self._waiting.values()) - now) if self._waiting else None

    async def settle(self, group: int) -> None:
        """Write what happened to a group before somebody comes who is not to learn of it.

        :raises CIMError: it was not written
        """
        if any(one.what not in _CAME for one in await self._groups.happened(group, limit=MOST)):
            await self._write_all(group)

    async def _write_all(self, group: int) -> None:
        lock = self._writing.setdefault(group, DeferredLock())
        await lock.acquire()
        try:
            while await self._write_some(group):
                pass
        except NotFound:
            pass  # the group has ended
        finally:
            if not lock.waiting:
                del self._writing[group]
            lock.release()

    async def _write(self, group: int) -> None:
        """Write what happened to a group; never fails."""
        try:
            await self._write_all(group)
        except CIMError:
            self.note(group, RETRY_SECONDS)
        except Exception:
            self._log.failure("what happened to a group was not written into its log")

    async def _write_some(self, group: int) -> bool:
        """Write one entry; return whether there may be more to write."""
        happened = _fitting(await self._groups.happened(group, limit=MOST))
        if not happened:
            return False
        # Another attempt, by whichever route, is the same message, even if more has happened since.
        client_id = f"members-{happened[0].number}"
        now = self._time.shown()
        name = conversations.group(group)
        body = native.members_body(happened, group, client_id, now)
        item = Append(name, 0, client_id, b"members", body, now, False, charge=Charge.NONE)
        (result,) = await self._store.append([item])
        if isinstance(result, CIMError):
            raise result
        await self._groups.told(group, native.parse_body(result.body).changes[-1].number)
        packet = native.deliver_packet(result.body, name, result.position, result.previous)
        push = Push(packet, repeated=result.repeated, reads=result.position, members=True)
        self._delivery.to_group(push, group, result.version)
        return True

    def stopService(self) -> Deferred[None]:
        """Write what waits; the parent service sets the deadline."""
        super().stopService()
        groups = list(self._waiting)
        self._waiting.clear()
        self._loop.stop()
        writing = [Deferred.fromCoroutine(self._write(group)) for group in groups]
        return gatherResults(writing).addCallback(lambda _: None)


def _fitting(happened: Sequence[Happened]) -> Sequence[Happened]:
    """Return as many as fit into one entry, from the first on."""
    size = 0
    for at, one in enumerate(happened):
        size += CHANGE_BYTES + len(one.text.encode())
        if size > MOST_BYTES:
            return happened[:at]
    return happened
