"""The faults of a chaos run: what kinds there are, which one comes next, and how they are made and ended in time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

#: A third of the faults last long enough for links and sessions to be declared dead, the others do not.
LONG = 1 / 3
DEAD_SECONDS = 10.5
#: Faults with as many seconds between them are not beside each other.
APART = 4.0
#: An action, and to what it is done.
Kind = tuple[str, str]


@frozen
class Fault:
    """A fault.

    :ivar action: what is done; see the classes that make faults
    :ivar what: to which kind of thing
    :ivar chance: from 0 to 1, chooses which one, and whatever else is to be chosen
    :ivar seconds: how long it lasts
    :ivar hard: whether it is the harder of two forms, if it has two
    """

    action: str
    what: str
    chance: float
    seconds: float
    hard: bool = False

    @property
    def kind(self) -> str:
        """The name that it is counted under."""
        return kind_of(self.action, self.what)


def kind_of(action: str, what: str) -> str:
    """Return the name of a kind of fault."""
    return f"{action} {what}"


class Maker(Protocol):
    """Makes faults of some kinds."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kinds of faults that it makes."""

    async def make(self, fault: Fault) -> str:
        """Make a fault and end it; return what had it, or nothing when there was nothing that could have it."""


class Deck:
    """Deals faults: each kind once in random order, then each once again, and so on.

    :param longest: the longest duration of a fault, in seconds
    """

    def __init__(self, chooser: random.Random, kinds: Sequence[Kind], longest: float) -> None:
        self._random = chooser
        self._longest = longest
        self._kinds = kinds
        self._left: list[tuple[str, str]] = []

    def deal(self) -> Fault:
        """Return the next fault."""
        if not self._left:
            self._left = list(self._kinds)
            self._random.shuffle(self._left)
        action, what = self._left.pop()
        if self._random.random() < LONG:
            seconds = self._random.uniform(min(DEAD_SECONDS, self._longest), self._longest)
        else:
            seconds = min(self._longest, 0.1 + self._random.random() ** 2 * 5)
        return Fault(action, what, self._random.random(), seconds, self._random.random() < 0.5)


class Havoc:
    """Makes faults and ends them.

    :param makers: make them, each its kinds
    :param write: called with a line about each fault
    :param mended: called with the kind of a fault, and when it was made and ended
    """

    def __init__(
        self,
        reactor: Any,
        makers: Sequence[Maker],
        write: Callable[[str], object],
        mended: Callable[[str, float, float], object],
    ) -> None:
        self._reactor = reactor
        self._makers = {kind_of(*kind): maker for maker in makers for kind in maker.kinds}
        self._write = write
        self._mended = mended
        self._start = reactor.seconds()

    async def run(
        self, chooser: random.Random, deck: Deck, seconds: float, pause: float, at_once: int, alone: float = 0.0
    ) -> None:
        """Make faults for `seconds`, one after each pause, and return when all have ended.

        :param pause: average seconds between two faults
        :param at_once: the most faults at a time
        :param alone: the share of faults beside which there is no other, nor shortly before and after it
        """
        end = self._reactor.seconds() + seconds
        running: list[Deferred[None]] = []
        failed: list[Any] = []
        while not failed:
            wait = chooser.uniform(0.5, 1.5) * pause
            if self._reactor.seconds() + wait > end:
                break
            await deferLater(self._reactor, wait, lambda: None)
            if chooser.random() < alone:
                for fault in running:
                    await fault
                await deferLater(self._reactor, APART, lambda: None)
                await Deferred.fromCoroutine(self._do(deck.deal())).addErrback(failed.append)
                await deferLater(self._reactor, APART, lambda: None)
                continue
            running = [fault for fault in running if not fault.called]
            if len(running) < at_once:
                running.append(Deferred.fromCoroutine(self._do(deck.deal())).addErrback(failed.append))
        for fault in running:
            await fault
        if failed:
            failed[0].raiseException()

    async def _do(self, fault: Fault) -> None:
        began = self._reactor.seconds()
        name = await self._makers[fault.kind].make(fault)
        if name:
            now = self._reactor.seconds()
            self._mended(fault.kind, began, now)
            self._write(f"{began - self._start:7.2f} s  {fault.kind}: {name}, ended after {now - began:.2f} s")
