"""Choosing the server for a login: upstream's three ways, and the least loaded (docs/upstream.md, ZooKeeper)."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence

from attrs import frozen

from zope.interface import implementer

from cim.interfaces import IServerSelection
from cim.model import Candidate

#: The first version of links whose servers tell each route of its share of the users.
SHARING = 3


@implementer(IServerSelection)
class RoundRobin:
    """Selects the servers in turn."""

    name = "round-robin"

    def __init__(self) -> None:
        self._turn = 0

    def select(self, candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return the next candidate in turn; as with upstream, the first call returns the second one."""
        self._turn += 1
        return candidates[self._turn % len(candidates)]


@implementer(IServerSelection)
class Random:
    """Selects a server at random, evenly.

    :param random_below: returns a random integer from 0 to below its argument
    """

    name = "random"

    def __init__(self, random_below: Callable[[int], int]) -> None:
        self._random_below = random_below

    def select(self, candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return a random candidate."""
        return candidates[self._random_below(len(candidates))]


@implementer(IServerSelection)
class LeastLoaded:
    """Selects the server with the fewest sessions."""

    name = "least-loaded"

    def select(self, candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return the candidate with the fewest sessions; among equals the first by name."""
        return min(candidates, key=lambda candidate: candidate.sessions)


def ring_hash(text: str) -> int:
    """Return upstream's hash: the first 4 bytes of the MD5, little-endian."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:4], "little")


@implementer(IServerSelection)
class ConsistentHash:
    """Selects by upstream's TreeMap ring with two virtual nodes per server, so a user stays on the same server."""

    name = "consistent-hash"

    def __init__(self) -> None:
        self._servers: tuple[str, ...] = ()
        self._points: list[int] = []
        self._owners: list[int] = []

    def select(self, candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return the owner of the first point at or after the user's hash."""
        servers = tuple(candidate.server for candidate in candidates)
        if servers != self._servers:
            self._build(servers)
        at = bisect_left(self._points, ring_hash(str(user)))
        return candidates[self._owners[at if at < len(self._points) else 0]]

    def _build(self, servers: tuple[str, ...]) -> None:
        ring = {}
        for index, server in enumerate(servers):
            point = ring_hash(server)
            for virtual in range(2):
                ring[ring_hash(f"vir{point}{virtual}")] = index
            ring[point] = index
        self._servers = servers
        self._points = sorted(ring)
        self._owners = [ring[point] for point in self._points]


def rendezvous(key: str, names: Sequence[str]) -> str:
    """Return the name that rendezvous (highest-random-weight) hashing gives `key`.

    When a name is removed, only its own keys move.

    :param names: at least one
    """
    chosen, most = names[0], b""
    for name in names if len(names) > 1 else ():
        weight = hashlib.blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()
        if weight > most:
            chosen, most = name, weight
    return chosen


@frozen
class Shares:
    """Which routes are told of whose sessions at one server (docs/architecture.md, Who is told of whom).

    :param sharing: the routes each of which is told of its share of the users
    :param others: those that are told of everyone: they are of earlier releases
    """

    sharing: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def home(self, user: int) -> str:
        """Return the route that writes the records of a user's sessions; "" if there is none."""
        names = sorted((*self.sharing, *self.others)) if self.others else self.sharing
        return rendezvous(str(user), names) if names else ""

    def keeper(self, user: int) -> str:
        """Return the sharing route that is told of a user's sessions; "" if there is none."""
        return rendezvous(str(user), self.sharing) if self.sharing else ""

    def told(self, user: int) -> Collection[str]:
        """Return all routes that are told of a user's sessions."""
        if not self.others:
            return (self.keeper(user),) if self.sharing else ()
        return {*self.others, self.home(user), self.keeper(user) or self.home(user)}
