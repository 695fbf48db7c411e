"""`/v1`: which conversations a user mutes."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.errors import NotFound
from cim.interfaces import IMutes
from cim.model import FOREVER
from cim.route.http.access import Caller, confirmed
from cim.route.http.shapes import ConversationName
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.reading import Reading
from cim.web.declaring import http_call
from cim.web.schema import Array, Integer, Object, Optional
from cim.wire import cim_pb2, native

UNTIL = Integer(1, FOREVER, f"ms since 1970; {FOREVER} is until it is unmuted.")
_MUTES = Object(
    {"conversations": Array(Object({"conversation": ConversationName(), "until": UNTIL}, "Mute"), "By name.")}, "Mutes"
)
_PATH = {"conversation": ConversationName()}


@frozen
class MutesAPI:
    """The calls about what a user mutes."""

    _store: IMutes
    _reading: Reading
    _delivery: Delivery

    @http_call("GET /v1/mutes", answers={200: _MUTES})
    async def muted_conversations(self, caller: Caller) -> dict[str, Any]:
        """List the conversations that the user mutes."""
        muted = await self._store.muted(caller.account.id)
        return {"conversations": [{"conversation": name, "until": muted[name]} for name in sorted(muted)]}

    @http_call(
        "PUT /v1/conversations/{conversation}/mute",
        path=_PATH,
        body={"until": Optional(UNTIL, FOREVER)},
        answers={204: None},
        errors=(409,),
        example={"until": 1795440000000},
    )
    @confirmed
    async def mute_conversation(self, caller: Caller, conversation: str, until: int) -> None:
        """Mute a conversation: its messages come and count as before, and notify nobody.

        It is told to all devices of the user. Without `until` it lasts until it is unmuted. 409 if you mute 1,000
        conversations already.
        """
        user = caller.account.id
        await self._reading.floor(user, conversation)
        await self._store.mute(user, conversation, until)
        self._tell(user, conversation, until)

    @http_call("DELETE /v1/conversations/{conversation}/mute", path=_PATH, answers={204: None}, errors=(404,))
    async def unmute_conversation(self, caller: Caller, conversation: str) -> None:
        """Unmute a conversation."""
        # Also one that the user is not part of any more.
        if not await self._store.unmute(caller.account.id, conversation):
            raise NotFound("you do not mute this conversation")
        self._tell(caller.account.id, conversation, 0)

    def _tell(self, user: int, conversation: str, until: int) -> None:
        packet = native.packet(muted=cim_pb2.Muted(conversation=conversation, until=until))
        self._delivery.to_users(Push(packet), (user,))
