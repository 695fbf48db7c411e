"""`cim-admin status`, `sessions` and `kick`: how the cluster is, and who is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from cim.admin.command import RouteCommand, only, pages
from cim.admin.naming import UserCommand, shown
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls, nothing

#: The items of a page of a list.
PAGE = 200
_PARTS = (Column("PART"), Column("STATE"))
_SERVERS = (
    Column("SERVER", lambda row: row["name"]),
    Column("VERSION", lambda row: row["version"] or "-"),
    Column("LINK", lambda row: "linked" if row["linked"] else "not linked"),
    Column("REGISTRY", lambda row: "listed" if row["listed"] else "not listed"),
    Column("SESSIONS"),
)
_ROUTES = (Column("ROUTE", lambda row: row["name"]), Column("VERSION", lambda row: row["version"] or "-"))
_FACTS = (Column("FACT"), Column("VALUE"))
_SESSIONS = (
    Column("USER", lambda row: row["user"]["name"]),
    Column("ID", lambda row: row["user"]["id"]),
    Column("DEVICE"),
    Column("SERVER"),
)
_RECORDS = (
    Column("DEVICE"),
    Column("STATE", lambda row: "live" if row["live"] else "reserved"),
    Column("SINCE", lambda row: when(row["since"])),
    Column("SERVER"),
)


class Status(RouteCommand):
    """Tells how the cluster is, as one route knows it."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        said = await v1.ask("GET", "admin/status", dict)
        if printing.json:
            printing.one(said, "")
            return
        state = "ok" if said["ok"] else "failing"
        printing.line(f"{said['route']}, version {said['version']}: {state}, {said['online']} online")
        tables: tuple[tuple[Sequence[Column], list[Any]], ...] = (
            (_PARTS, [{"part": part, "state": state} for part, state in said["parts"].items()]),
            (_SERVERS, said["servers"]),
            (_ROUTES, said["routes"]),
            (_FACTS, [{"fact": fact, "value": _plain(value)} for fact, value in said["facts"].items()]),
        )
        for columns, rows in tables:
            if rows:
                printing.line("")
                printing.table(columns).add(rows)


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Sessions(UserCommand):
    """Lists the sessions at all servers, or at one, or those of a user, with what is reserved for it."""

    synopsis = "[options] [NAME]"
    optParameters: Sequence[Sequence[Any]] = [["server", None, "", "Only at this server, as `status` names it."]]

    def parseArgs(self, *given: str) -> None:
        """Take the name, if there is one."""
        self["user"] = ""
        if given:
            self.take(only(given, "the name of a user"))

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        if self["user"]:
            user = await self.user(v1)
            sessions = await v1.ask("GET", f"admin/users/{user['id']}/sessions", lambda said: said["sessions"])
            printing.table(_RECORDS).add(one for one in sessions if self["server"] in ("", one["server"]))
            return
        table = printing.table(_SESSIONS)
        query = {"server": self["server"]} if self["server"] else {}
        async for page in pages(v1, "admin/sessions", "sessions", query, PAGE):
            table.add(page)


class Kick(UserCommand):
    """Ends all sessions of a user, who has to log in again with the password, or the session of one device."""

    optParameters: Sequence[Sequence[Any]] = [["device", None, "", "Only on this device; tokens stay valid."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        if self["device"]:
            await v1.ask("DELETE", f"admin/sessions/{user['id']}/{quote(self['device'], safe='')}", nothing)
        else:
            await v1.ask("POST", f"admin/users/{user['id']}/logout", nothing)
        printing.note(f"{shown(user)} is logged out" + (f" on {self['device']}" if self["device"] else ""))
