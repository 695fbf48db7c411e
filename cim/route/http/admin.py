"""`/v1/admin`: the calls of operators, who have an API key."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IStore
from cim.route.front.login import Logins
from cim.route.guests.accounts import GuestAccounts
from cim.route.http.access import Caller
from cim.route.http.passwords import OPERATORS, Passwords
from cim.route.http.sanctions import BAN, MUTE, sanction_shown
from cim.route.http.sessions import SESSIONS, sessions_shown
from cim.route.http.shapes import MORE, PAGE, PASSWORD, USER_ID, WHERE, limit
from cim.route.http.tokens import Tokens
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.broadcasting import check_person
from cim.route.messages.erasing import Erasing
from cim.route.presence.whereabouts import Whereabouts
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Boolean, Integer, Name, Object, Optional, Text

_USER = Object(
    {
        "id": USER_ID,
        "name": Name(),
        "password": Boolean("False for guests."),
        "suspended": Boolean("May not log in."),
        "ban": BAN,
        "mute": MUTE,
        "online": Boolean("At a server that is linked to the route that answers."),
    },
    "ListedUser",
)
_ERASED = Object({"messages": Integer(0, 1 << 53, "How many were erased by this call."), "more": MORE}, "Erased")
_USERS = Object({"users": Array(_USER, "In an order of the store's own."), "more": MORE}, "Users")


@frozen(kw_only=True, eq=False)
class AdminAPI:
    """The calls that act on any user."""

    _store: IStore
    _known: KnownAccounts
    _guests: GuestAccounts
    _logins: Logins
    _passwords: Passwords
    _tokens: Tokens
    _whereabouts: Whereabouts
    _erasing: Erasing

    @http_call(
        "GET /v1/admin/users",
        who=Who.OPERATOR,
        scope=Scope.READ,
        query={
            "prefix": Optional(Text(256, about="The beginning of their names."), ""),
            "after": Optional(WHERE, ""),
            "limit": Optional(limit(), PAGE),
        },
        answers={200: _USERS},
    )
    async def users(self, caller: Caller, prefix: str, after: str, limit: int) -> dict[str, Any]:
        """List all users, or those whose names begin with a prefix.

        A page may have somewhat more than `limit` users, or few or none even if more follow.
        """
        listing = await self._store.accounts.listed(prefix=prefix, after=after, limit=limit)
        ids = [one.account.id for one in listing.items]
        mutes = await self._store.muted_users.mutes(ids)
        online = await self._whereabouts.sessions_of(ids)
        shown = [
            {
                "id": one.account.id,
                "name": one.account.name,
                "password": one.password,
                "suspended": one.ban is not None,
                "ban": sanction_shown(one.ban),
                "mute": sanction_shown(mutes.get(one.account.id)),
                "online": bool(online[one.account.id]),
            }
            for one in listing.items
        ]
        return {"users": shown, "more": listing.more or None}

    @http_call(
        "GET /v1/admin/users/{id}/sessions",
        who=Who.OPERATOR,
        scope=Scope.READ,
        path={"id": USER_ID},
        answers={200: SESSIONS},
        errors=(404,),
    )
    async def sessions_of(self, caller: Caller, id: int) -> dict[str, Any]:
        """List the devices on which a user is logged in."""
        await self._known.get(id)
        return sessions_shown(await self._store.sessions.sessions(id))

    @http_call(
        "POST /v1/admin/users/{id}/logout",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    async def log_out_user(self, caller: Caller, id: int) -> None:
        """Log a user out: end all sessions and revoke all tokens."""
        await self._known.get(id)
        await self._tokens.revoke(id)
        await self._logins.end_sessions(id)

    @http_call(
        "DELETE /v1/admin/sessions/{user}/{device}",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"user": USER_ID, "device": Text(64, 1, "A device, or `guest`.", printable=True)},
        answers={204: None},
        errors=(404,),
    )
    async def close_session(self, caller: Caller, user: int, device: str) -> None:
        """End the session of one device of a user, and its cookie if it is a page."""
        kept = await self._store.page_logins.end(user, device)
        if not await self._logins.end_sessions(user, device) and not kept:
            raise NotFound("there is no session on this device")

    @http_call(
        "PUT /v1/admin/users/{id}/password",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        body={"password": PASSWORD},
        answers={204: None},
        errors=(404, 409),
        example={"password": "battery staple"},
    )
    async def reset_password(self, caller: Caller, id: int, password: str) -> None:
        """Set a user's password, end all sessions and revoke all tokens.

        A guest account then has a password and can use this API. 409 for the system user.
        """
        check_person(await self._store.credentials.credential(id))
        hashed = await self._passwords.hash(password, OPERATORS)
        if await self._store.credentials.set_password(id, hashed, self._tokens.now()) is None:
            raise NotFound("there is no such user")
        self._tokens.forget(id)
        self._guests.forget(id)
        await self._logins.end_sessions(id)

    @http_call(
        "DELETE /v1/admin/users/{id}",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    async def delete_user(self, caller: Caller, id: int) -> None:
        """Delete an account with its name, credential and memberships.

        Messages that the user sent stay in their conversations.
        """
        if not await self._delete(id):
            raise NotFound("there is no such user")

    async def _delete(self, id: int) -> bool:
        """Delete an account; return False if there is nothing of it."""
        # First, so that it comes into no group while it leaves its own.
        await self._tokens.revoke(id)
        deleted = await self._store.credentials.delete(id)
        self._tokens.forget(id)
        self._known.forget(id)
        # Even if it was deleted before: an attempt that failed half way may have left sessions.
        return bool(await self._logins.end_sessions(id)) or deleted

    @http_call(
        "POST /v1/admin/users/{id}/erase",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        body={"after": Optional(WHERE, "")},
        answers={200: _ERASED},
        example={},
    )
    async def erase(self, caller: Caller, id: int, after: str) -> dict[str, Any]:
        """Delete an account, if it is there, and erase what the user said, some thousands of messages at a time.

        Texts are recalled, so that clients blank them, and neither what was said nor the user's name stays in the log,
        nor in reports of it.
        Call again with `after` until `more` is null; what was erased before does not change again. The first call waits
        3 s, so that it finds what the user may still say through other routes.
        """
        if await self._delete(id):
            await self._tokens.elsewhere()
        await self._store.reports.forget_said(id)
        erased, more = await self._erasing.some(id, after)
        if not more:
            # Recalls note that something happened in the user's conversations.
            await self._store.credentials.delete(id)
        return {"messages": erased, "more": more or None}
