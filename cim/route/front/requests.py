"""Serves requests that servers forward for clients (docs/architecture.md, Links): one Reply to each Request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.daemon.metrics import Metrics
from cim.errors import BadFrame, CIMError, Forbidden, InvalidField, OutOfOrder, RateLimited, Unavailable
from cim.interfaces import ILink
from cim.model import GUEST, Account, Appended
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.grouping import Grouping
from cim.route.messages.outgoing import Outgoing
from cim.route.messages.reading import Reading
from cim.route.messages.receipts import Receipts
from cim.route.messages.sending import Sending
from cim.route.presence.blocks import Blocks
from cim.route.presence.recorder import SessionRecorder
from cim.route.presence.watching import Watching
from cim.wire import conversations, native, packed
from cim.wire.cim_pb2 import Packet, Typing
from cim.wire.error_table import row_of
from cim.wire.link_pb2 import HEADS, Item, Open, OpenOutcome, ReceiptBatch, Reply, Request


def _accepted(message: Outgoing, stored: Appended) -> bytes:
    client_id = message.send.client_id
    return packed.accepted(client_id, message.conversation, stored.position, stored.sent_at, stored.previous)


def _apart(request: Request) -> list[Request]:
    """Return the requests for each Send of a request for several."""
    bodies = (request.packet, *request.more)
    return [
        Request(
            call=request.call + number,
            user=request.user,
            name=request.name,
            session=request.session,
            device=request.device,
            conversation=request.conversation,
            packet=body,
            after=_client_id(bodies[number - 1]) if number else request.after,
            members=request.members,
        )
        for number, body in enumerate(bodies)
    ]


def _client_id(body: bytes) -> str:
    try:
        return Packet.FromString(body).send.client_id
    except DecodeError:
        return ""


class Requests:
    """Serves the requests that servers forward."""

    _log = Logger()

    def __init__(
        self,
        *,
        sending: Sending,
        reading: Reading,
        receipts: Receipts,
        watching: Watching,
        blocks: Blocks,
        delivery: Delivery,
        recorder: SessionRecorder,
        grouping: Grouping,
        metrics: Metrics,
        traced: bool = False,
    ) -> None:
        """
        :param traced: whether messages that belong to a trace are traced
        """
        self._traced = traced
        self._sending = sending
        self._reading = reading
        self._receipts = receipts
        self._watching = watching
        self._blocks = blocks
        self._delivery = delivery
        self._recorder = recorder
        self._grouping = grouping
        self._metrics = metrics
        self._bodies: dict[str, Callable[[ILink, Request, Packet], None]] = {
            "send": self._send,
            "sync": self._sync,
            "received": self._received,
            "read": self._read,
            "typing": self._typing,
            "watch": self._watch,
        }

    def received(self, link: ILink, request: Request) -> None:
        """Serve a Request."""
        if request.purpose == HEADS:
            self._later(link, request, self._heads(request))
            return
        if request.more:
            self._send_run(link, request)
            return
        try:
            # The server has checked that clients may send this kind, and that it is about this conversation.
            packet = Packet.FromString(request.packet)
            serve = self._bodies.get(packet.WhichOneof("body") or "")
            if serve is None:
                raise BadFrame("servers do not forward packets of this kind")
            serve(link, request, packet)
        except DecodeError:
            self._refuse(
                link, request.call, request.conversation, BadFrame("the server forwarded bytes that are not a Packet")
            )
        except CIMError as error:
            self._refuse(link, request.call, request.conversation, error)
        except Exception:
            self._log.failure("a client's request failed")
            self._refuse(link, request.call, request.conversation, Unavailable())

    def _answer(self, link: ILink, call: int, packets: Sequence[bytes] = (), code: str = "") -> None:
        # A hint has no call number, since nobody waits for its answer.
        if call:
            # Filled in place: passing messages to constructors costs twice as much.
            item = Item()
            reply = item.reply
            reply.call = call
            if code:
                reply.code = code
            reply.packets.extend(packets)
            link.send(item)

    def _refuse(
        self, link: ILink, call: int, conversation: str, error: BaseException | None, client_id: str = ""
    ) -> None:
        error = error if error is not None else Unavailable()
        retry_after = error.retry_after if isinstance(error, RateLimited) else 0
        packet = native.failure_packet(error, client_id, conversation, retry_after)
        self._answer(link, call, (packet,), row_of(error).failure)

    def _later(self, link: ILink, request: Request, work: Coroutine[Deferred[Any], Any, list[bytes]]) -> None:
        def failed(failure: Failure) -> None:
            if not isinstance(failure.value, CIMError):
                self._log.failure("a client's request failed", failure)
            self._refuse(link, request.call, request.conversation, failure.value)

        Deferred.fromCoroutine(work).addCallbacks(lambda packets: self._answer(link, request.call, packets), failed)

    def _send(self, link: ILink, request: Request, packet: Packet) -> None:
        send = packet.send
        client_id = send.client_id
        try:
            size = native.check_send(send)
            conversation = request.conversation or native.conversation_of(packet, request.user)
        except CIMError as error:
            self._refuse(link, request.call, request.conversation, error, client_id)
            return

        message = Outgoing(
            Account(request.user, request.name), send, conversation, size, request.after, link, request.session
        )
        if self._traced:
            message.trace = request.trace
        self._sending.submit(message, partial(self._sent, link, request.call, request.conversation, message))

    def _sent(self, link: ILink, call: int, named: str, message: Outgoing, result: Appended | CIMError) -> None:
        """Answer with what became of a Send.

        :param named: the conversation as its request named it
        """
        conversation = message.conversation
        if isinstance(result, Appended):
            accepted = _accepted(message, result)
            if result.changed:
                # By the gap rule its client shows the first, or the last if something before it is missing:
                # what was stored either way, not what it said itself.
                stored = native.deliver_packet(result.body, conversation, result.position, result.previous)
                self._answer(link, call, (stored, accepted, stored))
            else:
                link.send_reply(call, accepted)
        elif isinstance(result, OutOfOrder):
            # The server knows the fate of the message before, and therefore decides that of this one.
            self._answer(link, call, code=native.OUT_OF_ORDER)
        else:
            self._refuse(link, call, named, result, message.send.client_id)

    def _send_run(self, link: ILink, request: Request) -> None:
        """Serve Sends of one session into one conversation."""
        author, after = Account(request.user, request.name), request.after
        conversation, session = request.conversation, request.session
        messages: list[Outgoing] = []
        try:
            for body in (request.packet, *request.more):
                send = Packet.FromString(body).send
                size = native.check_send(send)
                messages.append(Outgoing(author, send, conversation, size, after, link, session))
                after = send.client_id
        except (CIMError, DecodeError):
            # One of them is refused alone.
            for single in _apart(request):
                self.received(link, single)
            return

        def done(number: int, results: Sequence[Appended | CIMError]) -> None:
            if len(results) > 1:
                told = zip(messages[number:], results, strict=False)
                accepted = [_accepted(message, one) for message, one in told if isinstance(one, Appended)]
                link.send_replies(request.call + number, accepted)
            else:
                self._sent(link, request.call + number, conversation, messages[number], results[0])

        try:
            self._sending.submit_run(messages, done)
        except Exception:
            self._log.failure("a client's request failed")
            for number, message in enumerate(messages):
                self._refuse(link, request.call + number, conversation, Unavailable(), message.send.client_id)

    def _sync(self, link: ILink, request: Request, packet: Packet) -> None:
        self._later(link, request, self._page(request, packet))

    async def _page(self, request: Request, packet: Packet) -> list[bytes]:
        sync = packet.sync
        if not sync.conversation:
            await self._receipts.written_of(request.user)
            return [await self._reading.news(request.user, request.device, sync.after)]
        return await self._reading.packets(
            request.user, sync.conversation, sync.after, sync.before, sync.limit, members=request.members
        )

    async def _heads(self, request: Request) -> list[bytes]:
        if not request.since.isascii() or (request.since and not request.since.isdigit()):
            raise InvalidField("since", "must be the `as_of` of a Welcome")
        since = int(request.since[:16] or 0)
        # Guests know no positions, so leave out what they already received.
        await self._receipts.written_of(request.user)
        return [await self._reading.welcome(request.user, request.device, request.page, since)]

    def _received(self, link: ILink, request: Request, packet: Packet) -> None:
        said = packet.received
        conversations.parse(said.conversation)
        self._receipts.note(request.user, request.device, said.conversation, said.position)
        self._answer(link, request.call)

    def receipts(self, link: ILink, told: ReceiptBatch) -> None:
        """Note how far sessions have received."""
        for receipt in told.receipts:
            try:
                conversations.parse(receipt.conversation)
                self._receipts.note(receipt.user, receipt.device or GUEST, receipt.conversation, receipt.position)
            except CIMError:
                self._metrics.refused("receipt")
        link.send(Item(reply=Reply(call=told.call)))

    def _read(self, link: ILink, request: Request, packet: Packet) -> None:
        said = packet.read
        conversations.parse(said.conversation)
        self._receipts.note(request.user, None, said.conversation, said.position, link, request.session)
        self._answer(link, request.call)

    def _typing(self, link: ILink, request: Request, packet: Packet) -> None:
        typing = packet.typing
        if (request.conversation or native.conversation_of(packet, request.user)) == conversations.EVERYONE:
            raise Forbidden("typing notes to everyone are not supported")
        if typing.user:
            noting = Deferred.fromCoroutine(self._note_typing(link, request, typing.user))
            noting.addErrback(lambda failure: self._log.failure("a typing note was not pushed", failure))
        else:
            # Only for small groups whose members are cached: a hint is not worth a look-up.
            members = self._delivery.small_group(typing.group)
            if members is not None and request.user in members:
                note = self._typing_note(link, request, Typing(group=typing.group, who=request.user))
                self._delivery.hint(note, typing.group, members)
        self._answer(link, request.call)

    async def _note_typing(self, link: ILink, request: Request, user: int) -> None:
        if not await self._blocks.between(user, request.user):
            self._delivery.to_users(self._typing_note(link, request, Typing(user=user, who=request.user)), (user,))

    @staticmethod
    def _typing_note(link: ILink, request: Request, typing: Typing) -> Push:
        return Push(packet=native.packet(typing=typing), origin=link, session=request.session)

    def _watch(self, link: ILink, request: Request, packet: Packet) -> None:
        self._later(link, request, self._watching.watch(link, request.session, request.user, tuple(packet.watch.users)))

    def opened(self, link: ILink, opening: Open) -> None:
        """Claim the record of a native session, and send the server its groups."""
        Deferred.fromCoroutine(self._open(link, opening)).addErrback(self._open_failed, link, opening)

    async def _open(self, link: ILink, opening: Open) -> None:
        # Asked before the claim is waited for, so that the store answers both at once.
        reading = self._grouping.memberships(opening.user)
        claimed = await self._recorder.claim(opening.user, opening.device, link.peer.place, opening.owner)
        outcome = OpenOutcome(call=opening.call, code="" if claimed else "replaced")
        if claimed:
            memberships = await reading
            if memberships is None:
                raise Unavailable()
            for member in memberships.members:
                outcome.groups.append(member.group)
                outcome.floors.append(member.floor)
            outcome.version, outcome.epoch = memberships.version, memberships.epoch
        link.send(Item(open_outcome=outcome))

    def _open_failed(self, failure: Failure, link: ILink, opening: Open) -> None:
        if not isinstance(failure.value, CIMError):
            self._log.failure("a session could not be opened", failure)
        link.send(Item(open_outcome=OpenOutcome(call=opening.call, code="unavailable")))

    def session_closed(self, link: ILink, session: str) -> None:
        """Forget a session."""
        self._watching.forget(link, session)

    def link_down(self, link: ILink) -> None:
        """Forget the sessions of a link."""
        self._watching.forget_link(link)
