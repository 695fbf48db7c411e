"""How we use kazoo: it always retries, never prints, and never blocks the thread that calls it."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from kazoo import exceptions as kazoo
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import EventType, ZnodeStat
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from twisted.logger import Logger

from cim.errors import CIMError, RegistryUnavailable
from cim.registry.izookeeper import NodeChange, NodeExists, NodeStat, NoNode, RegistryRefused
from cim.registry.tls import complaint

#: The longest wait between two attempts to connect, s. It is well below any session timeout, so that after a restart of
#: ZooKeeper sessions are resumed before they expire and nobody vanishes from the lists.
MAX_RETRY_DELAY = 1.5

#: What kazoo's node events mean; session events are not among them.
CHANGES = {
    EventType.CREATED: NodeChange.CREATED,
    EventType.DELETED: NodeChange.DELETED,
    EventType.CHANGED: NodeChange.CHANGED,
    EventType.CHILD: NodeChange.CHILDREN,
}

#: After these errors it is unknown what was done, or another attempt may help.
_TRANSIENT = (
    kazoo.ConnectionLoss,
    kazoo.SessionExpiredError,
    kazoo.SessionMovedError,
    kazoo.OperationTimeoutError,
    kazoo.RequestTimeoutError,
    kazoo.ThrottledOpError,
)


class _Bridge(logging.Handler):
    """Passes kazoo's log lines to Twisted's as debug events; the bridge itself logs what matters, once."""

    _log = Logger()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        error = record.exc_info[1] if record.exc_info else None
        self._log.debug("{text}{error}", text=record.getMessage(), error=f": {error!r}" if error else "")


class _Threads(SequentialThreadingHandler):
    """kazoo's threads, without tracebacks on standard error and without a socket that could block the caller.

    TLS uses our context, because kazoo's own trusts the system's authorities in addition to those that it is given.
    """

    def __init__(self, died: Callable[[str], None], refused: Callable[[str], None], tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._died = died
        self._refused = refused
        self._tls = tls

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `func` in a thread; if it raises, report that instead of printing a traceback."""

        def run() -> None:
            try:
                func(*args, **kwargs)
            except Exception as error:
                self._died(f"{type(error).__name__}: {error}")

        return super().spawn(run)

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        """Return the socket pair through which callers wake kazoo's thread."""
        # kazoo leaves the sockets blocking: a few hundred calls while nobody reads would block the reactor.
        pair = super().create_socket_pair()
        for end in pair:
            end.setblocking(False)
        return pair

    def create_connection(self, *arguments: Any, **options: Any) -> socket.socket:
        """Return a connection, with TLS if there is a context."""
        if self._tls is None:
            return super().create_connection(*arguments, **options)
        connection = socket.create_connection(options["address"], options["timeout"])
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self._tls.wrap_socket(connection, server_hostname=options["hostname"])
        except ssl.SSLError as error:
            self._refused(complaint(error))
            raise
        finally:
            # After wrapping, this closes nothing.
            connection.close()

    def select(self, readers: Sequence[Any], *others: Any) -> tuple[list[Any], ...]:
        """Wait as `select` does, but not for data that TLS has already read: the socket does not report it again."""
        waiting = [reader for reader in readers if isinstance(reader, ssl.SSLSocket) and reader.pending()]
        if not waiting:
            return super().select(readers, *others)
        rest = [reader for reader in readers if reader not in waiting]
        return (waiting + super().select(rest, [], [], 0)[0], [], [])


def make_client(
    hosts: str,
    session_timeout: float,
    auth: tuple[str, str] | None,
    tls: ssl.SSLContext | None,
    died: Callable[[str], None],
    refused: Callable[[str], None],
) -> KazooClient:
    """Return a client, not started yet.

    Without `auth` its nodes are open to everyone, as upstream's are; with it, only to these credentials.

    :param hosts: `host:port[,host:port...]`
    :param auth: user and password
    :param tls: for connections with TLS; None for none
    :param died: called in some thread, with the reason, if the client breaks and will never connect again
    :param refused: called in some thread, with the reason, if a TLS handshake fails; the client keeps trying
    """
    # kazoo's own modules log here; without a handler Python would print their warnings.
    library = logging.getLogger("kazoo")
    if not any(isinstance(handler, _Bridge) for handler in library.handlers):
        library.addHandler(_Bridge())
        library.propagate = False
    logger = logging.Logger("cim.registry.kazoo", logging.INFO)
    logger.addHandler(_Bridge())
    return KazooClient(
        hosts=hosts,
        timeout=session_timeout,
        handler=_Threads(died, refused, tls),
        connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_jitter=0.4, max_delay=MAX_RETRY_DELAY),
        auth_data=[("digest", ":".join(auth))] if auth is not None else None,
        default_acl=CREATOR_ALL_ACL if auth is not None else OPEN_ACL_UNSAFE,
        logger=logger,
    )


def converted(error: Exception) -> CIMError:
    """Return the error of ours that corresponds to one of kazoo's."""
    if isinstance(error, kazoo.NoNodeError):
        return NoNode()
    if isinstance(error, kazoo.NodeExistsError):
        return NodeExists()
    if isinstance(error, _TRANSIENT):
        return RegistryUnavailable(f"the connection to ZooKeeper was lost: {type(error).__name__}")
    return RegistryRefused(f"ZooKeeper refused: {type(error).__name__}")


def node_stat(stat: ZnodeStat) -> NodeStat:
    """Return what we need from a node's stat."""
    return NodeStat(stat.ephemeralOwner, stat.version)


def stat_or_none(stat: ZnodeStat | None) -> NodeStat | None:
    """Return what we need from a node's stat, or None if there is no node."""
    return None if stat is None else node_stat(stat)


def data_and_stat(found: tuple[bytes | None, ZnodeStat]) -> tuple[bytes, NodeStat]:
    """Return a node's data and what we need from its stat."""
    # Upstream's nodes have null data, which kazoo returns as None.
    return found[0] or b"", node_stat(found[1])
