"""A registry for the parts of one process, used by the suite and by tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cim.interfaces import IAnnouncement, IRegistry
from cim.registry.listing import Listener, Listing


@implementer(IRegistry)
class MemoryRegistry(Service):
    """Lists what was announced to this object; share one among the parts that must see each other."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._listings: dict[str, Listing] = defaultdict(lambda: Listing(reactor))
        self._announced: dict[str, dict[str, _MemoryAnnouncement]] = defaultdict(dict)

    def announce(self, folder: str, name: str, value: bytes) -> IAnnouncement:
        """See IRegistry.

        :raises ValueError: the name is announced already
        """
        if name in self._announced[folder]:
            raise ValueError(f"{folder}/{name} is announced already")
        announcement = self._announced[folder][name] = _MemoryAnnouncement(self, folder, name, value)
        self._changed(folder)
        return announcement

    def watch(self, folder: str, listener: Listener) -> Callable[[], None]:
        """See IRegistry."""
        self._changed(folder)
        return self._listings[folder].watch(listener)

    def health(self) -> str:
        """Return "": it is always well."""
        return ""

    def stopService(self) -> None:
        """Call no listener any more."""
        super().stopService()
        for listing in self._listings.values():
            listing.close()

    def holder(self, folder: str, name: str) -> _MemoryAnnouncement | None:
        """Return the announcement by which `name` is listed, or None."""
        return self._announced[folder].get(name)

    def change(self, announcement: _MemoryAnnouncement, value: bytes) -> None:
        """List a name with other data."""
        if announcement.listed():
            announcement.value = value
            self._changed(announcement.folder)

    def withdraw(self, announcement: _MemoryAnnouncement) -> None:
        """Remove an announcement from the list."""
        if announcement.listed():
            del self._announced[announcement.folder][announcement.name]
            self._changed(announcement.folder)

    def _changed(self, folder: str) -> None:
        self._listings[folder].put({name: one.value for name, one in self._announced[folder].items()})


@implementer(IAnnouncement)
class _MemoryAnnouncement:
    def __init__(self, registry: MemoryRegistry, folder: str, name: str, value: bytes) -> None:
        self._registry = registry
        self.folder = folder
        self.name = name
        self.value = value

    def change(self, value: bytes) -> None:
        """See IAnnouncement."""
        self._registry.change(self, value)

    def withdraw(self) -> Deferred[None]:
        """See IAnnouncement."""
        self._registry.withdraw(self)
        return succeed(None)

    def listed(self) -> bool:
        """See IAnnouncement."""
        return self._registry.holder(self.folder, self.name) is self
