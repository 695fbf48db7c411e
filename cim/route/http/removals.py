"""`/v1/admin`: messages that operators delete for all (docs/moderation.md)."""

from __future__ import annotations

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import Forbidden, NotFound
from cim.interfaces import IConversations
from cim.route.http.access import Caller
from cim.route.http.shapes import ConversationName, Position
from cim.route.messages.recalling import Recalling
from cim.web.declaring import Who, http_call
from cim.wire import native, positions
from cim.wire.cim_pb2 import TEXT


@frozen(kw_only=True, eq=False)
class RemovalsAPI:
    """The call that deletes a message."""

    _store: IConversations
    _recalling: Recalling

    @http_call(
        "DELETE /v1/admin/conversations/{conversation}/messages/{position}",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"conversation": ConversationName(), "position": Position("A text; its edits go with it.")},
        answers={204: None},
        errors=(404,),
    )
    async def delete_message(self, caller: Caller, conversation: str, position: str) -> None:
        """Delete what somebody said, for all who can read it.

        It is recalled, and readers are told that an operator did that. Reports keep their copies.
        """
        epoch, n = positions.parse(position)
        page = await self._store.read(conversation, after=positions.text((epoch, max(0, n - 1))), limit=1)
        found = [one for one in page.entries if one.position == position]
        if not found:
            raise NotFound("there is no such message")
        said = native.parse_body(found[0].body)
        if said.kind != TEXT:
            raise Forbidden("only texts can be deleted; edits go with their texts")
        if not await self._recalling.recall(conversation, position, said, by_operator=True):
            raise NotFound("it was recalled by its author")
