"""A message that somebody sends: what it is, what the store gets of it, and what is pushed once it is stored."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, evolve

from cim.errors import BadFrame
from cim.interfaces import ILink
from cim.model import Account, Append, Appended, Charge, Fate
from cim.policies import Verdict
from cim.route.messages.delivery import Push
from cim.route.messages.limits import Key, Payer
from cim.traces import UNTRACED, Trace
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, RECALL, TEXT, Send


@define(eq=False)
class Outgoing:
    """A message to be sent.

    :param size: bytes of text and data, as `native.check_send` returns them
    :param after: the client_id of its author's message that must be stored before it; empty for none
    :param origin: with `session`, the session that sent it, which does not get it back
    :param push: False if the caller pushes it itself
    :param payer: whose limits it counts towards; None for its author, who has proved its identity
    :param operator: whether an operator sends it, whom no block and no policy stops
    :param verdict: what the policy has decided, if it was asked already
    :param trace: the trace that it belongs to, if it is traced
    """

    author: Account
    send: Send
    conversation: str
    size: int
    after: str = ""
    origin: ILink | None = None
    session: str = ""
    push: bool = True
    payer: Payer | None = None
    operator: bool = False
    verdict: Verdict | None = None
    trace: Trace = UNTRACED

    @property
    def past_blocks(self) -> bool:
        """Whether it reaches a receiver who blocks its author."""
        return self.operator or self.send.kind == RECALL


def append_of(message: Outgoing, ref: str, body: bytes, now: int, fate: Fate = Fate.STORED) -> Append:
    """Return a message as the store gets it: what is compared is what its author said, whatever `body` says.

    :param ref: the position of the text that it refers to
    :param now: what people see as its time, ms since 1970
    """
    send = message.send
    kind = send.kind
    return Append(
        message.conversation,
        message.author.id,
        send.client_id,
        native.digest(send),
        body,
        now,
        kind == TEXT,
        message.after,
        ref if kind != RECALL else "",
        ref if kind == RECALL else "",
        message.past_blocks,
        Charge.LOG if isinstance(message.payer, Key) else Charge.USER,
        kind == EDIT,
        fate,
        trace=message.trace,
    )


def compared(message: Outgoing, appended: Appended) -> Appended:
    """Return where a message is, with whether something else is stored than its author said."""
    try:
        same = native.parse_body(appended.body).text == message.send.text
    except BadFrame:
        same = True
    return appended if same else evolve(appended, changed=True)


def push_of(message: Outgoing, appended: Appended, batch: int = 0) -> Push:
    """Return the push of an appended message.

    :param batch: in a batch: how many of its messages are pushed from this one on
    """
    packet = native.deliver_packet(appended.body, message.conversation, appended.position, appended.previous)
    reads = message.send.ref or appended.position if message.send.group else ""
    return Push(packet, message.origin, message.session, appended.repeated, batch, reads, trace=message.trace)


def run_of(messages: Sequence[Outgoing], stored: Sequence[Appended]) -> Push:
    """Return the push of messages of one session in one conversation that one call has stored.

    Who may read the first of them may read all: nobody became a member while they were stored.
    """
    first, conversation = messages[0], messages[0].conversation
    packet, *more = [native.deliver_packet(one.body, conversation, one.position, one.previous) for one in stored]
    reads = stored[0].position if first.send.group else ""
    return Push(packet, first.origin, first.session, reads=reads, more=more)
