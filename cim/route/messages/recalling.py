"""Recalls texts that are not one's own: for operators, and when their author is erased."""

from __future__ import annotations

from cim.errors import NotFound
from cim.interfaces import IStoreClock
from cim.model import Append, Charge
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery, Push
from cim.wire import native
from cim.wire.cim_pb2 import RECALL, Deliver, Send


class Recalling:
    """Stores recalls by nobody, who need be no member, and pushes them."""

    def __init__(self, appender: Appender, delivery: Delivery, clock: IStoreClock) -> None:
        self._appender = appender
        self._delivery = delivery
        self._clock = clock

    async def recall(self, conversation: str, position: str, said: Deliver, *, by_operator: bool = False) -> bool:
        """Recall a text; return False if it is gone, or was recalled by somebody else.

        :param said: the text
        :param by_operator: whether readers are told that an operator did it; else it is its author, who has no name
        :raises CIMError: it was not recalled, as far as is known
        """
        # Another attempt is the same message.
        why = "delete" if by_operator else "erase"
        send = Send(kind=RECALL, ref=position, client_id=f"{why}-{position}", group=said.group)
        now = self._clock.shown()
        name = said.sender_name if by_operator else ""
        item = Append(
            conversation,
            0,
            send.client_id,
            native.digest(send),
            native.body_of(send, said.sender, name, now, by_operator=by_operator),
            now,
            False,
            recalls=position,
            past_blocks=True,
            charge=Charge.NONE,
            by_operator=by_operator,
        )
        try:
            result = await self._appender.append(item)
        except NotFound:
            return False
        packet = native.deliver_packet(result.body, conversation, result.position, result.previous)
        push = Push(packet, repeated=result.repeated, reads=position if said.group else "")
        self._delivery.to_conversation(push, conversation, result.version)
        return True
