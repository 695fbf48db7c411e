"""The list of living servers and routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


#: The folders of the registry; `/cim` is upstream's own.
SERVERS = "cim"
ROUTES = "cim-route"


class IRegistry(Interface):
    """The list of living servers and routes; a Service.

    A folder is SERVERS or ROUTES; the names in it are addresses in text form.
    """

    def announce(folder: str, name: str, value: bytes) -> IAnnouncement:
        """List `name` until it is withdrawn, and again after every loss of the registry's session."""

    def watch(folder: str, listener: Callable[[Mapping[str, bytes]], None]) -> Callable[[], None]:
        """Call `listener(name -> value)` with the whole list after each change, and soon with the current one.

        :returns: a function that stops the calls
        """

    def health() -> str:
        """Return "" when the registry answers, else a sentence that says what is wrong."""


class IAnnouncement(Interface):
    """A name that is kept in the registry."""

    def change(value: bytes) -> None:
        """Keep the name with other data; do nothing once it is withdrawn."""

    def withdraw() -> Deferred[None]:
        """Remove the name; fires when it is gone or the registry's timeout is over. Never fails."""

    def listed() -> bool:
        """Return whether the registry has confirmed the name and not lost it since."""
