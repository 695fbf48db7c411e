"""What others may provide: as Twisted plugins, and as applications on the client library."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.model import (
        Candidate,
        Notice,
        Pushed,
        Registration,
    )
    from cim.policies import About, Question, Verdict


class IServerSelection(Interface):
    """Picks the server for a login. More ways can be added as Twisted plugins (docs/operations.md)."""

    name: str = Attribute("What --select calls it.")

    def select(candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return one of the candidates, of which there is at least one, sorted by server name."""


class IMessageListener(Interface):
    """A client application's handler of messages. If it raises, other listeners are not affected."""

    def received(client: Any, message: Any) -> None:
        """Take a `cim.client.Message` that arrived at a `cim.client.Client`."""


class IMessagePolicy(Interface):
    """Decides on what people say and call themselves before it is stored (docs/hooks.md).

    Twisted plugins that provide it are chosen by `--message-policy NAME` or `NAME:ARGUMENT`.
    """

    name: str = Attribute("What --message-policy calls it.")
    kinds: Collection[About] = Attribute("What it is asked about.")
    at_once: bool = Attribute(
        "Whether it answers at once, without a Deferred. Such a policy may be asked again about a message that is sent"
        " again, and must not take long; the first answer counts."
    )

    def configured(argument: str) -> IMessagePolicy:
        """Return a policy that does what stands behind `NAME:`; empty for nothing. Called once, at the start.

        Raises ValueError, with the end of a sentence that begins with the option's name, if that cannot be.
        """

    def check(question: Question) -> Verdict | Deferred[Verdict]:
        """Decide on something. Whatever it raises, and what takes longer than allowed, is a failure."""


class IPusher(Interface):
    """Notifies devices of one kind (docs/push.md). More can be added as Twisted plugins."""

    kind: str = Attribute("What registrations call it.")

    def check(address: str, keys: Mapping[str, str]) -> str:
        """Return what is to be kept of a registration's keys, as text; InvalidField if it cannot be pushed to."""

    def push(registration: Registration, notice: Notice) -> Deferred[Pushed]:
        """Push a notice; fires with what became of it. It may fail with a CIMError: then it may be tried again."""


class IPushSelection(Interface):
    """Picks who is notified in groups that are too large to notify all; a Twisted plugin."""

    name: str = Attribute("What --push-select calls it.")

    def select(group: int, sender: int, text: str) -> Collection[int] | Deferred[Collection[int]]:
        """Return the users to notify of a message; who is no member is left out, and so are more than some hundreds."""
