"""What registration and membership need of ZooKeeper; implemented over kazoo, and in memory for tests."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from twisted.application.service import IService
from zope.interface import Attribute

from cim.errors import CIMError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class ZooKeeperState(Enum):
    """What is known about the session, and so about the ephemeral nodes that live with it."""

    #: ZooKeeper answers.
    CONNECTED = "connected"
    #: The connection is gone, but the session may still be alive.
    SUSPENDED = "suspended"
    #: There is no session, or it has been silent for so long that it has probably expired.
    LOST = "lost"


class NodeChange(Enum):
    """What a watch reports."""

    CREATED = "created"
    DELETED = "deleted"
    CHANGED = "changed"
    CHILDREN = "children"
    #: Nothing, because the connection was lost, and the watch with it.
    UNKNOWN = "unknown"


@frozen
class NodeStat:
    """What ZooKeeper says about a node.

    :param owner: the session that an ephemeral node lives with, 0 for a persistent one
    :param version: how many times its data was changed
    """

    owner: int
    version: int


class NoNode(CIMError):
    """The node, or its parent, does not exist."""

    text = "there is no such node"


class NodeExists(CIMError):
    """The node exists already."""

    text = "the node exists already"


class RegistryRefused(CIMError):
    """ZooKeeper understood the request and refused it; another attempt will not help."""

    text = "the registry refused it"


#: Called with the session's state and id.
StateListener = Callable[[ZooKeeperState, "int | None"], None]


class IZooKeeper(IService):
    """A session with ZooKeeper that is replaced whenever it is lost; a Service.

    Every Deferred fires in the reactor thread, those of calls in the order of the calls unless one times out. They fail
    with NoNode, NodeExists, RegistryRefused, or with RegistryUnavailable if there is no connection (nothing was done)
    or no answer (it is unknown what was done).
    """

    state: ZooKeeperState = Attribute("What is known of the session.")
    session: int | None = Attribute("Its id; when that changes, ephemeral nodes must be made anew.")
    timeout: float = Attribute("How long a call may take, in seconds.")
    address: str = Attribute("Where it is, for a human.")
    complaint: str = Attribute("Why it cannot be reached, if that is known; otherwise empty.")

    def onStateChange(listener: StateListener) -> Callable[[], None]:
        """Call `listener(state, session)` at each change of state.

        :returns: a function that stops the calls
        """

    def whenConnected() -> Deferred[None]:
        """Fire once the state is CONNECTED, at once if it is already."""

    def create(path: str, value: bytes = b"", *, ephemeral: bool = False) -> Deferred[str]:
        """Create a node and return its path. The parent must exist."""

    def exists(path: str) -> Deferred[NodeStat | None]:
        """Return the node's stat, or None if there is no such node."""

    def get(path: str) -> Deferred[tuple[bytes, NodeStat]]:
        """Return the node's data."""

    def set(path: str, value: bytes, version: int = -1) -> Deferred[NodeStat]:
        """Set the node's data, if its version is `version` or that is -1."""

    def delete(path: str, version: int = -1) -> Deferred[None]:
        """Remove the node, if its version is `version` or that is -1."""

    def children(path: str) -> Deferred[list[str]]:
        """Return the names of the node's children, in no particular order."""

    def childrenAndWatch(path: str) -> tuple[Deferred[list[str]], Deferred[NodeChange]]:
        """Return the children, and a Deferred that fires once when they change or the connection is lost.

        The second never fires if the first fails; the same holds for the other watches.
        """

    def existsAndWatch(path: str) -> tuple[Deferred[NodeStat | None], Deferred[NodeChange]]:
        """Return the node's stat, and a Deferred that fires once when the node is created, changed or deleted."""

    def getAndWatch(path: str) -> tuple[Deferred[tuple[bytes, NodeStat]], Deferred[NodeChange]]:
        """Return the node's data, and a Deferred that fires once when the node is changed or deleted."""

    def ensurePath(path: str) -> Deferred[None]:
        """Create the node and its ancestors where they are missing, all persistent."""


async def ensure_path(zookeeper: IZooKeeper, path: str) -> None:
    """Create the node and its ancestors where they are missing, without touching those that exist."""
    if path in ("", "/") or await zookeeper.exists(path) is not None:
        return
    await ensure_path(zookeeper, path.rpartition("/")[0])
    try:
        await zookeeper.create(path)
    except NodeExists:
        pass
