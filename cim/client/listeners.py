"""The listeners of a client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from cim.client.iclient import IListener
from cim.client.values import Invitation, Members, Message, Mute, Presence, Receipt, Removed, State, Typing
from cim.interfaces import IMessageListener

if TYPE_CHECKING:
    from cim.client.client import Client


class Listeners:
    """The listeners of a client, in the order in which they were added.

    Each has some of the methods of IListener; one that only provides IMessageListener only gets messages, whatever
    other attributes it has. Exceptions are logged and do not affect other listeners.
    """

    _log = Logger()

    def __init__(self, client: Client, listeners: Iterable[object]) -> None:
        self._client = client
        self._all = list(listeners)
        self._deaf = False

    def add(self, listener: object) -> None:
        """Add a listener."""
        self._all.append(listener)

    def remove(self, listener: object) -> None:
        """Remove a listener."""
        if listener in self._all:
            self._all.remove(listener)

    def stop_messages(self) -> None:
        """Stop passing on messages; other events are still passed on."""
        self._deaf = True

    def received(self, message: Message) -> bool:
        """Pass a message to all listeners; after `stop_messages`, pass it to nobody and return False."""
        if self._deaf:
            return False
        for one in tuple(self._all):
            self._tell(getattr(one, "received", None), message)
        return True

    def receipt(self, receipt: Receipt) -> None:
        """Pass a receipt to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "receipt", None), receipt)

    def typing(self, typing: Typing) -> None:
        """Pass a typing note to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "typing", None), typing)

    def presence(self, presence: Presence) -> None:
        """Pass the presence of a watched user to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "presence", None), presence)

    def members(self, members: Members) -> bool:
        """Pass what happened to a group to all listeners; after `stop_messages`, to nobody, and return False."""
        if self._deaf:
            return False
        for one in self._full():
            self._tell(getattr(one, "members", None), members)
        return True

    def invited(self, invitation: Invitation) -> None:
        """Pass an invitation to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "invited", None), invitation)

    def removed(self, removed: Removed) -> None:
        """Pass on that the user is no longer in a group to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "removed", None), removed)

    def muted(self, mute: Mute) -> None:
        """Pass on to all listeners that a conversation was muted or unmuted."""
        for one in self._full():
            self._tell(getattr(one, "muted", None), mute)

    def state(self, state: State, reason: str) -> None:
        """Pass the client's state to all listeners."""
        for one in self._full():
            self._tell(getattr(one, "state", None), state, reason)

    def _full(self) -> list[object]:
        return [one for one in self._all if IListener.providedBy(one) or not IMessageListener.providedBy(one)]

    def _tell(self, method: Callable[..., object] | None, *values: Any) -> None:
        if method is not None:
            with self._log.failuresHandled("A listener failed"):
                method(self._client, *values)
