"""`/v1/admin/conversations`: who is in a conversation, and since when; nothing of what is said in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IAccounts, IConversations, IGroups
from cim.model import Entry
from cim.route.http.access import Caller
from cim.route.http.groups import group_shown
from cim.route.http.shapes import GROUP, USER_ID, WHEN, ConversationName, Position
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Integer, Nullable, Object, Text
from cim.wire import conversations, native
from cim.wire.positions import NOWHERE

_MARK = Object(
    {"position": Position(), "sender": Integer(0, 1 << 53, "The id of a user."), "sent_at": WHEN},
    "MessageMark",
)
_PARTNER = Object({"id": USER_ID, "name": Text(1024, about="Empty if the account was deleted.")}, "Partner")
_CONVERSATION = Object(
    {
        "conversation": ConversationName(),
        "users": Array(_PARTNER, "The two of a private conversation; none for a group, which has members."),
        "group": Nullable(GROUP, "Null for two people, and for everyone's."),
        "oldest": Nullable(_MARK, "The first message that is kept; null if there is none."),
        "newest": Nullable(_MARK, "The last message; null if there is none."),
    },
    "ConversationFacts",
)


@frozen(kw_only=True, eq=False)
class ConversationsAPI:
    """The call about any conversation."""

    _conversations: IConversations
    _groups: IGroups
    _accounts: IAccounts

    @http_call(
        "GET /v1/admin/conversations/{conversation}",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"conversation": ConversationName()},
        answers={200: _CONVERSATION},
        errors=(404,),
    )
    async def conversation(self, caller: Caller, conversation: str) -> dict[str, Any]:
        """Tell who is in a conversation, and of its oldest and newest message when it was said, and by whom."""
        which = conversations.parse(conversation)
        users, group = [], None
        if isinstance(which, conversations.PrivateConversation):
            both = (which.low, which.high)
            known = await self._accounts.accounts(both)
            users = [{"id": id, "name": known[id].name if id in known else ""} for id in both]
        elif which.id:
            group = await self._groups.group(which.id)
            if group is None:
                raise NotFound("there is no such group")
        oldest = await self._conversations.read(conversation, limit=1)
        newest = await self._conversations.read(conversation, before=NOWHERE, limit=1)
        return {
            "conversation": conversation,
            "users": users,
            "group": group_shown(group) if group is not None else None,
            "oldest": _mark(oldest.entries[:1]),
            "newest": _mark(newest.entries[-1:]),
        }


def _mark(entries: Sequence[Entry]) -> dict[str, Any] | None:
    if not entries:
        return None
    [entry] = entries
    body = native.parse_body(entry.body)
    return {"position": entry.position, "sender": body.sender, "sent_at": body.sent_at}
