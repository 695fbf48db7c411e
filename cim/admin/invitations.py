"""`cim-admin invite`, `invitations` and `revoke`: codes with which people make accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import RouteCommand, only
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import positive_int
from cim.invitation_codes import MAX_DAYS
from cim.plain import quoted

_PATH = "admin/invitations"
_COLUMNS = (
    Column("ID"),
    Column("USED", lambda row: f"{row['used']} of {row['uses']}"),
    Column("EXPIRES", lambda row: when(row["expires"])),
    Column("NOTE"),
)


class Invite(RouteCommand):
    """Makes an invitation, and prints its code."""

    optParameters: Sequence[Sequence[Any]] = [
        ["uses", None, 1, "How many accounts may be made with it.", positive_int],
        ["days", None, 7, "How many days it is good for.", positive_int],
        ["note", None, "", "What it is for."],
    ]

    def postOptions(self) -> None:
        """Check what the route would refuse in words of its own."""
        if self["days"] > MAX_DAYS:
            raise UsageError(f"--days must be at most {MAX_DAYS}")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        body = {"uses": self["uses"], "expires_in": self["days"] * 86400, "note": self["note"]}
        made = await v1.ask("POST", _PATH, dict, body)
        printing.note(
            f"good for {made['uses']} new account{'s' * (made['uses'] > 1)} until {when(made['expires'])}:"
            " make client NAME=... INVITATION=<code>, or --invitation <code>"
        )
        printing.one(made, made["code"])


class Invitations(RouteCommand):
    """Lists the invitations that have not expired."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        printing.table(_COLUMNS).add(await v1.ask("GET", _PATH, lambda said: said["invitations"]))


class Revoke(RouteCommand):
    """Revokes an invitation, given its id as `invitations` lists it."""

    synopsis = "[options] ID"

    def parseArgs(self, *given: str) -> None:
        """Take the id."""
        id = only(given, "the id of an invitation")
        if not (id.isascii() and id.isalnum()):
            raise UsageError(f"{quoted(id, 40)} is not the id of an invitation; `cim-admin invitations` lists them")
        self["id"] = id

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        await v1.ask("DELETE", f"{_PATH}/{self['id']}", nothing)
