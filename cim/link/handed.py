"""Items for each message on a link within one process: to whoever receives them they look like those of link.proto.

They are made of what their sender has at hand anyway. So nothing is serialized only to be parsed by the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cim.interfaces import Asking, Pushed
from cim.traces import UNTRACED, Trace
from cim.wire.link_pb2 import PACKET

#: What an item counts for each number, name and tag in it together, bytes: more than those have.
OTHERS = 256


class HandedRequest:
    """An Item with a Request that forwards a client's packet, and that Request."""

    __slots__ = ("_asker", "after", "call", "conversation", "more", "packet", "trace")
    purpose = PACKET
    since = page = ""

    def __init__(
        self,
        call: int,
        asker: Asking,
        conversation: str,
        packet: bytes,
        after: str,
        trace: Trace = UNTRACED,
        more: Sequence[bytes] = (),
    ) -> None:
        self.call = call
        self._asker = asker
        self.conversation = conversation
        self.packet = packet
        self.after = after
        self.trace = trace
        self.more = more

    def WhichOneof(self, oneof: Literal["item"]) -> Literal["request"]:
        """See Item."""
        return "request"

    @property
    def request(self) -> HandedRequest:
        """See Item."""
        return self

    @property
    def user(self) -> int:
        """See Request."""
        return self._asker.user

    @property
    def name(self) -> str:
        """See Request."""
        return self._asker.name

    @property
    def session(self) -> str:
        """See Request."""
        return self._asker.id

    @property
    def device(self) -> str:
        """See Request."""
        return self._asker.device

    @property
    def members(self) -> bool:
        """See Request."""
        return self._asker.members


class HandedReply:
    """An Item with a Reply, and that Reply: of one packet, or of one for each of several calls."""

    __slots__ = ("call", "calls", "packets")
    code = ""

    def __init__(self, call: int, packets: Sequence[bytes]) -> None:
        self.call = call
        self.packets = packets
        self.calls = len(packets) if len(packets) > 1 else 0

    def WhichOneof(self, oneof: Literal["item"]) -> Literal["reply"]:
        """See Item."""
        return "reply"

    @property
    def reply(self) -> HandedReply:
        """See Item."""
        return self


class HandedDeliver:
    """An Item with a Deliver to users, and that Deliver."""

    __slots__ = ("batch", "except_session", "members", "more", "packet", "repeated", "trace", "users")
    call = except_user = group = watched = 0
    everyone = False
    sessions: Sequence[str] = ()
    reads = ""

    def __init__(self, push: Pushed, users: list[int], except_session: str) -> None:
        self.packet = push.packet
        self.users = users
        self.except_session = except_session
        self.repeated = push.repeated
        self.batch = push.batch
        self.members = push.members
        self.trace = push.trace
        self.more = push.more

    def WhichOneof(self, oneof: Literal["item"]) -> Literal["deliver"]:
        """See Item."""
        return "deliver"

    @property
    def deliver(self) -> HandedDeliver:
        """See Item."""
        return self


Handed = HandedRequest | HandedReply | HandedDeliver
