"""`cim-admin users`: accounts and their passwords."""

from __future__ import annotations

import getpass
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from twisted.python.usage import UsageError

from cim.admin.command import Group, RouteCommand, only, pages
from cim.admin.naming import YES, UserCommand, confirm, shown
from cim.admin.own_users import Find, Link, Links, RevokeToken, Token, Tokens, Unlink
from cim.admin.printing import Column, Printing, when
from cim.admin.user_data import Erase, Export
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import read_secret_file
from cim.errors import CIMError

#: The items of a page of a list.
PAGE = 200


def _account(row: Mapping[str, Any]) -> str:
    # Routes of earlier releases do not say all of it.
    if row.get("suspended"):
        return "banned"
    kind = "password" if row["password"] else "guest"
    return f"{kind}, muted" if row.get("mute") else kind


_COLUMNS = (
    Column("NAME"),
    Column("ID"),
    Column("ACCOUNT", _account),
    Column("ONLINE", lambda row: "online" if row["online"] else ""),
)
_PASSWORD = ["password-file", None, "", "File with the password; otherwise it is asked for."]


class List(RouteCommand):
    """Lists the users, in an order of the store's own."""

    optParameters: Sequence[Sequence[Any]] = [["prefix", None, "", "Only those whose names begin so."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        table = printing.table(_COLUMNS)
        query = {"prefix": self["prefix"]} if self["prefix"] else {}
        async for page in pages(v1, "admin/users", "users", query, PAGE):
            table.add(page)


class Show(UserCommand):
    """Shows who has a name, or an id."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        printing.one(user, shown(user))


class Make(RouteCommand):
    """Makes an account, whoever else may."""

    synopsis = "[options] NAME"
    optParameters: Sequence[Sequence[Any]] = [
        _PASSWORD,
        ["external-id", None, "", "What a back end, or an issuer of JWTs, calls the user, who needs no password then."],
        ["issuer", None, "", "The issuer of JWTs that calls the user so; a back end's own id without it."],
    ]
    optFlags = [["generate", None, "Make a password, and print it."]]

    def parseArgs(self, *given: str) -> None:
        """Take the name."""
        self["name"] = only(given, "the name of the new user")

    def postOptions(self) -> None:
        """Check that an issuer has an id."""
        if self["issuer"] and not self["external-id"]:
            raise UsageError("--issuer needs --external-id")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        body = {"name": self["name"]}
        if self["external-id"]:
            body |= {"external_id": self["external-id"], "issuer": self["issuer"]}
        if not self["external-id"] or self["generate"] or self["password-file"]:
            body["password"] = _password(self)
        made = await v1.ask("POST", "accounts", dict, body)
        _tell(printing, made, body["password"] if self["generate"] else "", f"{shown(made)} was made")


class Password(UserCommand):
    """Sets a user's password, and ends all sessions."""

    optParameters: Sequence[Sequence[Any]] = [_PASSWORD]
    optFlags = [["generate", None, "Make a password, and print it."]]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        password = _password(self)
        user = await self.user(v1)
        await v1.ask("PUT", f"admin/users/{user['id']}/password", nothing, {"password": password})
        told = f"{shown(user)} has a new password; all sessions have ended"
        _tell(printing, user, password if self["generate"] else "", told)


class ResetLink(UserCommand):
    """Makes a code with which a user sets a new password: once, within 15 minutes."""

    optParameters: Sequence[Sequence[Any]] = [["url", None, "", "Print a link: this URL, with the code behind a #."]]

    def postOptions(self) -> None:
        """Check the URL."""
        if self["url"] and not self["url"].startswith(("http://", "https://")):
            raise UsageError("--url must be that of a page, https://...")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        made = await v1.ask("POST", f"admin/users/{user['id']}/reset-code", dict)
        # Behind a #, it does not get into the logs of web servers.
        link = f"{self['url'].partition('#')[0]}#code={quote(made['code'])}" if self["url"] else made["code"]
        printing.one({**made, "user": user, **({"link": link} if self["url"] else {})}, link)
        printing.note(f"for {shown(user)}, once, until {when(made['expires'])}")


class Block(UserCommand):
    """Logs a user out, and refuses every login until `users unblock`; name and messages stay."""

    optFlags = [YES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        confirm(f"block {shown(user)}", bool(self["yes"]))
        await v1.ask("PUT", f"admin/users/{user['id']}/suspension", nothing)
        printing.note(f"{shown(user)} is blocked; all sessions have ended")


class Unblock(UserCommand):
    """Lets a user log in again who was blocked."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"admin/users/{user['id']}/suspension", nothing)
        printing.note(f"{shown(user)} may log in again")


class Delete(UserCommand):
    """Deletes an account, with its name and memberships; what it said stays with those who heard it."""

    optFlags = [YES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        confirm(f"delete {shown(user)}", bool(self["yes"]))
        await v1.ask("DELETE", f"admin/users/{user['id']}", nothing)
        printing.note(f"{shown(user)} is deleted")


class Users(Group):
    """Accounts and their passwords."""

    subCommands = [
        ["list", None, List, "List the users, or those whose names begin with something."],
        ["show", None, Show, "Show who has a name, or an id."],
        ["make", None, Make, "Make an account."],
        ["password", None, Password, "Set a password, and end all sessions."],
        ["reset-link", None, ResetLink, "Make a code for somebody who forgot the password."],
        ["block", None, Block, "Keep a user from logging in, and end all sessions."],
        ["unblock", None, Unblock, "Let a blocked user log in again."],
        ["token", None, Token, "Make a token with which a client logs in without a password."],
        ["tokens", None, Tokens, "List the tokens that were made for a user."],
        ["revoke-token", None, RevokeToken, "Revoke one of them, with the sessions that came of it."],
        ["links", None, Links, "List what back ends and issuers of JWTs call a user."],
        ["find", None, Find, "Show to whose account an external id leads."],
        ["link", None, Link, "Have an external id lead to an account."],
        ["unlink", None, Unlink, "Have one no longer lead there, and end all sessions."],
        ["delete", None, Delete, "Delete an account."],
        ["export", None, Export, "Print all that is stored about a user."],
        ["erase", None, Erase, "Delete an account, and erase what the user said."],
    ]


def _password(command: RouteCommand) -> str:
    """Return the password that a command is to set.

    :raises CIMError: there is none, or nobody is there to ask
    """
    if command["generate"]:
        return secrets.token_urlsafe(15)
    if command["password-file"]:
        try:
            return read_secret_file(command["password-file"], "password-file")
        except UsageError as error:
            raise CIMError(str(error)) from None
    if not sys.stdin.isatty():
        raise CIMError("nobody is there to type the password: give --password-file, or --generate one")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise CIMError("these are two passwords; nothing was done")
    return password


def _tell(printing: Printing, user: Any, password: str, told: str) -> None:
    printing.one({**user, "password": password} if password else user, password)
    printing.note(told)
