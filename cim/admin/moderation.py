"""`cim-admin`: bans, mutes, reports, deleting what was said, and broadcasts (docs/moderation.md)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import Group, RouteCommand, only, pages
from cim.admin.naming import YES, UserCommand, confirm, group_of, id_of, shown
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import positive_int
from cim.errors import InvalidField, date_of
from cim.wire import conversations, positions

#: The items of a page of a list.
PAGE = 200
_MINUTES = ["minutes", None, None, "For how many minutes; for good without it.", positive_int]
_REASON = ["reason", None, "", "Why: the user is told."]


class _Sanction(UserCommand):
    """A command that bans or mutes a user.

    :cvar what: the end of the path of the call
    :cvar done: what is said of the user then
    """

    optParameters: Sequence[Sequence[Any]] = [_MINUTES, _REASON]
    what = ""
    done = ""

    async def sanction(self, v1: V1Calls, printing: Printing, user: Mapping[str, Any]) -> None:
        """Do it."""
        body = {"reason": self["reason"], **({"seconds": self["minutes"] * 60} if self["minutes"] else {})}
        made = await v1.ask("PUT", f"admin/users/{user['id']}/{self.what}", dict, body)
        until = f"until {date_of(made['until'])}" if made["until"] else "for good"
        printing.one({**user, **made}, "")
        printing.note(f"{shown(user)} is {self.done} {until}")


class Ban(_Sanction):
    """Keeps a user from logging in, for a time or for good, and ends all sessions; the user is told why."""

    optFlags = [YES]
    what, done = "ban", "banned"

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        confirm(f"ban {shown(user)}", bool(self["yes"]))
        await self.sanction(v1, printing, user)


class Unban(UserCommand):
    """Lets a banned user log in again."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"admin/users/{user['id']}/ban", nothing)
        printing.note(f"{shown(user)} may log in again")


class Mute(_Sanction):
    """Keeps a user from saying anything, for a time or for good; the user is told why, and reads on."""

    what, done = "mute", "muted"

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        await self.sanction(v1, printing, await self.user(v1))


class Unmute(UserCommand):
    """Lets a muted user speak again."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"admin/users/{user['id']}/mute", nothing)
        printing.note(f"{shown(user)} may speak again")


class DeleteMessage(RouteCommand):
    """Deletes what somebody said, for all who can read it."""

    synopsis = "[options] CONVERSATION POSITION"
    optFlags = [YES]

    def parseArgs(self, *given: str) -> None:
        """Take where it is."""
        if len(given) != 2:
            raise UsageError("give a conversation and a position, as reports name them")
        try:
            conversations.parse(given[0])
            positions.parse(given[1])
        except InvalidField as error:
            raise UsageError(f"{error.field} {error.reason}") from None
        self["conversation"], self["position"] = given

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        where = f"{self['position']} in {self['conversation']}"
        confirm(f"delete the message {where} for all", bool(self["yes"]))
        path = f"admin/conversations/{self['conversation']}/messages/{self['position']}"
        await v1.ask("DELETE", path, nothing)
        printing.note(f"the message {where} is deleted")


class Broadcast(RouteCommand):
    """Says something as the system user, to one user, to a group, or to everyone."""

    synopsis = "[options] TEXT"
    optParameters: Sequence[Sequence[Any]] = [
        ["to-user", None, None, "The id of a user.", id_of],
        ["to-group", None, None, "The id of a group.", group_of],
        ["client-id", None, "", "What tells a repetition from another message; random without it."],
    ]

    def parseArgs(self, *given: str) -> None:
        """Take the text."""
        self["text"] = only(given, "what to say, in quotes")

    def postOptions(self) -> None:
        """Check to whom it is said."""
        super().postOptions()
        if self["to-user"] and self["to-group"]:
            raise UsageError("give --to-user or --to-group, not both; neither for everyone")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        body = {"text": self["text"], "client_id": self["client-id"] or secrets.token_urlsafe(12)}
        for option in ("to-user", "to-group"):
            if self[option]:
                body[option.replace("-", "_")] = self[option]
        said = await v1.ask("POST", "admin/broadcasts", dict, body)
        printing.one(said, "")
        printing.note(f"said in {said['conversation']} at {said['position']}")


_COLUMNS = (
    Column("ID"),
    Column("MADE", lambda row: when(row["at"])),
    Column("BY", lambda row: row["reporter"]["name"] or row["reporter"]["id"]),
    Column("ABOUT", lambda row: row["sender"]["name"] or row["sender"]["id"]),
    Column("REASON"),
    Column("TEXT", lambda row: " ".join(row["text"].split())[:60]),
)
_ONE = (Column("WHAT"), Column("IS"))


class ListReports(RouteCommand):
    """Lists the reports that are open, the oldest first."""

    optFlags = [["closed", None, "Those that are closed, the newest first."]]
    optParameters: Sequence[Sequence[Any]] = [
        ["sender", None, None, "Only those of what the user with this id said.", id_of],
        ["reporter", None, None, "Only those by the user with this id.", id_of],
        ["conversation", None, "", "Only those of messages in this conversation."],
    ]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        query = {name: self[name] for name in ("sender", "reporter", "conversation") if self[name]}
        query["state"] = "closed" if self["closed"] else "open"
        table = printing.table(_COLUMNS)
        async for page in pages(v1, "admin/reports", "reports", query, PAGE):
            table.add(page)


class _Report(RouteCommand):
    """A command about one report."""

    synopsis = "[options] REPORT"

    def parseArgs(self, *given: str) -> None:
        """Take the id."""
        self["report"] = id_of(only(given, "the id of a report"))


class ShowReport(_Report):
    """Shows a report, with what was said."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        said = await v1.ask("GET", f"admin/reports/{self['report']}", dict)
        if printing.json:
            printing.one(said, "")
            return
        facts = {
            "reported by": shown(said["reporter"]),
            "reported": when(said["at"]),
            "reason": said["reason"],
            "said by": shown(said["sender"]),
            "said": when(said["sent_at"]),
            "where": f"{said['conversation']} {said['position']}",
            "text": said["text"] + (" ..." if said["cut"] else ""),
        }
        if said["size"]:
            facts["data"] = f"{said['size']} bytes of {said['content_type'] or 'no type'}"
        if said["closed"]:
            facts |= {"closed": when(said["closed"]), "with the key": said["by"], "note": said["note"]}
        printing.table(_ONE).add({"what": what, "is": value} for what, value in facts.items())


class CloseReport(_Report):
    """Closes a report."""

    optParameters: Sequence[Sequence[Any]] = [["note", None, "", "For operators: what was done."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        said = await v1.ask("POST", f"admin/reports/{self['report']}/close", dict, {"note": self["note"]})
        printing.one(said, "")
        printing.note(f"report {said['id']} is closed")


class Reports(Group):
    """What users reported."""

    subCommands = [
        ["list", None, ListReports, "List the reports that are open, or were closed."],
        ["show", None, ShowReport, "Show a report, with what was said."],
        ["close", None, CloseReport, "Close a report."],
    ]
