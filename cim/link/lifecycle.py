"""The states of a link's connection and the transitions between them, without the connection itself.

    unproven    the handshake is under way
    up          items go both ways
    draining    this end is ending the link: it still tries to send what was queued, but hands over nothing more
    closing     the connection is being closed; once it is gone, the link's user is told that the link is down
    dismissed   the connection is being closed; the link's user never heard of the link, or has been told already
    gone        the connection is closed

An input costs a microsecond, so there are inputs for what happens to a connection, but none for a batch or an item.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass

from automat import TypeMachineBuilder


class Lifecycle(typing.Protocol):
    """What can happen to a link's connection.

    This is a typing.Protocol because automat implements it.
    """

    def proven(self) -> None:
        """Both ends have proven who they are."""

    def broken(self, reason: str) -> None:
        """The other end broke the protocol."""

    def late(self) -> None:
        """The time for the handshake, or for sending what is queued before the end, is over."""

    def lose(self, reason: str) -> None:
        """This end wants to end the link."""

    def drained(self) -> None:
        """All that was sent before `lose` has been written."""

    def abort(self, reason: str) -> None:
        """The link cannot go on, or is not worth waiting for."""

    def replace(self, reason: str) -> None:
        """Another link has replaced this one."""

    def lost(self, reason: str) -> None:
        """The connection is gone. This happens once, after everything else."""


class LinkConnection(typing.Protocol):
    """What the states do to a connection, and whom they tell.

    This is a typing.Protocol because it is internal to this package.
    """

    def open(self) -> None:
        """Let items pass in both directions."""

    def drain(self) -> None:
        """Take and hand over no more items; write what is queued, then call `drained`, or `late` after a while."""

    def finish(self) -> None:
        """Stop reading and writing, and close so that what was written arrives."""

    def dismiss(self) -> None:
        """Stop reading and writing, and close once what was written is sent."""

    def cut(self) -> None:
        """Stop reading and writing, and close without sending what was written.

        May be called more than once, and after any of the others.
        """

    def tell_refused(self, reason: str) -> None:
        """Tell the owner that the connection ends unproven."""

    def tell_down(self, reason: str) -> None:
        """Tell the link's user that the link is down."""

    def tell_gone(self) -> None:
        """Tell the owner that the connection is gone; this is the last call."""


@dataclass
class _Core:
    connection: LinkConnection
    #: Why the link ends: the first reason given.
    reason: str = ""

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.connection.cut()


def _states() -> Callable[[_Core], Lifecycle]:
    machine = TypeMachineBuilder(Lifecycle, _Core)
    unproven = machine.state("unproven")
    up = machine.state("up")
    draining = machine.state("draining")
    closing = machine.state("closing")
    dismissed = machine.state("dismissed")
    gone = machine.state("gone")

    for ending in (draining, closing, gone):
        ending.upon(Lifecycle.lose).loop().returns(None)
    gone.upon(Lifecycle.abort).loop().returns(None)

    @unproven.upon(Lifecycle.proven).to(up)
    def open_link(_: Lifecycle, core: _Core) -> None:
        core.connection.open()

    @unproven.upon(Lifecycle.broken).to(dismissed)
    def refuse(_: Lifecycle, core: _Core, reason: str) -> None:
        core.connection.tell_refused(reason)
        core.connection.dismiss()

    @unproven.upon(Lifecycle.late).to(dismissed)
    def give_up(_: Lifecycle, core: _Core) -> None:
        core.connection.tell_refused("the handshake did not end in time")
        core.connection.cut()

    @up.upon(Lifecycle.lose).to(draining)
    def drain(_: Lifecycle, core: _Core, reason: str) -> None:
        core.reason = reason
        core.connection.drain()

    @draining.upon(Lifecycle.drained).to(closing)
    def finish(_: Lifecycle, core: _Core) -> None:
        core.connection.finish()

    # A peer that is closed gently may not be reading, or may never close its own end.
    @draining.upon(Lifecycle.late).to(closing)
    @closing.upon(Lifecycle.late).loop()
    @dismissed.upon(Lifecycle.late).loop()
    def cut(_: Lifecycle, core: _Core) -> None:
        core.connection.cut()

    @unproven.upon(Lifecycle.lose).to(dismissed)
    @unproven.upon(Lifecycle.abort).to(dismissed)
    @up.upon(Lifecycle.abort).to(closing)
    @up.upon(Lifecycle.broken).to(closing)
    @draining.upon(Lifecycle.abort).to(closing)
    @draining.upon(Lifecycle.broken).to(closing)
    @closing.upon(Lifecycle.abort).loop()
    @dismissed.upon(Lifecycle.lose).loop()
    @dismissed.upon(Lifecycle.abort).loop()
    def end(_: Lifecycle, core: _Core, reason: str) -> None:
        core.end(reason)

    @up.upon(Lifecycle.replace).to(dismissed)
    @draining.upon(Lifecycle.replace).to(dismissed)
    @closing.upon(Lifecycle.replace).to(dismissed)
    def replace(_: Lifecycle, core: _Core, reason: str) -> None:
        core.end(reason)
        core.connection.tell_down(core.reason)

    @unproven.upon(Lifecycle.lost).to(gone)
    def miss(_: Lifecycle, core: _Core, reason: str) -> None:
        core.connection.tell_refused(reason)
        core.connection.tell_gone()

    @up.upon(Lifecycle.lost).to(gone)
    @draining.upon(Lifecycle.lost).to(gone)
    @closing.upon(Lifecycle.lost).to(gone)
    def go_down(_: Lifecycle, core: _Core, reason: str) -> None:
        core.connection.tell_down(core.reason or reason)
        core.connection.tell_gone()

    @dismissed.upon(Lifecycle.lost).to(gone)
    def go(_: Lifecycle, core: _Core, reason: str) -> None:
        core.connection.tell_gone()

    return machine.build()


_Machine = _states()


def lifecycle(connection: LinkConnection) -> Lifecycle:
    """Return the lifecycle of a connection that was just made or is about to be made."""
    return _Machine(_Core(connection))
