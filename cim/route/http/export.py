"""`/v1/admin`: all that is stored about a user, for operators who have to hand it out."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.daemon.metrics import Metrics
from cim.errors import Forbidden
from cim.interfaces import IStore
from cim.route.http.access import Caller
from cim.route.http.messages import MESSAGE, message_shown
from cim.route.http.own_users import EXTERNAL, USER_TOKEN, external_shown, token_shown
from cim.route.http.reports import REPORT, reports_shown
from cim.route.http.sanctions import BAN, MUTE, sanction_shown
from cim.route.http.sessions import SESSION, sessions_shown
from cim.route.http.shapes import GROUP_ID, MORE, MUTED, ROLE, USER_ID, WHEN, WHERE, ConversationName, Position
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.reading import Reading
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Boolean, Id, Name, Nullable, Object, Optional, Text
from cim.wire import native

_STORED = Object(
    {
        "id": USER_ID,
        "name": Name(),
        "password": Boolean("False for guests."),
        "suspended": Boolean("May not log in."),
        "ban": BAN,
        "mute": MUTE,
        "groups": Array(Object({"group": GROUP_ID, "role": ROLE, "muted": MUTED}, "Membership"), "The user's own."),
        "group_bans": Array(
            Object({"group": GROUP_ID, "by": Nullable(USER_ID, "Null for an operator."), "at": WHEN}, "BanFromGroup"),
            "The groups that the user is banned from.",
        ),
        "invitations": Array(
            Object({"group": GROUP_ID, "by": Id(about="Who invites."), "at": WHEN}, "InvitationToGroup"),
            "Those that wait.",
        ),
        "blocked": Array(Id(), "Whom the user blocks."),
        "pushes": Array(
            Object(
                {"kind": Text(32, about="What serves it."), "device": Text(64, about="Whose it is."), "at": WHEN},
                "StoredPush",
            ),
            "Where the user is notified.",
        ),
        "muted": Array(ConversationName(), "What the user mutes."),
        "sessions": Array(SESSION, "The newest last."),
        "external_ids": Array(EXTERNAL, "What back ends and issuers call the user."),
        "tokens": Array(USER_TOKEN, "Those that back ends made."),
        "reports": Array(REPORT, "Those that the user made."),
    },
    "StoredUser",
)
_CONVERSATIONS = Object(
    {"conversations": Array(ConversationName(), "In an order of the store's own."), "more": MORE}, "ConversationNames"
)
_MESSAGES = Object({"messages": Array(MESSAGE, "Oldest first."), "more": Nullable(Position())}, "ExportedMessages")


@frozen(kw_only=True, eq=False)
class ExportAPI:
    """The calls that read everything about a user."""

    _store: IStore
    _known: KnownAccounts
    _reading: Reading
    _metrics: Metrics

    @http_call(
        "GET /v1/admin/users/{id}/stored",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"id": USER_ID},
        answers={200: _STORED},
        errors=(404,),
    )
    async def stored_of(self, caller: Caller, id: int) -> dict[str, Any]:
        """Get what is stored about a user but conversations."""
        account = await self._known.get(id)
        memberships = await self._store.groups.memberships(id)
        held = await self._store.groups.restrictions(id)
        credential = await self._store.credentials.credential(id)
        return {
            "id": account.id,
            "name": account.name,
            "password": credential is not None,
            "suspended": credential is not None and credential.ban is not None,
            "ban": sanction_shown(credential.ban if credential is not None else None),
            "mute": sanction_shown((await self._store.muted_users.mutes([id])).get(id)),
            "groups": [
                {"group": one.group, "role": one.role.name.lower(), "muted": held.muted.get(one.group)}
                for one in memberships.members
            ],
            "group_bans": [{"group": one.group, "by": one.by or None, "at": one.at} for one in held.bans],
            "invitations": [
                {"group": one.group, "by": one.by, "at": one.at} for one in await self._store.invitations.waiting(id)
            ],
            "blocked": list(await self._store.blocks.blocked(id)),
            "pushes": [
                {"kind": one.kind, "device": one.device, "at": one.at}
                for one in (await self._store.pushes.registrations((id,))).get(id, ())
            ],
            "muted": sorted(await self._store.mutes.muted(id)),
            "sessions": sessions_shown(await self._store.sessions.sessions(id))["sessions"],
            "external_ids": [*map(external_shown, await self._store.external_ids.linked(id))],
            "tokens": [*map(token_shown, await self._store.user_tokens.listed(id))],
            "reports": await reports_shown(await self._store.reports.made(id), self._known),
        }

    @http_call(
        "GET /v1/admin/users/{id}/conversations",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"id": USER_ID},
        query={"after": Optional(WHERE, "")},
        answers={200: _CONVERSATIONS},
    )
    async def conversations_of(self, caller: Caller, id: int, after: str) -> dict[str, Any]:
        """List a user's private conversations, and groups in which the user said something, also those that were left.

        A page may have few conversations, or none, even if more follow.
        """
        names, more = await self._store.conversations.spoken(id, after)
        return {"conversations": list(names), "more": more or None}

    @http_call(
        "GET /v1/admin/users/{id}/messages",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"id": USER_ID},
        query={
            "conversation": ConversationName(),
            "after": Optional(Position("Return messages after this position.", empty=True), ""),
        },
        answers={200: _MESSAGES},
        private=True,
    )
    async def messages_of(self, caller: Caller, id: int, conversation: str, after: str) -> dict[str, Any]:
        """Read what a user may read of a conversation, or what the user said there, if it is no member any more."""
        try:
            page = await self._reading.page(id, conversation, after, limit=native.MAX_PAGE)
            entries = page.entries
        except Forbidden:
            page = await self._store.conversations.read(conversation, after=after, limit=native.MAX_PAGE)
            entries = tuple(one for one in page.entries if native.parse_body(one.body).sender == id)
        shown = [message_shown(one, self._metrics) for one in entries]
        return {"messages": [one for one in shown if one is not None], "more": page.upto if page.more else None}
