"""`/v1`: sending messages and reading conversations."""

from __future__ import annotations

from typing import Any

from cim.api_keys import Scope
from cim.daemon.metrics import Metrics
from cim.errors import BadFrame, Forbidden, InvalidField
from cim.interfaces import IMutes
from cim.model import FOREVER, MAX_NAME, Account, Appended, ConversationHead, Entry
from cim.route.http.access import Caller
from cim.route.http.lists import Lists
from cim.route.http.shapes import (
    CLIENT_ID,
    SOME_POSITION,
    WHEN,
    ConversationName,
    Position,
    limit,
)
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.broadcasting import SystemUser
from cim.route.messages.limits import Key
from cim.route.messages.outgoing import Outgoing
from cim.route.messages.reading import HEADS, NO_MEMBERS, NO_REVISIONS, Reading
from cim.route.messages.receipts import Receipts
from cim.route.messages.sending import Sending
from cim.route.messages.showing import shown
from cim.traces import Trace
from cim.user_tokens import UserScope
from cim.web.declaring import Who, WithStatus, http_call
from cim.web.problem import encode
from cim.web.schema import Array, Base64, Boolean, Choice, Id, Integer, Nullable, Object, Optional, Text
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Kind, Send

#: The device whose received marks the HTTP API reads; they never move, so all conversations are listed.
_DEVICE = " "
_KINDS = ("TEXT", "RECALL", "EDIT", "REACTION")
_KIND = Choice(_KINDS, "RECALL, EDIT and REACTION refer to a message by `ref`.", any_case=True)
_CHANGE = Object(
    {
        "what": Text(
            64, about="`joined`, `added`, `muted`, ...: see Sending in docs/protocol.md; later releases have others."
        ),
        "user": Integer(0, (1 << 53) - 1, "Whom it happened to; 0 for an operator, or for all."),
        "by": Integer(0, (1 << 53) - 1, "Who did it; 0 for an operator, or nobody."),
        "text": Text(native.MAX_CONTENT, about="The new role or name, until when, ..."),
    },
    "GroupChange",
)
ACCEPTED = Object(
    {
        "conversation": ConversationName(),
        "position": Position(),
        "previous": SOME_POSITION,
        "sent_at": WHEN,
        "repeated": Boolean("The message was there already: nothing was stored again."),
        "text": Nullable(Text(native.MAX_CONTENT, about="What is stored, if a policy changed the text; else null.")),
    },
    "Accepted",
)
MESSAGE = Object(
    {
        "position": Position(),
        "previous": SOME_POSITION,
        "sender": Integer(0, (1 << 53) - 1, "Who sent it; 0 for MEMBERS."),
        "sender_name": Text(MAX_NAME, about="Empty if the sender was erased since."),
        "sent_at": WHEN,
        "client_id": Text(native.MAX_CLIENT_ID, about="What its sender called it."),
        "text": Text(native.MAX_CONTENT, about="What it says; of a REACTION, the reaction."),
        "data": Base64(native.MAX_CONTENT, "Bytes that go with it."),
        "content_type": Text(native.MAX_CONTENT_TYPE, about="The type of `data`."),
        "kind": Choice((*_KINDS, "MEMBERS"), "RECALL, EDIT and REACTION refer to a message by `ref`."),
        "ref": Position("The message that a RECALL, EDIT or REACTION refers to; else empty.", empty=True),
        "edited": Boolean("A TEXT that was edited: it has the content of its last EDIT."),
        "changes": Array(_CHANGE, "Of MEMBERS: what happened to the group."),
        "by_operator": Boolean("A RECALL by an operator, or a TEXT that is empty because of one."),
    },
    "Message",
)
_PAGE = Object(
    {
        "messages": Array(MESSAGE, "Oldest first."),
        "upto": SOME_POSITION,
        "reset": Boolean("Earlier messages are missing: they were trimmed, or are from before the user joined."),
        "more": Nullable(Position("The `after`, or `before`, of the next page; null at the end.")),
    },
    "MessagePage",
)
_HEADS = Object(
    {
        "conversations": Array(
            Object(
                {
                    "conversation": ConversationName(),
                    "latest": SOME_POSITION,
                    "read": SOME_POSITION,
                    "unread": Integer(0, 999, "Messages of others after `read`."),
                    "active": WHEN,
                    "muted_until": Integer(0, FOREVER, "ms since 1970; 0 if it is not muted."),
                },
                "ConversationHead",
            ),
            "The conversation with the newest message first.",
        ),
        "more": Nullable(Text(1024, about="The `after` of the next page; null at the end.")),
    },
    "ConversationPage",
)


def message_shown(entry: Entry, metrics: Metrics) -> dict[str, Any] | None:
    """Return a stored message as a JSON value; None if it cannot be decoded, which is counted."""
    try:
        said = native.parse_body(entry.body)
    except BadFrame:
        metrics.refused("stored-message")
        return None
    return {"position": entry.position, "previous": entry.previous, **shown(said)}


def accepted_shown(conversation: str, appended: Appended) -> WithStatus:
    """Return the answer to a message that is stored."""
    return WithStatus(
        200 if appended.repeated else 201,
        {
            "conversation": conversation,
            "position": appended.position,
            "previous": appended.previous,
            "sent_at": appended.sent_at,
            "repeated": appended.repeated,
            "text": native.parse_body(appended.body).text if appended.changed else None,
        },
    )


class MessagesAPI:
    """The calls that send messages and read conversations."""

    def __init__(
        self,
        *,
        known: KnownAccounts,
        sending: Sending,
        reading: Reading,
        receipts: Receipts,
        mutes: IMutes,
        system: SystemUser,
        lists: Lists,
        metrics: Metrics,
    ) -> None:
        self._known = known
        self._sending = sending
        self._reading = reading
        self._receipts = receipts
        self._mutes = mutes
        self._system = system
        self._lists = lists
        self._metrics = metrics

    @http_call(
        "POST /v1/messages",
        needs=UserScope.SEND,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.SEND,
        body={
            "to_user": Optional(Id(about="Or `to_group`.")),
            "to_group": Optional(Integer(0, (1 << 53) - 1, "Or `to_user`; 0 is everyone online.")),
            "client_id": CLIENT_ID,
            "text": Optional(Text(native.MAX_CONTENT, about="Together with `data`:"), ""),
            "data": Optional(Base64(native.MAX_CONTENT, "Bytes that go with it.")),
            "content_type": Optional(Text(native.MAX_CONTENT_TYPE, about="The type of `data`; printable ASCII."), ""),
            "kind": Optional(_KIND, "TEXT"),
            "ref": Optional(Position(empty=True), ""),
            "after": Optional(
                Text(native.MAX_CLIENT_ID, about="`client_id` of your message that must be stored before this one."), ""
            ),
            "from_user": Optional(Id(about="The sender, for API keys only.")),
        },
        answers={201: ACCEPTED, 200: ACCEPTED},
        errors=(404, 409),
        example={"to_user": 1795430398297, "client_id": "7f3a", "text": "hello"},
        asks_for_trace=True,
    )
    async def send(
        self,
        caller: Caller,
        to_user: int | None,
        to_group: int | None,
        from_user: int | None,
        after: str,
        trace: Trace,
        **said: Any,
    ) -> WithStatus:
        """Send a message.

        201 if it is stored; 200 if the same message, by its `client_id`, was stored before; 409 if another one was.
        503 `out-of-order` if the message that `after` names is not stored: nothing was stored, so send that one first.
        """
        author = await self._author(caller, from_user)
        send = self._send_of(author, to_user, to_group, **said)
        size = native.check_send(send)
        conversation = (
            conversations.private(author.id, send.user) if to_user is not None else conversations.group(send.group)
        )
        payer = Key(caller.key.id) if caller.key is not None else None
        message = Outgoing(
            author,
            send,
            conversation,
            size,
            after,
            payer=payer,
            operator=caller.key is not None and caller.key.past_blocks,
            trace=trace,
        )
        appended = await self._sending.send(message)
        return accepted_shown(conversation, appended)

    async def _author(self, caller: Caller, from_user: int | None) -> Account:
        if not caller.operator:
            if from_user is not None:
                raise InvalidField("from_user", "is for operators only: users send as themselves")
            return caller.account
        if from_user is None:
            raise InvalidField("from_user", "is missing")
        author = await self._known.get(from_user)
        await self._system.check_person(author)
        return author

    @staticmethod
    def _send_of(author: Account, to_user: int | None, to_group: int | None, **said: Any) -> Send:
        if (to_user is None) == (to_group is None):
            raise InvalidField("to_user", "or `to_group` must be given, but not both")
        if to_user == author.id:
            raise InvalidField("to_user", "must be another user: you cannot send a message to yourself")
        said["data"] = said["data"] or b""
        said["kind"] = Kind.Value(said["kind"])
        return Send(user=to_user, **said) if to_user is not None else Send(group=to_group, **said)

    @http_call(
        "GET /v1/conversations",
        query={
            "after": Optional(Text(1024, about="`more` of the previous page."), ""),
            "limit": Optional(limit(HEADS), HEADS),
        },
        answers={200: _HEADS},
    )
    async def conversations(self, caller: Caller, after: str, limit: int) -> dict[str, Any]:
        """List the user's conversations.

        A page may have fewer than `limit` conversations, or none, even if more follow.
        """
        user = caller.account.id
        async with self._lists.turn(user) as counts:
            page = await self._reading.heads(user, _DEVICE, after, limit=limit)
            counts(len(page.heads))
        muted = await self._mutes.muted(user) if page.heads else {}
        heads = [{**_head(head), "muted_until": muted.get(head.conversation, 0)} for head in page.heads]
        return {"conversations": heads, "more": page.more or None}

    @http_call(
        "GET /v1/conversations/{conversation}/messages",
        path={"conversation": ConversationName()},
        query={
            "after": Optional(Position("Return messages after this position.", empty=True), ""),
            "before": Optional(Position("Return the last messages before this position.", empty=True), ""),
            "limit": Optional(limit(native.MAX_PAGE), native.PAGE),
            "revisions": Optional(Boolean("Whether EDIT and RECALL are among the messages."), True),
            "members": Optional(
                Boolean("Whether MEMBERS, which tell what happened to a group, are among them."), False
            ),
        },
        answers={200: _PAGE},
        errors=(404,),
    )
    async def messages(
        self, caller: Caller, conversation: str, after: str, before: str, limit: int, revisions: bool, members: bool
    ) -> dict[str, Any]:
        """Read a page of a conversation.

        A TEXT is as it stands: empty if it was recalled, and with the content of its last EDIT. EDIT and RECALL are
        messages, too, so that whoever goes on `after` a position hears of what became of earlier pages; for a page that
        people read, leave them out. Without `after` and `before`, it starts at the beginning. A page may have fewer
        than `limit` messages, or none, even if more follow.
        """
        user = caller.account.id
        async with self._lists.turn(user) as counts:
            without = (NO_MEMBERS if revisions else NO_REVISIONS) - (NO_MEMBERS if members else frozenset())
            page = await self._reading.page(user, conversation, after, before, limit, without=without, size_of=_size)
            counts(len(page.positions))
        more = page.upto
        if before:
            more = page.positions[0] if page.positions else ""
        return {
            "messages": [shown for entry in page.entries if (shown := message_shown(entry, self._metrics)) is not None],
            "upto": page.upto,
            "reset": page.reset,
            "more": (more or None) if page.more else None,
        }

    @http_call(
        "PUT /v1/conversations/{conversation}/read",
        needs=UserScope.READ,
        path={"conversation": ConversationName()},
        body={"position": Position()},
        answers={204: None},
        errors=(404,),
        example={"position": "1795430398288-1"},
    )
    async def read(self, caller: Caller, conversation: str, position: str) -> None:
        """Set the position up to which the user has read.

        The mark only moves forward, never beyond the end. It is stored when the call is answered.
        """
        if conversation == conversations.EVERYONE:
            raise Forbidden("messages to everyone (g:0) have no read mark")
        await self._receipts.read(caller.account.id, conversation, position)


def _size(body: bytes) -> int:
    """Return about how many bytes of JSON a message takes: a control character takes six."""
    try:
        said = native.parse_body(body)
    except BadFrame:
        return 0
    changes = sum(len(encode(one.text)) + 96 for one in said.changes)
    return len(encode(said.text)) + len(said.data) * 4 // 3 + changes + 512


def _head(head: ConversationHead) -> dict[str, Any]:
    return {
        "conversation": head.conversation,
        "latest": head.latest,
        "read": head.read,
        "unread": head.unread,
        "active": head.active,
    }
