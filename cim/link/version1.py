"""Links to ends of the first release, which speak version 1 of the items and are sent what they always were.

Each end puts one of these between such a link and its user. They translate what version 2 says differently:

- A Deliver had a form for guests beside the one for native sessions, and a batch was one more Deliver after its
  messages. Now guests' sessions read the Packet, and each message of a batch says how many follow.
- `FetchOffline` is now the push of an empty News.
- A session's groups came without the positions up to which it may not read; now each has one, maybe empty.
- The routes kept the order of a session's Sends, and `again` let the first failed one through. Now the store keeps the
  order, and a Send names the one before it (docs/architecture.md, Order).

Changes are made in a copy, because links within one process hand over the items themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from attrs import define

from zope.interface import implementer

from cim.errors import Unavailable
from cim.interfaces import ILink, ILinkUser
from cim.link.packing import Packing
from cim.model import LinkPeer
from cim.wire import link1_pb2, native
from cim.wire.cim_pb2 import Deliver as Message
from cim.wire.cim_pb2 import Packet
from cim.wire.error_table import RETRYABLE, row_of
from cim.wire.link_pb2 import HEADS, PACKET, Deliver, Item, Outcome, Reply, Request

#: The purpose of a request for a guest's heads, which is served like any other request for heads.
BACKLOG = 2
#: How many unanswered Sends of one link, and sessions in which a Send failed, are remembered.
KEPT = 100_000

#: A session and the conversation that it sends into.
_Line = tuple[str, str]


@implementer(ILink)
class _Translated(Packing):
    """A link of version 1 as its user sees it."""

    def __init__(self, link: ILink) -> None:
        self._link = link

    @property
    def peer(self) -> LinkPeer:
        """See ILink."""
        return self._link.peer

    @property
    def version(self) -> int:
        """See ILink."""
        return self._link.version

    @property
    def queued(self) -> int:
        """See ILink."""
        return self._link.queued

    def send(self, item: Item) -> bool:
        """See ILink."""
        return self.send_packed(item.SerializeToString(), item.HasField("deliver"))

    def send_packed(self, item: bytes, droppable: bool) -> bool:
        """See ILink."""
        return self._link.send_packed(self.said(Item.FromString(item)), droppable)

    def lose(self, reason: str) -> None:
        """See ILink."""
        self._link.lose(reason)

    def said(self, item: Item) -> bytes:
        """Return what to send the other end for an item, which may be changed."""
        raise NotImplementedError

    def heard(self, item: Item) -> Item | None:
        """Return what to hand the user for an item, which must not be changed; None for nothing."""
        raise NotImplementedError


@implementer(ILinkUser)
class Version1:
    """Presents links of version 1 to their user as links of the current version.

    :param translated: wraps a link in what the user sees
    """

    def __init__(self, user: ILinkUser, translated: Callable[[ILink], _Translated]) -> None:
        self._user = user
        self._translated = translated
        self._links: dict[ILink, _Translated] = {}

    def link_up(self, link: ILink) -> None:
        """See ILinkUser."""
        seen = self._links[link] = self._translated(link)
        self._user.link_up(seen)

    def link_received(self, link: ILink, item: Item) -> None:
        """See ILinkUser."""
        seen = self._links[link]
        heard = seen.heard(item)
        if heard is not None:
            self._user.link_received(seen, heard)

    def link_down(self, link: ILink, reason: str) -> None:
        """See ILinkUser."""
        self._user.link_down(self._links.pop(link), reason)


def old_routes(server: ILinkUser) -> ILinkUser:
    """Return the link user for a server's links to routes of the first release."""
    return Version1(server, _ToOldRoute)


def old_servers(route: ILinkUser) -> ILinkUser:
    """Return the link user for a route's links to servers of the first release."""
    return Version1(route, _ToOldServer)


def _old(item: Item) -> link1_pb2.Item:
    """Return an item as version 1, with the fields that both versions have."""
    return link1_pb2.Item.FromString(item.SerializeToString())


class _Sends:
    """The unanswered Sends of a link, each with its line and client_id."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[_Line, str]] = {}
        self._lines: dict[_Line, list[str]] = {}

    def of(self, line: _Line) -> Sequence[str]:
        """Return the client_ids of those of a line, in order."""
        return self._lines.get(line, ())

    def note(self, request: Request) -> tuple[_Line, str] | None:
        """Note a request if it is a Send; return its line and client_id."""
        if request.purpose != PACKET:
            return None
        packet = Packet.FromString(request.packet)
        if packet.WhichOneof("body") != "send":
            return None
        send = (request.session, request.conversation), packet.send.client_id
        if request.call:
            self.answered(request.call)
            self._sent[request.call] = send
            self._lines.setdefault(send[0], []).append(send[1])
            if len(self._sent) > KEPT:
                self.answered(next(iter(self._sent)))
        return send

    def answered(self, call: int) -> tuple[_Line, str] | None:
        """Return the Send that a Reply answers; None when it answers something else."""
        send = self._sent.pop(call, None)
        if send is not None:
            line, client_id = send
            self._lines[line].remove(client_id)
            if not self._lines[line]:
                del self._lines[line]
        return send


# A current server, a route of the first release


@define
class _LastAsked:
    """The last message whose count a route asked for.

    :ivar sessions: how many sessions it was written to; None while unknown
    """

    call: int
    packet: bytes
    sessions: int | None = None


class _ToOldRoute(_Translated):
    """A server's end."""

    def __init__(self, link: ILink) -> None:
        super().__init__(link)
        self._sends = _Sends()
        # Session -> conversations in which a Send failed and may be repeated.
        self._failed: dict[str, set[str]] = {}
        self._asked = _LastAsked(0, b"")
        # A question about a whole batch gets the answer to the one about the batch's last message.
        self._whole: dict[int, int] = {}

    def said(self, item: Item) -> bytes:
        """See _Translated."""
        kind = item.WhichOneof("item")
        if kind == "request":
            return self._request(item)
        if kind == "outcome":
            self._outcome(item.outcome)
        elif kind == "closed":
            self._failed.pop(item.closed.session, None)
        return item.SerializeToString()

    def _request(self, item: Item) -> bytes:
        session, conversation = item.request.session, item.request.conversation
        under_way = self._sends.of((session, conversation))
        send = self._sends.note(item.request)
        item.request.ClearField("after")
        old = _old(item)
        # The server lets none through but the one that failed first. It may have failed by an answer that came when the
        # server did not wait for it any more, though: then it is under way again, and nothing may go past it.
        if send is not None and not under_way:
            failed = self._failed.get(session, set())
            if conversation in failed:
                failed.remove(conversation)
                old.request.again = True
        return old.SerializeToString()

    def _outcome(self, outcome: Outcome) -> None:
        if outcome.call == self._asked.call:
            self._asked.sessions = outcome.sessions
        whole = self._whole.pop(outcome.call, 0)
        if whole:
            self._link.send(Item(outcome=Outcome(call=whole, sessions=outcome.sessions)))

    def heard(self, item: Item) -> Item | None:
        """See _Translated."""
        kind = item.WhichOneof("item")
        if kind == "reply":
            self._replied(item.reply)
        elif kind == "deliver":
            if not item.deliver.packet:
                self._batch_ends(_old(item).deliver)
                return None
            if item.deliver.call:
                self._asked = _LastAsked(item.deliver.call, item.deliver.packet)
        elif kind == "reserve" or kind == "open_outcome":
            return _with_floors(item, kind)
        elif kind is None:
            fetch = _old(item).fetch_offline
            return Item(deliver=Deliver(call=fetch.call, users=(fetch.user,), packet=native.FETCH))
        return item

    def _replied(self, reply: Reply) -> None:
        send = self._sends.answered(reply.call)
        if send is not None and reply.code in RETRYABLE:
            (session, conversation), _ = send
            self._failed.setdefault(session, set()).add(conversation)
            if len(self._failed) > KEPT:
                del self._failed[next(iter(self._failed))]

    def _batch_ends(self, whole: link1_pb2.Deliver) -> None:
        """Answer for a whole batch whose messages were pushed one by one before."""
        if not whole.call:
            return
        asked = self._asked
        last = Packet.FromString(asked.packet).deliver
        came = (last.conversation, last.position) == (whole.conversation, whole.position)
        if came and asked.sessions is None:
            self._whole[asked.call] = whole.call
        else:
            sessions = (asked.sessions or 0) if came else 0
            self._link.send(Item(outcome=Outcome(call=whole.call, sessions=sessions)))


def _with_floors(item: Item, kind: Literal["reserve", "open_outcome"]) -> Item:
    changed = Item()
    changed.CopyFrom(item)
    told = changed.reserve if kind == "reserve" else changed.open_outcome
    told.floors.extend([""] * (len(told.groups) - len(told.floors)))
    return changed


# A current route, a server of the first release


class _ToOldServer(_Translated):
    """A route's end."""

    def __init__(self, link: ILink) -> None:
        super().__init__(link)
        self._sends = _Sends()
        # Session -> conversation -> its Sends there that are neither stored nor refused for good, in order.
        self._lines: dict[str, dict[str, list[str]]] = {}
        # Of the batch that is being pushed: how many of its messages follow, its texts, and the position before it.
        self._left = 0
        self._texts: list[str] = []
        self._before = ""

    def said(self, item: Item) -> bytes:
        """See _Translated."""
        kind = item.WhichOneof("item")
        if kind == "deliver":
            return self._deliver(item)
        if kind == "reply":
            self._reply(item.reply)
        return item.SerializeToString()

    def _deliver(self, item: Item) -> bytes:
        deliver = item.deliver
        if deliver.packet == native.FETCH:
            fetch = link1_pb2.FetchOffline(call=deliver.call, user=deliver.users[0])
            return link1_pb2.Item(fetch_offline=fetch).SerializeToString()
        if deliver.members:
            # Its server would take it for a text.
            deliver.packet = native.skipped_packet(deliver.packet)
            deliver.ClearField("members")
        left = deliver.batch
        deliver.ClearField("batch")
        old = _old(item)
        packet = Packet.FromString(deliver.packet)
        if packet.WhichOneof("body") == "deliver":
            self._add_guest(old.deliver, packet.deliver, left)
        return old.SerializeToString()

    def _add_guest(self, told: link1_pb2.Deliver, message: Message, left: int) -> None:
        """Add what guests are shown of a message; the last message of a batch gets what they are shown of all of it."""
        text = native.guest_text(message, new=not told.repeated)
        if not left or left != self._left:
            self._texts, self._before = [], message.previous
        self._left = max(0, left - 1)
        if text is not None:
            self._texts.append(text)
        told.conversation, told.position, told.previous = message.conversation, message.position, message.previous
        if left <= 1:
            told.previous = self._before
            told.guest.sender, told.guest.sender_name = message.sender, message.sender_name
            told.guest.texts.extend(self._texts)
            told.guest.batch = left == 1

    def _reply(self, reply: Reply) -> None:
        send = self._sends.answered(reply.call)
        if send is None:
            return
        (session, conversation), client_id = send
        if reply.code == native.OUT_OF_ORDER:
            error = Unavailable("an earlier message failed")
            reply.code = row_of(error).failure
            reply.packets[:] = [native.failure_packet(error, client_id, conversation)]
        elif reply.code not in RETRYABLE:
            lines = self._lines.get(session, {})
            line = lines.get(conversation, [])
            if client_id in line:
                line.remove(client_id)
                if not line:
                    del lines[conversation]
                    if not lines:
                        del self._lines[session]

    def heard(self, item: Item) -> Item | None:
        """See _Translated."""
        kind = item.WhichOneof("item")
        if kind == "request":
            return self._request(item)
        if kind == "closed":
            self._lines.pop(item.closed.session, None)
        return item

    def _request(self, item: Item) -> Item:
        changed = Item()
        changed.CopyFrom(item)
        request = changed.request
        if request.purpose == BACKLOG:
            request.purpose = HEADS
        send = self._sends.note(request)
        if send is not None:
            request.after = self._follow(*send, again=_old(item).request.again)
        return changed

    def _follow(self, line: _Line, client_id: str, *, again: bool) -> str:
        """Return the client_id of what must be stored before a Send: the last of its line that is not stored."""
        session, conversation = line
        sends = self._lines.setdefault(session, {}).setdefault(conversation, [])
        if client_id in sends:
            # The Sends behind it are repeated, too.
            del sends[sends.index(client_id) :]
        if again:
            # What failed before it its client has given up; what is under way still goes before it.
            under_way = self._sends.of(line)
            sends[:] = [other for other in sends if other in under_way]
        after = sends[-1] if sends else ""
        sends.append(client_id)
        if len(self._lines) > KEPT:
            del self._lines[next(iter(self._lines))]
        return after
