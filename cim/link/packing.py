"""What a link to another process does with what is sent for every single message: it packs it at once."""

from __future__ import annotations

from collections.abc import Sequence

from cim.interfaces import Asking, Pushed
from cim.traces import UNTRACED, Trace
from cim.wire import packed


class Packing:
    """Adds to a link whatever is said for each message, by its `send_packed`."""

    def send_packed(self, item: bytes, droppable: bool) -> bool:
        """See ILink."""
        raise NotImplementedError

    def send_request(
        self, call: int, asker: Asking, conversation: str, packet: bytes, after: str = "", trace: Trace = UNTRACED
    ) -> bool:
        """See ILink."""
        return self.send_packed(packed.request(call, asker.asker, conversation, packet, after, trace), False)

    def send_run(self, call: int, asker: Asking, conversation: str, packets: Sequence[bytes], after: str) -> bool:
        """See ILink."""
        first, *more = packets
        return self.send_packed(packed.request(call, asker.asker, conversation, first, after, more=more), False)

    def send_reply(self, call: int, packet: bytes) -> bool:
        """See ILink."""
        return self.send_packed(packed.reply(call, packet), False)

    def send_replies(self, call: int, packets: Sequence[bytes]) -> bool:
        """See ILink."""
        return self.send_packed(packed.replies(call, packets), False)

    def send_push(self, push: Pushed, users: list[int]) -> bool:
        """See ILink."""
        return self.send_packed(push.over(self, users), True)
