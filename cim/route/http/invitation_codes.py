"""`/v1/admin/invitations`: the calls with which operators invite people to make accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import asdict, frozen

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IInvitationCodes
from cim.invitation_codes import MAX_DAYS, MAX_USES, id_of, make_code
from cim.route.http.access import Caller
from cim.route.http.shapes import WHEN
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Integer, Object, Optional, Text

#: How long an invitation is good for unless its maker says it, and at most, in seconds.
USUAL_SECONDS, MAX_SECONDS = 7 * 86400, MAX_DAYS * 86400
_ID = Text(64, 1, "What the invitation is called here; it is no code.", printable=True)
_NOTE = Text(200, about="What it is for.", printable=True)
_FIELDS = {
    "id": _ID,
    "uses": Integer(1, MAX_USES, "How many accounts may be made with it."),
    "used": Integer(0, MAX_USES, "How many accounts were made with it."),
    "made": WHEN,
    "expires": WHEN,
    "note": _NOTE,
}
_INVITATION = Object(_FIELDS, "InvitationCode")
_NEW = Object({"code": Text(64, about="What makes an account; it is shown only here."), **_FIELDS}, "NewInvitationCode")
_INVITATIONS = Object({"invitations": Array(_INVITATION, "The newest last.")}, "InvitationCodes")


@frozen(kw_only=True, eq=False)
class InvitationCodesAPI:
    """The calls about invitations.

    :param random_bytes: returns that many random bytes, fit for secrets
    """

    _invitations: IInvitationCodes
    _random_bytes: Callable[[int], bytes]

    @http_call(
        "POST /v1/admin/invitations",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        body={
            "uses": Optional(Integer(1, MAX_USES, "How many accounts may be made with it."), 1),
            "expires_in": Optional(Integer(1, MAX_SECONDS, "Seconds."), USUAL_SECONDS),
            "note": Optional(_NOTE, ""),
        },
        answers={201: _NEW},
        errors=(409,),
        example={"uses": 5, "note": "for the sales team"},
    )
    async def make_invitation_code(self, caller: Caller, uses: int, expires_in: int, note: str) -> dict[str, Any]:
        """Make an invitation.

        Its code is shown only in this answer. 409 if there are 1,000 already that have not expired.
        """
        code = make_code(self._random_bytes)
        made = await self._invitations.make(id_of(code), uses=uses, seconds=expires_in, note=note)
        return {"code": code, **asdict(made)}

    @http_call("GET /v1/admin/invitations", who=Who.OPERATOR, scope=Scope.USERS, answers={200: _INVITATIONS})
    async def invitation_codes(self, caller: Caller) -> dict[str, Any]:
        """List the invitations that have not expired."""
        return {"invitations": [asdict(one) for one in await self._invitations.listed()]}

    @http_call(
        "DELETE /v1/admin/invitations/{id}",
        who=Who.OPERATOR,
        scope=Scope.USERS,
        path={"id": _ID},
        answers={204: None},
        errors=(404,),
    )
    async def revoke_invitation_code(self, caller: Caller, id: str) -> None:
        """Revoke an invitation.

        Accounts that were made with it stay.
        """
        if not await self._invitations.revoke(id):
            raise NotFound("there is no such invitation")
