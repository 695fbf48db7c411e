"""`cim-admin groups`: any group, whoever is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import RouteCommand, pages
from cim.admin.naming import YES, GroupCommand, UserCommand, confirm, group_of, shown
from cim.admin.printing import Column, Printing
from cim.client.v1 import V1Calls, nothing
from cim.errors import CIMError
from cim.plain import printable

_ROLES = {"member": "a member", "admin": "an admin", "owner": "an owner"}
#: The items of a page of a list.
PAGE = 200
GROUP_COLUMNS = (
    Column("GROUP", lambda row: f"g:{row['id']}"),
    Column("NAME"),
    Column("MEMBERS"),
    Column("ENTRY", lambda row: "open" if row["open"] else "by invitation"),
    Column("HISTORY", lambda row: "from the beginning" if row["history"] else "from joining on"),
)
_MEMBERS = (
    Column("NAME", lambda row: row["user"]["name"]),
    Column("ID", lambda row: row["user"]["id"]),
    Column("ROLE"),
)


class List(RouteCommand):
    """Lists all groups, in an order of the store's own."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        table = printing.table(GROUP_COLUMNS)
        async for page in pages(v1, "admin/groups", "groups", {}, PAGE):
            table.add(page)


class Show(GroupCommand):
    """Shows a group."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        printing.table(GROUP_COLUMNS).add([await v1.ask("GET", f"admin/groups/{self['group']}", dict)])


class Members(GroupCommand):
    """Lists the members of a group, by their ids."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        table = printing.table(_MEMBERS)
        async for page in pages(v1, f"admin/groups/{self['group']}/members", "members", {}, PAGE):
            table.add(page)


class MemberCommand(UserCommand):
    """A command about a user in a group."""

    synopsis = "[options] GROUP NAME"

    def parseArgs(self, *given: str) -> None:
        """Take the group's id, and the user's name."""
        if len(given) != 2:
            raise UsageError("give the id of a group and the name of a user")
        self["group"] = group_of(given[0])
        self.take(given[1])


class Add(MemberCommand):
    """Makes a user a member of a group, without asking."""

    optFlags = [["admin", None, "Make it an admin."], ["owner", None, "Make it an owner: take the group over."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        role = {"role": "owner"} if self["owner"] else {"role": "admin"} if self["admin"] else {}
        put = await v1.ask("PUT", f"groups/{self['group']}/members/{user['id']}", dict, role)
        printing.one({"group": self["group"], **put}, "")
        printing.note(f"{shown(user)} is {_ROLES[put['role']]} of g:{self['group']}")


class Remove(MemberCommand):
    """Removes a user from a group."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"admin/groups/{self['group']}/members/{user['id']}", nothing)
        printing.note(f"{shown(user)} is not in g:{self['group']} any more")


class Rename(RouteCommand):
    """Renames a group."""

    synopsis = "[options] GROUP NAME"

    def parseArgs(self, *given: str) -> None:
        """Take the group's id, and the new name."""
        if len(given) != 2:
            raise UsageError("give the id of a group and its new name")
        self["group"], self["name"] = group_of(given[0]), given[1]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        said = await v1.ask("PATCH", f"admin/groups/{self['group']}", dict, {"name": self["name"]})
        printing.table(GROUP_COLUMNS).add([said])


class Delete(GroupCommand):
    """Deletes a group, with its messages."""

    optFlags = [YES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        path = f"admin/groups/{self['group']}"
        group = await v1.ask("GET", path, dict)
        what = f"g:{group['id']} {printable(group['name'])}"
        confirm(f"delete {what}, which has {_members(group)}, and its messages", bool(self["yes"]))
        before = group["members"] + 1
        while left := await v1.ask("DELETE", path, lambda said: said["members"]):
            if left >= before:
                raise CIMError(f"{what} still has {left} members: others join it")
            before = left
        printing.note(f"{what} is deleted")


def _members(group: Mapping[str, Any]) -> str:
    return f"{group['members']} member{'s' * (group['members'] != 1)}"


#: The commands of `cim-admin groups` about groups and their members.
COMMANDS: Sequence[Sequence[Any]] = [
    ["list", None, List, "List all groups."],
    ["show", None, Show, "Show a group."],
    ["members", None, Members, "List the members of a group."],
    ["add", None, Add, "Make a user a member, an admin or an owner."],
    ["remove", None, Remove, "Remove a member."],
    ["rename", None, Rename, "Rename a group."],
    ["delete", None, Delete, "Delete a group, with its messages."],
]
