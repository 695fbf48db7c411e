"""`cim-admin groups`: who may join, read and write in any group, and who is banned from it."""

from __future__ import annotations

from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import Group
from cim.admin.groups import COMMANDS, GROUP_COLUMNS, MemberCommand
from cim.admin.naming import GroupCommand, shown
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import positive_int
from cim.errors import date_of

_BANS = (
    Column("NAME", lambda row: row["user"]["name"]),
    Column("ID", lambda row: row["user"]["id"]),
    Column("BY", lambda row: row["by"]["name"] if row["by"] is not None else "an operator"),
    Column("SINCE", lambda row: when(row["at"])),
)
_MINUTES = ["minutes", None, None, "For how many minutes; without it, until somebody ends it.", positive_int]


class Set(GroupCommand):
    """Changes who may join a group, and read it."""

    optFlags = [
        ["open", None, "Anyone may join."],
        ["closed", None, "Whoever joins must be invited."],
        ["history", None, "Who joins from now on may read what is said from now on before that."],
        ["no-history", None, "Who joins reads only what is said from then on."],
    ]

    def postOptions(self) -> None:
        """Check that the flags go together."""
        super().postOptions()
        given = [[self["open"], self["closed"]], [self["history"], self["no-history"]]]
        if any(map(all, given)) or not any(map(any, given)):
            raise UsageError("give --open or --closed, or --history or --no-history, or one of each")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        body = {}
        for field, yes, no in (("open", "open", "closed"), ("history", "history", "no-history")):
            if self[yes] or self[no]:
                body[field] = bool(self[yes])
        said = await v1.ask("PATCH", f"admin/groups/{self['group']}", dict, body)
        printing.table(GROUP_COLUMNS).add([said])


def _until(said: Any) -> str:
    return f"until {date_of(said['muted'])}" if said["muted"] else "until somebody ends it"


class MuteAll(GroupCommand):
    """Lets only admins and owners write in a group."""

    optParameters = [_MINUTES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        body = {"seconds": self["minutes"] * 60} if self["minutes"] else {}
        said = await v1.ask("PUT", f"groups/{self['group']}/mute", dict, body)
        printing.note(f"only admins and owners write in g:{self['group']} {_until(said)}")


class UnmuteAll(GroupCommand):
    """Lets all members write in a group again."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        await v1.ask("DELETE", f"groups/{self['group']}/mute", nothing)
        printing.note(f"all members may write in g:{self['group']} again")


class Mute(MemberCommand):
    """Lets a member write nothing in a group."""

    optParameters = [_MINUTES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        body = {"seconds": self["minutes"] * 60} if self["minutes"] else {}
        said = await v1.ask("PUT", f"groups/{self['group']}/members/{user['id']}/mute", dict, body)
        printing.note(f"{shown(user)} is muted in g:{self['group']} {_until(said)}")


class Unmute(MemberCommand):
    """Lets a member write in a group again."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"groups/{self['group']}/members/{user['id']}/mute", nothing)
        printing.note(f"{shown(user)} may write in g:{self['group']} again")


class Ban(MemberCommand):
    """Removes a user from a group, and lets nobody bring it back; its own admins cannot undo it."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("PUT", f"groups/{self['group']}/bans/{user['id']}", nothing)
        printing.note(f"{shown(user)} is banned from g:{self['group']}")


class Unban(MemberCommand):
    """Lets a banned user come back to a group."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"groups/{self['group']}/bans/{user['id']}", nothing)
        printing.note(f"{shown(user)} may come back to g:{self['group']}")


class Bans(GroupCommand):
    """Lists who is banned from a group, the last one first."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        found = await v1.ask("GET", f"groups/{self['group']}/bans", dict)
        printing.table(_BANS).add(found["bans"])


class Groups(Group):
    """Any group, whoever is in it."""

    subCommands = [
        *COMMANDS,
        ["set", None, Set, "Change who may join a group, and read it."],
        ["mute-all", None, MuteAll, "Let only admins and owners write."],
        ["unmute-all", None, UnmuteAll, "Let all members write again."],
        ["mute", None, Mute, "Let a member write nothing."],
        ["unmute", None, Unmute, "Let a member write again."],
        ["ban", None, Ban, "Remove a user for good."],
        ["unban", None, Unban, "Let a banned user come back."],
        ["bans", None, Bans, "List who is banned."],
    ]
