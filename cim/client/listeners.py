"""Whom a client tells of what comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from cim.client.iclient import IListener
from cim.client.values import Message, Presence, Receipt, State, Typing
from cim.interfaces import IMessageListener

if TYPE_CHECKING:
    from cim.client.client import Client


class Listeners:
    """The listeners of a client, in the order in which they were added.

    Each has some of the methods of IListener; one that provides IMessageListener alone is told of messages alone,
    whatever else its attributes are called. What one raises is logged and harms nobody else.
    """

    _log = Logger()

    def __init__(self, client: Client, listeners: Iterable[object]) -> None:
        self._client = client
        self._all = list(listeners)
        self._deaf = False

    def add(self, listener: object) -> None:
        """Tell a listener, too, from now on."""
        self._all.append(listener)

    def remove(self, listener: object) -> None:
        """Stop telling a listener."""
        if listener in self._all:
            self._all.remove(listener)

    def stop_messages(self) -> None:
        """Stop giving messages to anybody; other things are still told."""
        self._deaf = True

    def received(self, message: Message) -> bool:
        """Give a message to all listeners; return False, and give it to nobody, after `stop_messages`."""
        if self._deaf:
            return False
        for one in tuple(self._all):
            self._tell(getattr(one, "received", None), message)
        return True

    def receipt(self, receipt: Receipt) -> None:
        """Tell all that somebody has read."""
        for one in self._full():
            self._tell(getattr(one, "receipt", None), receipt)

    def typing(self, typing: Typing) -> None:
        """Tell all that somebody is typing."""
        for one in self._full():
            self._tell(getattr(one, "typing", None), typing)

    def presence(self, presence: Presence) -> None:
        """Tell all that a watched user came or went."""
        for one in self._full():
            self._tell(getattr(one, "presence", None), presence)

    def state(self, state: State, reason: str) -> None:
        """Tell all where the client stands."""
        for one in self._full():
            self._tell(getattr(one, "state", None), state, reason)

    def _full(self) -> list[object]:
        return [one for one in self._all if IListener.providedBy(one) or not IMessageListener.providedBy(one)]

    def _tell(self, method: Callable[..., object] | None, *values: Any) -> None:
        if method is not None:
            with self._log.failuresHandled("A listener failed"):
                method(self._client, *values)
