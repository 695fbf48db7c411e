"""A member of a chaos run that is an application of the client library, whose promises are judged with the servers'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from bench.history import Handed, History
from bench.outgoing import content_of
from cim.client import Client, Message, Password, Sent, State, Trust
from cim.interfaces import IMessageListener
from cim.wire import conversations, positions
from cim.wire.cim_pb2 import Deliver, Send


@implementer(IStreamClientEndpoint)
class Severable:
    """An endpoint that remembers its last connection."""

    def __init__(self, endpoint: IStreamClientEndpoint, connected: Callable[[Any], object]) -> None:
        self._endpoint = endpoint
        self._connected = connected

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""

        def note(protocol: Any) -> Any:
            self._connected(protocol.transport)
            return protocol

        return self._endpoint.connect(protocolFactory).addCallback(note)


@implementer(IMessageListener)
class LibraryMember:
    """One identity on one device, as `bench.member.Member` is one by the protocol alone.

    :param number_of: returns the number of a message, when not the client id says that
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        password: str,
        user: int,
        urls: Sequence[str],
        history: History,
        *,
        number_of: Callable[[Deliver], int | None],
        handed: Callable[[str, Handed, float], object],
        accepted: Callable[[str, int, float], object],
    ) -> None:
        self._reactor = reactor
        self._history = history
        self._number_of = number_of
        self._told_handed = handed
        self._told_accepted = accepted
        self._transport: Any = None
        self.user = user
        self.waiting = 0
        self.counts: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._client = Client(
            reactor,
            urls,
            Password(name, password),
            device="bench",
            listeners=(self,),
            endpoint=self._endpoint,
            # Machines of a chaos run have addresses of their own, and no TLS.
            trust=Trust(insecure=True),
        )

    def _endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return Severable(HostnameEndpoint(self._reactor, host, port), self._connected)

    def _connected(self, transport: Any) -> None:
        self._transport = transport

    @property
    def live(self) -> bool:
        """Whether the member is online."""
        return self._client.state is State.READY

    def start(self) -> None:
        """Go online, and stay online until stopped."""
        self._client.startService()

    async def stop(self) -> None:
        """Go offline for good."""
        await self._client.close()

    def next_number(self, conversation: str) -> int:
        """Return the number of its next message in a conversation."""
        return self._numbers[conversation]

    def send(self, conversation: str, text: str, data: bytes = b"", content_type: str = "") -> int:
        """Send into a conversation, now or once that is possible, and return the number of the message there."""
        number = self._numbers[conversation]
        self._numbers[conversation] += 1
        said = content_of(Send(text=text, data=data, content_type=content_type))
        self._history.send(self.user, conversation, number, said)
        place = conversations.parse(conversation)
        to = place.other(self.user) if isinstance(place, conversations.PrivateConversation) else conversation
        self.waiting += 1
        sending = self._client.send(
            to, text, data=data, content_type=content_type, client_id=f"{conversation}.{number}"
        )
        sending.addCallbacks(self._accepted, self._refused, (conversation, number), {}, (conversation, number), {})
        return number

    def _accepted(self, sent: Sent, conversation: str, number: int) -> None:
        self.waiting -= 1
        self._history.accept(self.user, conversation, number, positions.parse(sent.position))
        self._told_accepted(conversation, number, self._reactor.seconds())

    def _refused(self, failure: Failure, conversation: str, number: int) -> None:
        self.waiting -= 1
        self._history.refuse(self.user, conversation, number, type(failure.value).__name__)
        self.counts[f"refused: {failure.getErrorMessage()}"[:100]] += 1

    def received(self, client: Client, message: Message) -> None:
        """Note a message; the library delivers each once and in order."""
        number = self._number_of(Deliver(sender=message.sender.id, text=message.text))
        if number is None:
            number = int(message.client_id.partition(".")[2])
        item = Handed(message.sender.id, number, positions.parse(message.position), content_of(message))
        self._history.hand(self.user, message.conversation, item)
        self._told_handed(message.conversation, item, self._reactor.seconds())

    def drop(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abortConnection()

    def forget(self) -> int:
        """Drop the connection; the library does not forget its messages."""
        self.drop()
        return 0

    def ask(self) -> None:
        """Do nothing: the library finds what it lacks by itself."""
