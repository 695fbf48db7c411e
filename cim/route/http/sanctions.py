"""`/v1/admin`: bans and mutes (docs/moderation.md)."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import Banned, Conflict, NotFound
from cim.interfaces import IStore
from cim.model import Sanction
from cim.route.front.login import Logins
from cim.route.http.access import Caller
from cim.route.http.shapes import USER_ID, WHEN
from cim.route.http.tokens import Tokens
from cim.route.messages.accounts import KnownAccounts
from cim.web.declaring import Who, http_call
from cim.web.schema import Integer, Nullable, Object, Optional, Text

#: The longest time for which somebody is banned or muted but not for good, seconds: ten years.
MAX_SECONDS = 10 * 365 * 86_400
MAX_REASON = 300
_MADE = Object(
    {
        "until": Nullable(Integer(0, 1 << 53, "When it ends, ms since 1970; null for never.")),
        "reason": Text(MAX_REASON, about="Why, for the user; empty if nobody said."),
        "since": WHEN,
    },
    "Sanction",
)
BAN = Nullable(_MADE, "What keeps the user from logging in; null for nothing.")
MUTE = Nullable(_MADE, "What keeps the user from saying anything; null for nothing.")
_BODY = {
    "seconds": Optional(Integer(1, MAX_SECONDS, "For how long; for good if left out.")),
    "reason": Optional(Text(MAX_REASON, about="Why: the user is told.", printable=True), ""),
}


def sanction_shown(sanction: Sanction | None) -> dict[str, Any] | None:
    """Return a ban or mute as a JSON value."""
    if sanction is None:
        return None
    return {"until": sanction.until or None, "reason": sanction.reason, "since": sanction.since}


@frozen(kw_only=True, eq=False)
class SanctionsAPI:
    """The calls that keep users out or silent, and let them in or speak again."""

    _store: IStore
    _known: KnownAccounts
    _logins: Logins
    _tokens: Tokens

    @http_call(
        "PUT /v1/admin/users/{id}/ban",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"id": USER_ID},
        body=_BODY,
        answers={200: _MADE},
        errors=(404, 409),
        example={"seconds": 86400, "reason": "spam"},
    )
    async def ban(self, caller: Caller, id: int, seconds: int | None, reason: str) -> dict[str, Any] | None:
        """Ban a user for a time or for good, in the place of an earlier ban.

        Ends all sessions and revokes all tokens; the user may not log in, and is told until when, and why. The name
        stays taken, what others send is stored, and a new password changes nothing. 409 for guests, who have no
        password with which they log in.
        """
        return sanction_shown(await self._ban(id, seconds or 0, reason))

    @http_call(
        "DELETE /v1/admin/users/{id}/ban",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    async def unban(self, caller: Caller, id: int) -> None:
        """End the ban of a user."""
        await self._unban(id)

    @http_call(
        "PUT /v1/admin/users/{id}/mute",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"id": USER_ID},
        body=_BODY,
        answers={200: _MADE},
        errors=(404,),
        example={"seconds": 3600, "reason": "calm down"},
    )
    async def mute_user(self, caller: Caller, id: int, seconds: int | None, reason: str) -> dict[str, Any] | None:
        """Mute a user, or a guest, for a time or for good, in the place of an earlier mute.

        Whatever it says is refused, by whatever way and in whatever conversation, edits and reactions, too, and it is
        told until when, and why (403 `muted`). It can read, and recall what it has said.
        """
        await self._known.look(id)
        return sanction_shown(await self._store.muted_users.mute(id, seconds=seconds or 0, reason=reason))

    @http_call(
        "DELETE /v1/admin/users/{id}/mute",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    async def unmute_user(self, caller: Caller, id: int) -> None:
        """End the mute of a user."""
        if not await self._store.muted_users.unmute(id):
            raise NotFound("there is no such user, or it is not muted")

    @http_call(
        "PUT /v1/admin/users/{id}/suspension",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404, 409),
    )
    async def suspend(self, caller: Caller, id: int) -> None:
        """Ban a user for good, without a reason, as `PUT /v1/admin/users/{id}/ban` does."""
        await self._ban(id, 0, "")

    @http_call(
        "DELETE /v1/admin/users/{id}/suspension",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    async def resume(self, caller: Caller, id: int) -> None:
        """End the ban of a user, as `DELETE /v1/admin/users/{id}/ban` does."""
        await self._unban(id)

    async def _ban(self, user: int, seconds: float, reason: str) -> Sanction:
        ban = await self._store.credentials.ban(user, self._tokens.now(), seconds=seconds, reason=reason)
        if ban is None:
            if await self._store.accounts.account(user) is None:
                raise NotFound("there is no such user")
            raise Conflict("a guest has no password, and cannot be kept from logging in but by --no-guests")
        self._tokens.forget(user)
        await self._logins.end_sessions(user, code="banned", message=Banned.of(ban).message)
        return ban

    async def _unban(self, user: int) -> None:
        if not await self._store.credentials.unban(user):
            raise NotFound("there is no such user, or it is not banned")
