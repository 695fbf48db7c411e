"""The registry of a cluster: ZooKeeper, in the layout that upstream shares (docs/upstream.md, ZooKeeper)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import backoffPolicy
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from cim.interfaces import IAnnouncement, IRegistry
from cim.registry.izookeeper import IZooKeeper, ZooKeeperState
from cim.registry.listing import Listener, Listing
from cim.registry.membership import Membership
from cim.registry.registration import Announcement


@implementer(IRegistry)
class ZooKeeperRegistry(MultiService):
    """Lists ephemeral nodes `<root>/<folder>/<name>`; folders are persistent and created where they are missing.

    :param zookeeper: a service, started and stopped with this one
    :param root: the prefix of all paths: "" or `/chroot`
    :param retry: returns the seconds until the next attempt after that many failures
    """

    def __init__(
        self,
        zookeeper: IZooKeeper,
        reactor: IReactorTime,
        *,
        root: str = "",
        retry: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self._zookeeper = zookeeper
        self._reactor = reactor
        self._root = root
        self._retry = retry or backoffPolicy(initialDelay=0.2, maxDelay=5.0, factor=2.0)
        self._announcements: list[Announcement] = []
        self._folders: dict[str, tuple[Listing, Membership]] = {}
        zookeeper.setServiceParent(self)

    def announce(self, folder: str, name: str, value: bytes) -> IAnnouncement:
        """See IRegistry.

        :raises ValueError: the name is announced already
        """
        path = f"{self._root}/{folder}/{name}"
        self._announcements = [one for one in self._announcements if not one.closed]
        if any(one.path == path and one.wanted for one in self._announcements):
            raise ValueError(f"{path} is announced already")
        announcement = Announcement(self._zookeeper, path, value, self._reactor, retry=self._retry)
        self._announcements.append(announcement)
        return announcement

    def watch(self, folder: str, listener: Listener) -> Callable[[], None]:
        """See IRegistry. While ZooKeeper is away the last known list remains."""
        if folder not in self._folders:
            listing = Listing(self._reactor)
            membership = Membership(
                self._zookeeper, f"{self._root}/{folder}", listing.put, self._reactor, retry=self._retry
            )
            self._folders[folder] = listing, membership
        return self._folders[folder][0].watch(listener)

    def health(self) -> str:
        """See IRegistry."""
        if self._zookeeper.state is not ZooKeeperState.CONNECTED:
            why = f": {self._zookeeper.complaint}" if self._zookeeper.complaint else ""
            return f"not connected to ZooKeeper at {self._zookeeper.address}{why}"
        for one in self._announcements:
            if one.wanted and one.trouble:
                return f"{one.path} {one.trouble}"
        for _, membership in self._folders.values():
            if membership.trouble:
                return f"{membership.path} {membership.trouble}"
        return ""

    def stopService(self) -> Deferred[None]:
        """End the session, and with it every announcement."""
        for announcement in self._announcements:
            announcement.close()
        for listing, membership in self._folders.values():
            membership.close()
            listing.close()
        return super().stopService()
