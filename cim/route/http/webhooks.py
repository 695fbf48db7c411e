"""`/v1/admin/webhooks`: how webhooks fare, and how operators go on with what has stopped (docs/webhooks.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IConversations, IFollowers
from cim.route.events.webhooks import Webhooks
from cim.route.http.access import Caller
from cim.route.http.shapes import WHEN, ConversationName
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Boolean, Integer, Object, Optional, Text

_NAME = Text(32, 1, "What the webhook is called.", printable=True)
_COUNT = Integer(0, 1 << 53, "In how many conversations it goes on.")
_STOPPED = Object({"conversation": ConversationName(), "since": WHEN}, "StoppedConversation")
_WEBHOOK = Object(
    {
        "name": _NAME,
        "events": Array(Text(32, about="The type of an event."), "What it gets."),
        "late": Integer(0, 1 << 53, "Conversations in which something waits, and nobody works on it yet."),
        "error": Text(1024, about="Why this route's last attempt failed; empty if it did not."),
        "stopped": Boolean("It wanted nothing any more (410), and gets nothing."),
        "stopped_count": Integer(0, 1 << 53, "Conversations that have stopped, for it failed for a day."),
        "conversations": Array(_STOPPED, "Some of them."),
    },
    "Webhook",
)
_WEBHOOKS = Object({"webhooks": Array(_WEBHOOK, "Those of this route's configuration.")}, "Webhooks")
_RESUMED = Object({"resumed": _COUNT}, "Resumed")


class WebhooksAPI:
    """The calls about webhooks.

    :param webhooks: those of the route; None without any
    """

    def __init__(self, webhooks: Webhooks | None, followers: IFollowers, conversations: IConversations) -> None:
        self._senders = {sender.webhook.name: sender for sender in webhooks.logs} if webhooks is not None else {}
        self._all = webhooks.webhooks if webhooks is not None else ()
        self._followers = followers
        self._conversations = conversations

    @http_call("GET /v1/admin/webhooks", who=Who.OPERATOR, scope=Scope.ADMIN, answers={200: _WEBHOOKS})
    async def webhooks(self, caller: Caller) -> dict[str, Any]:
        """Tell how webhooks fare."""
        shown = []
        for webhook in self._all:
            state = await self._followers.following(webhook.name)
            sender = self._senders.get(webhook.name)
            shown.append(
                {
                    "name": webhook.name,
                    "events": sorted(webhook.events),
                    "late": state.late,
                    "error": sender.error[:1024] if sender is not None else "",
                    "stopped": state.stopped,
                    "stopped_count": state.count,
                    "conversations": _listed(state.conversations),
                }
            )
        return {"webhooks": shown}

    @http_call(
        "POST /v1/admin/webhooks/{name}/replay",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"name": _NAME},
        body={"conversation": Optional(ConversationName(), "")},
        answers={200: _RESUMED},
        errors=(404,),
        example={"conversation": "p:1:2"},
    )
    async def replay_webhook(self, caller: Caller, name: str, conversation: str) -> dict[str, Any]:
        """Go on where a webhook has stopped, with the event that it did not take: in one conversation, or in all.

        One that still fails is tried again at once, too. 404 if there is no such webhook, or it does not fail in the
        conversation.
        """
        return await self._resumed(name, conversation, None)

    @http_call(
        "POST /v1/admin/webhooks/{name}/skip",
        who=Who.OPERATOR,
        scope=Scope.ADMIN,
        path={"name": _NAME},
        body={"conversation": ConversationName(), "all": Optional(Boolean("Skip all that waits there."), False)},
        answers={200: _RESUMED},
        errors=(404,),
        example={"conversation": "p:1:2"},
    )
    async def skip_webhook(self, caller: Caller, name: str, conversation: str, all: bool) -> dict[str, Any]:
        """Go on behind the event that a webhook does not take in a conversation; it never gets that one.

        404 as for replay.
        """
        place = await self._followers.place(name, conversation)
        position = ""
        if not all and place is not None:
            page = await self._conversations.read(conversation, after=place.position, limit=1)
            position = page.upto
            if page.entries:
                position = page.entries[0].previous if page.reset else page.entries[0].position
        return await self._resumed(name, conversation, position)

    async def _resumed(self, name: str, conversation: str, position: str | None) -> dict[str, Any]:
        if name not in self._senders:
            raise NotFound("there is no such webhook, or it gets nothing from the logs")
        resumed = await self._followers.resume(name, conversation, position=position)
        if conversation and not resumed:
            raise NotFound("it does not fail in this conversation, or is just being tried: try again in a minute")
        self._senders[name].wake()
        return {"resumed": resumed}


def _listed(stopped: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"conversation": conversation, "since": since} for conversation, since in stopped.items()]
