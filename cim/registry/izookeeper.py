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
    """What is known of the session, and so of the ephemeral nodes that live with it."""

    #: ZooKeeper answers.
    CONNECTED = "connected"
    #: The connection is gone, the session may still live.
    SUSPENDED = "suspended"
    #: There is no session, or it is silent for so long that it is probably gone.
    LOST = "lost"


class NodeChange(Enum):
    """What a watch saw."""

    CREATED = "created"
    DELETED = "deleted"
    CHANGED = "changed"
    CHILDREN = "children"
    #: Nothing: the connection was lost, and the watch with it.
    UNKNOWN = "unknown"


@frozen
class NodeStat:
    """What ZooKeeper says of a node.

    :param owner: the session that an ephemeral node lives with, 0 for a persistent one
    :param version: how often its data was changed
    """

    owner: int
    version: int


class NoNode(CIMError):
    """There is no such node, or its parent is missing."""

    text = "there is no such node"


class NodeExists(CIMError):
    """There is such a node already."""

    text = "the node exists already"


class RegistryRefused(CIMError):
    """ZooKeeper understood and refused: another try will not help."""

    text = "the registry refused it"


#: Called with the session's state and id.
StateListener = Callable[[ZooKeeperState, "int | None"], None]


class IZooKeeper(IService):
    """A session with ZooKeeper that is made anew whenever it is lost; a Service.

    Every Deferred fires in the reactor thread, those of calls in the order of the calls unless one timed out. They fail
    with NoNode, NodeExists, RegistryRefused, or with RegistryUnavailable when there is no connection (nothing was
    done) or no answer (what was done is unknown).
    """

    state: ZooKeeperState = Attribute("What is known of the session.")
    session: int | None = Attribute("Its id; when that changes, ephemeral nodes must be made anew.")
    timeout: float = Attribute("How long a call may take, in seconds.")
    address: str = Attribute("Where it is, for a human.")

    def onStateChange(listener: StateListener) -> Callable[[], None]:
        """Have `listener(state, session)` called at each change of state.

        :returns: a function that ends it
        """

    def whenConnected() -> Deferred[None]:
        """Fires when the state is CONNECTED, at once when it is."""

    def create(path: str, value: bytes = b"", *, ephemeral: bool = False) -> Deferred[str]:
        """Make a node and return its path. The parent must exist."""

    def exists(path: str) -> Deferred[NodeStat | None]:
        """Return what is known of the node, None when there is none."""

    def get(path: str) -> Deferred[tuple[bytes, NodeStat]]:
        """Return the node's data."""

    def set(path: str, value: bytes, version: int = -1) -> Deferred[NodeStat]:
        """Change the node's data."""

    def delete(path: str, version: int = -1) -> Deferred[None]:
        """Remove the node."""

    def children(path: str) -> Deferred[list[str]]:
        """Return the names of the node's children, in no order."""

    def childrenAndWatch(path: str) -> tuple[Deferred[list[str]], Deferred[NodeChange]]:
        """Return the children, and what fires once when they change or the connection is lost.

        The latter never fires when the former fails; the same holds for the other watches.
        """

    def existsAndWatch(path: str) -> tuple[Deferred[NodeStat | None], Deferred[NodeChange]]:
        """Return what is known of the node, and what fires once when it comes, changes or goes."""

    def getAndWatch(path: str) -> tuple[Deferred[tuple[bytes, NodeStat]], Deferred[NodeChange]]:
        """Return the node's data, and what fires once when it changes or goes."""

    def ensurePath(path: str) -> Deferred[None]:
        """Make the node and those above it where they are missing, all persistent."""


async def ensure_path(zookeeper: IZooKeeper, path: str) -> None:
    """Make the node and those above it where they are missing, touching none that exist."""
    if path in ("", "/") or await zookeeper.exists(path) is not None:
        return
    await ensure_path(zookeeper, path.rpartition("/")[0])
    try:
        await zookeeper.create(path)
    except NodeExists:
        pass
