"""What Sentinels are asked and answer about a master, and whom of them to believe (docs/redis-ha.md). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

from attrs import field, frozen

from cim.plain import quoted

#: What a Sentinel publishes when another one is master: name, old host and port, new host and port.
SWITCHED = "+switch-master"
#: The characters that Sentinels allow in names of masters.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def number(text: str, limit: int) -> int | None:
    """Return the number below `limit` that a text is; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < limit else None


@frozen
class Address:
    """Where a Redis or a Sentinel listens.

    :param host: a name, or an address without brackets
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `HOST:PORT`, also with an IPv6 address with or without brackets; None if it is anything else."""
        host, _, port_text = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        port = number(port_text, 65536)
        return cls(host, port) if host and port else None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Watched:
    """A master, by its name, and the Sentinels that watch it."""

    name: str
    sentinels: Sequence[Address]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `NAME@HOST:PORT[,HOST:PORT...]`; None if it is anything else."""
        name, _, places = text.rpartition("@")
        found = tuple(Address.parse(place) for place in places.split(","))
        if _NAME.fullmatch(name) is None or None in found:
            return None
        return cls(name, tuple(dict.fromkeys(place for place in found if place is not None)))

    def __str__(self) -> str:
        return f"{self.name}@{','.join(map(str, self.sentinels))}"

    def questions(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands whose replies `Told.read` reads.

        While a replica is being promoted, the first one names it before the second one does.
        """
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name), ("SENTINEL", "MASTER", self.name)


class UselessAnswer(Exception):
    """A Sentinel's answer names no master; the message says why."""


@frozen
class Told:
    """What one Sentinel says about the master.

    :param epoch: its number of that configuration, which grows with each failover
    :param replicas: how many replicas it knows, whether they are there or not
    :param state: what else it says about the master, such as `o_down`; for people
    """

    master: Address
    epoch: int
    replicas: int = 0
    state: Sequence[str] = field(default=(), eq=False)

    @classmethod
    def read(cls, address: Any, facts: Any) -> Self:
        """Read the replies to the questions.

        :raises UselessAnswer: says what is wrong
        """
        if address is None:
            raise UselessAnswer("it watches no master of that name")
        try:
            host, port = (part.decode() for part in address)
            named = {key.decode(): value.decode() for key, value in zip(facts[::2], facts[1::2], strict=True)}
            master = Address(host, number(port, 65536) or 0)
            told = cls(master, int(named["config-epoch"]), int(named["num-slaves"]), tuple(named["flags"].split(",")))
        except (TypeError, ValueError, KeyError, AttributeError):
            raise UselessAnswer(f"it does not answer like a Sentinel: {quoted(repr((address, facts)))}") from None
        if not (host and master.port):
            raise UselessAnswer(f"it names no address of the master, but {quoted(f'{host}:{port}')}")
        return told


def believed(told: Sequence[Told], sentinels: int, current: Told | None) -> Told | None:
    """Return what to believe of the answers of the Sentinels that are there.

    The latest configuration counts. Who is left with Sentinels that do not know it yet does not go back to the old
    master, unless most of them agree, as they do after they were set up anew, or when none of them says any more what
    one of them said that was asked in the middle of a failover.

    :param told: one answer of each
    :param sentinels: how many there are, with those that are away
    :param current: what was believed before
    """
    if not told:
        return current
    latest = max(told, key=lambda one: one.epoch)
    if current is None or latest.epoch > current.epoch:
        return latest
    same = next((one for one in told if (one.master, one.epoch) == (current.master, current.epoch)), None)
    return same or (latest if 2 * len(told) > sentinels else current)
