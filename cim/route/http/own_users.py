"""`/v1`: what back ends do for their own users: tokens that log them in, and ids that lead to their accounts."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import Banned, Conflict, InvalidField, NotFound
from cim.external_ids import OURS, ExternalId, check_external_id
from cim.interfaces import IStore
from cim.model import Account
from cim.route.front.login import Logins
from cim.route.http.access import Caller
from cim.route.http.new_accounts import EXTERNAL_ID, ISSUER
from cim.route.http.shapes import ACCOUNT, USER_ID, WHEN, Device
from cim.route.http.tokens import Tokens
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.broadcasting import check_person
from cim.user_tokens import ALL, MAX_SECONDS, UserScope, UserToken, scopes_of, words_of
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Choice, Integer, Object, Optional, Text, Texts

_SCOPES = Array(Choice(tuple(UserScope)), "What may be done with it.")
_ID = Text(64, 1, "What it is listed and revoked by; not the token.", printable=True)
_DEVICE = Text(64, about="The only device that it is for; empty for any.")
_MADE = Object(
    {
        "id": _ID,
        "token": Text(4096, about="The token, which is shown only here."),
        "expires_in": Integer(1, MAX_SECONDS, "Seconds."),
        "device": _DEVICE,
        "scopes": _SCOPES,
    },
    "MadeToken",
)
USER_TOKEN = Object({"id": _ID, "made": WHEN, "ends": WHEN, "device": _DEVICE, "scopes": _SCOPES}, "UserToken")
EXTERNAL = Object({"external_id": EXTERNAL_ID, "issuer": ISSUER}, "ExternalId")
_EXTERNAL_IDS = Object({"external_ids": Array(EXTERNAL, "One of each issuer.")}, "ExternalIds")


@frozen(kw_only=True, eq=False)
class OwnUsersAPI:
    """The calls of back ends about the tokens and external ids of a user."""

    _store: IStore
    _known: KnownAccounts
    _logins: Logins
    _tokens: Tokens

    @http_call(
        "POST /v1/users/{id}/tokens",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        body={
            "seconds": Optional(Integer(1, MAX_SECONDS, "For how long it is good; as long as others if left out.")),
            "device": Optional(Device("Makes it good for this device alone.", new=True)),
            "scopes": Optional(Texts(len(ALL), 64, f"What may be done with it, of {', '.join(UserScope)}; all of it.")),
        },
        answers={201: _MADE},
        errors=(404, 409),
        example={"seconds": 3600, "device": "web", "scopes": ["read", "send"]},
    )
    async def make_token(
        self, caller: Caller, id: int, seconds: int | None, device: str | None, scopes: list[str] | None
    ) -> dict[str, Any]:
        """Make a token for a user, with which a client logs in, and makes calls, without a password.

        Sessions and tokens that are issued from it may do no more and end with it. 409 for guests, and with 200 tokens
        of the user.
        """
        granted = ALL if scopes is None else scopes_of(scopes)
        if scopes is not None and (not scopes or len(granted) != len(set(scopes))):
            raise InvalidField("scopes", f"must be some of {', '.join(UserScope)}")
        account = await self._known.get(id)
        credential = await self._store.credentials.credential(id)
        if credential is None:
            raise Conflict("this is a guest, whom no token can log in: give the account a password first")
        check_person(credential)
        if credential.ban is not None:
            raise Banned.of(credential.ban)
        lasts = seconds or self._tokens.seconds
        made = await self._tokens.make(account, lasts, device or "", granted, credential.valid_from)
        if made is None:
            raise NotFound("there is no such user")
        token, text = made
        shown = {"id": token.id, "token": text, "expires_in": lasts}
        return {**shown, "device": token.device, "scopes": words_of(token.scopes)}

    @http_call(
        "GET /v1/users/{id}/tokens",
        who=Who.OPERATOR,
        scope=Scope.READ,
        path={"id": USER_ID},
        answers={200: Object({"tokens": Array(USER_TOKEN, "Those that end last at the end.")}, "UserTokens")},
        errors=(404,),
    )
    async def tokens_of(self, caller: Caller, id: int) -> dict[str, Any]:
        """List the tokens that back ends made for a user and that are good."""
        await self._known.get(id)
        return {"tokens": [*map(token_shown, await self._store.user_tokens.listed(id))]}

    @http_call(
        "DELETE /v1/users/{id}/tokens/{token}",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID, "token": _ID},
        answers={204: None},
        errors=(404,),
    )
    async def revoke_token(self, caller: Caller, id: int, token: str) -> None:
        """Revoke a token, with all tokens and sessions that were issued from it."""
        # First, so that nobody logs in with it again.
        revoked = await self._tokens.revoke_made(id, token)
        if not await self._logins.end_issued(id, token) and not revoked:
            raise NotFound("this user has no such token")

    @http_call(
        "GET /v1/admin/external-ids",
        who=Who.OPERATOR,
        scope=Scope.READ,
        query={"external_id": EXTERNAL_ID, "issuer": Optional(ISSUER, OURS)},
        answers={200: ACCOUNT},
        errors=(404,),
    )
    async def find_external(self, caller: Caller, external_id: str, issuer: str) -> dict[str, Any]:
        """Find the account that an external id leads to."""
        user = (await self._store.external_ids.find(ExternalId(issuer, external_id))).user
        account: Account | None = await self._store.accounts.account(user) if user else None
        if account is None:
            raise NotFound("no account has this external id")
        return {"id": account.id, "name": account.name}

    @http_call(
        "GET /v1/admin/users/{id}/external-ids",
        who=Who.OPERATOR,
        scope=Scope.READ,
        path={"id": USER_ID},
        answers={200: _EXTERNAL_IDS},
        errors=(404,),
    )
    async def external_ids_of(self, caller: Caller, id: int) -> dict[str, Any]:
        """List what back ends and issuers call an account."""
        await self._known.get(id)
        return {"external_ids": [*map(external_shown, await self._store.external_ids.linked(id))]}

    @http_call(
        "PUT /v1/admin/users/{id}/external-ids",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        body={"external_id": EXTERNAL_ID, "issuer": Optional(ISSUER, OURS)},
        answers={204: None},
        errors=(404, 409),
        example={"external_id": "mary", "issuer": "https://id.example.com"},
    )
    async def link(self, caller: Caller, id: int, external_id: str, issuer: str) -> None:
        """Have an external id lead to an account: whom the issuer calls so logs in to it from now on.

        409 if the account has another one of the issuer, or the id leads to another account.
        """
        check_person(await self._store.credentials.credential(id))
        await self._store.external_ids.link(id, ExternalId(issuer, check_external_id(external_id)))

    @http_call(
        "DELETE /v1/admin/users/{id}/external-ids",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": USER_ID},
        query={"issuer": Optional(ISSUER, OURS)},
        answers={204: None},
        errors=(404,),
    )
    async def unlink(self, caller: Caller, id: int, issuer: str) -> None:
        """Have an external id no longer lead to an account. Ends all sessions and revokes all tokens."""
        if not await self._store.external_ids.unlink(id, issuer):
            raise NotFound("this user has no external id of this issuer")
        await self._tokens.revoke(id)
        await self._logins.end_sessions(id)


def token_shown(token: UserToken) -> dict[str, Any]:
    """Return a token as a JSON value, without what proves anything."""
    shown = {"id": token.id, "made": token.made, "ends": token.ends}
    return {**shown, "device": token.device, "scopes": words_of(token.scopes)}


def external_shown(external: ExternalId) -> dict[str, Any]:
    """Return an external id as a JSON value."""
    return {"external_id": external.id, "issuer": external.issuer}
