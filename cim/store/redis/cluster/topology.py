"""Who serves which bucket of a Redis Cluster, by what its nodes say. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import define, field, frozen

from cim.plain import quoted
from cim.store.redis.buckets import SLOTS_OF
from cim.store.redis.sentinel import Address

#: What a node is asked.
QUESTION = ("CLUSTER", "NODES")


class UselessAnswer(Exception):
    """A node's answer does not tell who is in its cluster; the message says why."""


@frozen
class Told:
    """What one node says of another one, or of itself.

    :param epoch: its number of the configuration by which the node serves its slots, which only grows
    :param slots: which those are, the first and the last of each range
    :param master: the id of its master; empty if it is one
    """

    id: str
    address: Address
    epoch: int
    master: str = ""
    failed: bool = False
    slots: Sequence[tuple[int, int]] = ()


def read(answer: bytes, asked: Address) -> list[Told]:
    """Read the reply to QUESTION.

    :param asked: where the node is; one that nobody has told its address yet does not know it
    :raises UselessAnswer: it says something else
    """
    found = []
    for line in answer.decode(errors="replace").splitlines():
        try:
            id, where, flags_text, master, _, _, epoch, _, *slots = line.split(" ")
            flags = flags_text.split(",")
            place, _, hostname = where.partition(",")
            address = Address.parse(place.partition("@")[0])
            if address is None and "myself" in flags:
                address = asked
            # Its host name, if it announces one; further fields are `name=value`.
            hostname = hostname.partition(",")[0]
            if address is not None and hostname and "=" not in hostname:
                address = Address(hostname, address.port)
            if address is None or {"noaddr", "handshake"} & set(flags):
                continue
            ranges = [one.split("-") for one in slots if not one.startswith("[")]
            held = tuple((int(one[0]), int(one[-1])) for one in ranges)
            failed = bool({"fail"} & set(flags))
            found.append(Told(id, address, int(epoch), "" if master == "-" else master, failed, held))
        except ValueError:
            raise UselessAnswer(f"it does not answer like a node of a cluster: {quoted(line)}") from None
    return found


def redirection(error: str) -> tuple[str, Address | None]:
    """Return the first word of an error, and where MOVED and ASK point; None if to the same host, or nowhere."""
    kind, _, rest = error.partition(" ")
    return kind, Address.parse(rest.partition(" ")[2]) if kind in ("MOVED", "ASK") else None


@define
class Topology:
    """What is believed of the nodes.

    :ivar owners: by bucket, its master; None if none is known
    :ivar known: all nodes that were told of last, masters or not
    """

    owners: list[Address | None] = field(factory=lambda: [None] * len(SLOTS_OF))
    known: tuple[Address, ...] = ()
    _epochs: list[int] = field(factory=lambda: [-1] * len(SLOTS_OF))
    _replicas: Counter[str] = field(factory=Counter)

    def heard(self, told: Iterable[Told]) -> bool:
        """Take in what a node says; return whether another node serves some bucket now.

        Of two claims on a slot the one of the later configuration counts: whoever is behind changes nothing.
        """
        nodes = list(told)
        before = list(self.owners)
        for one in nodes:
            for first, last in one.slots:
                for bucket, slot in enumerate(SLOTS_OF):
                    if first <= slot <= last and one.epoch > self._epochs[bucket]:
                        self.owners[bucket], self._epochs[bucket] = one.address, one.epoch
        self.known = tuple(dict.fromkeys((*(one.address for one in nodes if not one.failed), *self.known)))[:1000]
        self._replicas = Counter(one.master for one in nodes if one.master)
        return before != self.owners

    def moved(self, bucket: int, to: Address) -> None:
        """Note that the master of a bucket named another one."""
        self.owners[bucket] = to

    def forget(self, gone: Address) -> None:
        """Believe whoever claims what an unreachable node served: its configuration may be of a cluster before."""
        for bucket, owner in enumerate(self.owners):
            if owner == gone:
                self._epochs[bucket] = -1

    def masters(self) -> frozenset[Address]:
        """Return the nodes that serve buckets."""
        return frozenset(owner for owner in self.owners if owner is not None)

    def served(self, node: Address) -> list[int]:
        """Return the buckets that a node serves."""
        return [bucket for bucket, owner in enumerate(self.owners) if owner == node]

    def servers(self) -> int:
        """Return how many servers a master and its replicas are, where there are most: elsewhere some are missing."""
        return 1 + max(self._replicas.values(), default=0)
