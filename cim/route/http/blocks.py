"""`/v1`: whom users block."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.errors import InvalidField, NotFound
from cim.interfaces import IBlocks, IInvitations
from cim.route.http.access import Caller, confirmed
from cim.route.http.shapes import USER_ID
from cim.route.messages.delivery import Delivery
from cim.route.presence.blocks import Blocks
from cim.route.presence.whereabouts import Whereabouts
from cim.user_tokens import UserScope
from cim.web.declaring import http_call
from cim.web.schema import Array, Id, Object
from cim.wire import cim_pb2, native

_BLOCKS = Object({"users": Array(Id(), "By id.")}, "Blocks")


@frozen
class BlocksAPI:
    """The calls about whom a user blocks."""

    _store: IBlocks
    _invitations: IInvitations
    _blocks: Blocks
    _whereabouts: Whereabouts
    _delivery: Delivery

    @http_call("GET /v1/blocks", needs=UserScope.ACCOUNT, answers={200: _BLOCKS})
    async def blocked(self, caller: Caller) -> dict[str, Any]:
        """List whom the user blocks."""
        return {"users": list(await self._store.blocked(caller.account.id))}

    @http_call("PUT /v1/blocks/{user}", path={"user": USER_ID}, answers={204: None}, errors=(409,))
    @confirmed
    async def block(self, caller: Caller, user: int) -> None:
        """Block a user.

        For that user you seem not to exist: its messages, edits, reactions and invitations are refused, its typing
        notes and receipts do not arrive, its invitations are gone, and it does not see whether you are online. It can
        still recall what it has said. 409 if you block 1,000 users already.
        """
        # Whether there is such a user is not checked: the answer would tell somebody who is blocked by it.
        me = caller.account.id
        if user == me:
            raise InvalidField("user", "must be another user")
        await self._blocks.block(me, user)
        for one in await self._invitations.waiting(me):
            if one.by == user:
                await self._invitations.end(one.group, me, declined=False)
        await self._tell_presence(me, user, online=False)

    @http_call("DELETE /v1/blocks/{user}", path={"user": USER_ID}, answers={204: None}, errors=(404,))
    @confirmed
    async def unblock(self, caller: Caller, user: int) -> None:
        """Unblock a user."""
        if not await self._blocks.unblock(caller.account.id, user):
            raise NotFound("you do not block this user")
        await self._tell_presence(caller.account.id, user, online=True)

    async def _tell_presence(self, me: int, user: int, *, online: bool) -> None:
        """Tell somebody else, as far as it watches the user, that the user is online or seems not to be."""
        if await self._whereabouts.sessions(me):
            self._delivery.to_watchers(native.packet(presence=cim_pb2.Presence(user_id=me, online=online)), user, me)
