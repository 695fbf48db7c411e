"""`/v1/admin`: what operators say as the system user (docs/moderation.md)."""

from __future__ import annotations

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import Forbidden, InvalidField
from cim.route.http.access import Caller
from cim.route.http.messages import ACCEPTED, accepted_shown
from cim.route.http.shapes import CLIENT_ID
from cim.route.messages.broadcasting import Broadcasting
from cim.route.messages.limits import Key
from cim.web.declaring import Who, WithStatus, http_call
from cim.web.schema import Id, Optional, Text
from cim.wire import native
from cim.wire.cim_pb2 import Send


@frozen(kw_only=True, eq=False)
class BroadcastsAPI:
    """The call that broadcasts."""

    _broadcasting: Broadcasting

    @http_call(
        "POST /v1/admin/broadcasts",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        body={
            "to_user": Optional(Id(about="Or `to_group`; everyone without either.")),
            "to_group": Optional(Id(about="Or `to_user`.")),
            "client_id": CLIENT_ID,
            "text": Text(native.MAX_CONTENT, 1, "What it says."),
        },
        answers={201: ACCEPTED, 200: ACCEPTED},
        errors=(404, 409),
        example={"client_id": "maintenance-1", "text": "We are back at 18:00."},
    )
    async def broadcast(
        self, caller: Caller, to_user: int | None, to_group: int | None, client_id: str, text: str
    ) -> WithStatus:
        """Say something as the system user, to one user, to a group, or to everyone.

        It is a message by an account whose name nobody else can have, and gets past blocks. 200 if the same one, by its
        `client_id`, was stored before. 409 if a user has the name of the system user, or the `client_id` was another
        message's.
        """
        if to_user is not None and to_group is not None:
            raise InvalidField("to_user", "and `to_group` cannot both be given")
        if caller.key is None:
            raise Forbidden()
        send = Send(client_id=client_id, text=text)
        if to_user is not None:
            send.user = to_user
        else:
            send.group = to_group or 0
        conversation, appended = await self._broadcasting.say(send, Key(caller.key.id))
        return accepted_shown(conversation, appended)
