"""Where what is in no log comes from: presence, receipts, accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface

from cim.interfaces import ICredentials
from cim.model import Account
from cim.route.presence.presence import Online, Presence

#: What ToldCredentials tells of.
ACCOUNTS = ("account.created", "account.deleted")


class Tell(Protocol):
    """Tells webhooks what happened."""

    def __call__(self, type: str, data: Mapping[str, Any], conversation: str = "") -> None:
        """
        :param conversation: in which; empty for none
        """


class SessionEvents:
    """Tells when sessions begin and end, and when users come and go: once, by the route that is a session's home.

    What a server reports once more began before.
    """

    def __init__(self, presence: Presence, tell: Tell) -> None:
        self._presence = presence
        self._tell = tell
        self._known: set[str] = set()
        presence.observers.append(self)

    def appeared(self, online: Online) -> None:
        """See PresenceObserver."""
        if online.owner in self._known:
            return
        self._known.add(online.owner)
        if online.home and not online.again and online.host.unseen is None:
            self._tell("session.began", _session(online))
            if len(self._presence.of(online.user)) == 1:
                self._tell("user.online", _user(online))

    def vanished(self, online: Online) -> None:
        """See PresenceObserver."""
        self._known.discard(online.owner)
        if online.home:
            self._tell("session.ended", _session(online))
            if not self._presence.of(online.user):
                self._tell("user.offline", _user(online))

    def died(self, online: Online) -> None:
        """See PresenceObserver."""
        self.vanished(online)

    def moved(self, online: Online) -> None:
        """See PresenceObserver."""
        self._known.discard(online.owner)


def _user(online: Online) -> dict[str, Any]:
    return {"user": online.user, "name": online.name}


def _session(online: Online) -> dict[str, Any]:
    return {**_user(online), "device": online.device, "server": online.host.place.server}


def reads(tell: Tell) -> Callable[[int, str, str], None]:
    """Return what tells that users have read something; for `Receipts.on_read`."""

    def read(user: int, conversation: str, position: str) -> None:
        data = {"user": user, "conversation": conversation, "position": position}
        tell("receipt.read", data, conversation)

    return read


class ToldCredentials(proxyForInterface(ICredentials)):  # type: ignore[misc]  # a class made at run time
    """Credentials whose accounts are told of when they are made and when they are deleted.

    :param original: the credentials
    """

    def __init__(self, original: ICredentials, tell: Tell) -> None:
        super().__init__(original)
        self._tell = tell

    def create(self, name: str, *arguments: Any, **named: Any) -> Deferred[Account]:
        """See ICredentials."""

        def made(account: Account) -> Account:
            self._tell("account.created", {"user": account.id, "name": account.name})
            return account

        return self.original.create(name, *arguments, **named).addCallback(made)

    def delete(self, user: int) -> Deferred[bool]:
        """See ICredentials."""

        def gone(deleted: bool) -> bool:
            if deleted:
                self._tell("account.deleted", {"user": user})
            return deleted

        return self.original.delete(user).addCallback(gone)
