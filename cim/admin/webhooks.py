"""`cim-admin webhooks`: how they fare, and how to go on with what has stopped."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.python.usage import UsageError

from cim.admin.command import Group, RouteCommand
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls
from cim.errors import InvalidField
from cim.plain import quoted
from cim.wire import conversations

_COLUMNS = (
    Column("WEBHOOK", lambda row: row["name"]),
    Column("LATE"),
    Column("STOPPED", lambda row: "all of it" if row["stopped"] else row["stopped_count"]),
    Column("LAST ERROR", lambda row: row["error"] or "none"),
)
_STOPPED = (
    Column("WEBHOOK", lambda row: row["name"]),
    Column("CONVERSATION"),
    Column("STOPPED SINCE", lambda row: when(row["since"])),
)


class List(RouteCommand):
    """Tells of each webhook in how many conversations it is late or has stopped."""

    optFlags = [["stopped", None, "List the conversations that have stopped, some of them."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        found = await v1.ask("GET", "admin/webhooks", lambda said: list(said["webhooks"]))
        if self["stopped"]:
            rows = [{"name": one["name"], **stopped} for one in found for stopped in one["conversations"]]
            printing.table(_STOPPED).add(rows)
        else:
            printing.table(_COLUMNS).add(found)


class WebhookCommand(RouteCommand):
    """A command about a webhook, and perhaps a conversation."""

    synopsis = "[options] WEBHOOK [CONVERSATION]"
    needs_conversation = False

    def parseArgs(self, *given: str) -> None:
        """Take the webhook's name, and the conversation's."""
        if not 1 + self.needs_conversation <= len(given) <= 2:
            raise UsageError("give the name of a webhook, and a conversation such as p:1:2")
        self["webhook"], self["conversation"] = (*given, "")[:2]
        if self["conversation"]:
            try:
                conversations.parse(self["conversation"])
            except InvalidField as error:
                raise UsageError(f"{quoted(self['conversation'], 40)} {error.reason}") from None

    async def resume(self, v1: V1Calls, printing: Printing, how: str, **body: Any) -> None:
        """Have the webhook go on, and print in how many conversations it does."""
        if self["conversation"]:
            body["conversation"] = self["conversation"]
        path = f"admin/webhooks/{quote(self['webhook'], safe='')}/{how}"
        done = await v1.ask("POST", path, dict, body)
        count = done["resumed"]
        printing.one(done, f"{self['webhook']} goes on in {count} conversation{'s' * (count != 1)}")


class Replay(WebhookCommand):
    """Goes on where a webhook has stopped, with the event that it did not take: in a conversation, or in all."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        await self.resume(v1, printing, "replay")


class Skip(WebhookCommand):
    """Goes on behind the event that a webhook does not take in a conversation; it never gets that one."""

    synopsis = "[options] WEBHOOK CONVERSATION"
    needs_conversation = True
    optFlags = [["all", None, "Skip all that waits in the conversation."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        await self.resume(v1, printing, "skip", all=bool(self["all"]))


class Webhooks(Group):
    """How webhooks fare, and what to do when they do not."""

    subCommands = [
        ["list", None, List, "Tell how webhooks fare."],
        ["replay", None, Replay, "Go on where one has stopped."],
        ["skip", None, Skip, "Go on behind what one does not take."],
    ]
