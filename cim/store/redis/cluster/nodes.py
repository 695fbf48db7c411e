"""The masters of a Redis Cluster, and who serves what, as far as is known (cim/store/redis/cluster/topology.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from cim.store.redis.buckets import BUCKETS
from cim.store.redis.cluster.node import Node
from cim.store.redis.cluster.topology import QUESTION, Topology, read
from cim.store.redis.introducing import introduce
from cim.store.redis.protocol import connections
from cim.store.redis.sentinel import Address
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint


#: How often a node is asked who is in the cluster, in seconds, and how often while somebody waits for a better answer.
ASK_SECONDS = 1.0
HURRIED_SECONDS = 0.1
#: How long a node may take to answer, in seconds.
ANSWER_SECONDS = 2.0
#: After how long without a node whoever claims its buckets is believed, in seconds.
FORGET_SECONDS = 15.0


class Nodes:
    """Keeps a connection to each master that serves a bucket.

    :param seeds: nodes to ask first
    :param reached: returns where an address is reached
    :param made: makes a Node for an address
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        seeds: Sequence[Address],
        reached: Callable[[Address], IStreamClientEndpoint],
        made: Callable[[Address], Node],
        *,
        random: Callable[[], float],
        auth: tuple[str, ...] | None,
    ) -> None:
        self.topology = Topology()
        self._seeds = tuple(seeds)
        self._clock = reactor
        self._reached = reached
        self._made = made
        self._auth = auth
        self._nodes: dict[Address, Node] = {}
        self._turn = 0
        self._urgent = False
        self._asked = 0.0
        self._complaint = "no node has told yet who is in the cluster"
        self._factory: Any = None
        self._loop = Loop("a look at who is in the Redis Cluster", self._look, reactor, random=random)

    def start(self) -> None:
        """Begin to ask."""
        self._factory = connections(self._clock, ANSWER_SECONDS)
        self._loop.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._loop.cancel()
        nodes, self._nodes = self._nodes, {}
        await gatherResults([Deferred.fromCoroutine(node.stop()) for node in nodes.values()])

    def hurry(self) -> None:
        """Ask soon: what is known is wrong, or somebody is missing."""
        self._urgent = True
        self._loop.wake(HURRIED_SECONDS)

    def of(self, bucket: int) -> Node | None:
        """Return the master of a bucket, if one is known."""
        owner = self.topology.owners[bucket]
        return None if owner is None else self._nodes.get(owner)

    def at(self, address: Address) -> Node:
        """Return the node at an address, which may have to connect first."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._made(address)
            node.start()
        return node

    def masters(self) -> list[Node]:
        """Return the masters that serve buckets, in the order of their addresses."""
        wanted = self.topology.masters()
        return [self._nodes[one] for one in sorted(wanted, key=str) if one in self._nodes]

    def connected(self) -> list[Node]:
        """Return the nodes that can be used, also those that served something a moment ago."""
        return [node for node in self._nodes.values() if node.protocol is not None]

    def moved(self, bucket: int, to: Address) -> None:
        """Take note that another node serves a bucket."""
        self.topology.moved(bucket, to)
        self.at(to)
        self.hurry()

    def complaint(self) -> str:
        """Return what is wrong with the cluster; "" if all of it is served."""
        missing = sum(owner is None for owner in self.topology.owners)
        if missing == BUCKETS:
            return self._complaint
        away = [f"Redis at {node.address} is away: {node.away}" for node in self.masters() if node.away is not None]
        if missing:
            away.append(f"nobody serves {missing} of {BUCKETS} parts of the store")
        return "; ".join(away)

    async def _look(self) -> float:
        """Ask one node, or all if it is urgent; never fails."""
        urgent, self._urgent = self._urgent, False
        protocols = [node.protocol for node in self._nodes.values() if node.protocol is not None]
        if protocols and not urgent:
            self._turn += 1
            protocols = [protocols[self._turn % len(protocols)]]
        asked = [Deferred.fromCoroutine(self._ask(one, one.transport.getPeer())) for one in protocols]
        heard = [await one for one in asked]
        if not any(heard):
            places = tuple(dict.fromkeys((*self.topology.known, *self._seeds)))
            self._turn += 1
            await self._ask_stranger(places[self._turn % len(places)])
        self._keep()
        missing = None in self.topology.owners or any(node.away is not None for node in self.masters())
        return HURRIED_SECONDS if missing or self._urgent else ASK_SECONDS

    def _keep(self) -> None:
        """Have connections to just the masters that serve something."""
        wanted = self.topology.masters()
        for address in wanted:
            self.at(address).use()
        now = self._clock.seconds()
        for address, node in list(self._nodes.items()):
            if address not in wanted and not node.used_since(now - FORGET_SECONDS):
                del self._nodes[address]
                Deferred.fromCoroutine(node.stop())
            elif node.away is not None and now - node.down_since > FORGET_SECONDS:
                self.topology.forget(address)

    async def _ask(self, protocol: Any, peer: Any) -> bool:
        try:
            answer = await protocol.ask(*QUESTION)
            if self.topology.heard(read(answer, Address(peer.host, peer.port))):
                self._keep()
            return True
        except CancelledError:
            raise
        except Exception as error:  # whatever it is, another one is asked
            self._complaint = str(error) or type(error).__name__
            return False

    async def _ask_stranger(self, address: Address) -> None:
        protocol: Any = None
        try:
            connecting = self._reached(address).connect(self._factory)
            protocol = await connecting.addTimeout(ANSWER_SECONDS, self._clock)
            await introduce(protocol, self._auth, 0)
            answer = await protocol.ask(*QUESTION)
            self.topology.heard(read(answer, address))
        except CancelledError:
            raise
        except Exception as error:  # whatever it is, another one is asked
            reason = getattr(protocol, "complaint", "") or str(error) or type(error).__name__
            self._complaint = f"Redis at {address} does not tell who is in the cluster: {reason}"
        finally:
            if protocol is not None and protocol.connected:
                gone = protocol.whenDisconnected()
                protocol.transport.abortConnection()
                await gone
