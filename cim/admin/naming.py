"""How commands of `cim-admin` say which user or group they are about, and ask before they destroy something."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import RouteCommand, only
from cim.client.v1 import V1Calls
from cim.errors import CIMError, NotFound
from cim.model import ID_LIMIT
from cim.plain import printable, quoted


class UserCommand(RouteCommand):
    """A command about one user, by name or by id."""

    synopsis = "[options] NAME"
    optFlags = [["id", None, "NAME is the id of the user."]]

    def parseArgs(self, *given: str) -> None:
        """Take the name."""
        self.take(only(given, "the name of a user"))

    def take(self, name: str) -> None:
        """Take the name, or the id.

        :raises UsageError: it is not an id, though it should be
        """
        self["user"] = id_of(name) if self["id"] else name

    async def user(self, v1: V1Calls) -> Mapping[str, Any]:
        """Return the user's id and name, as the route says them.

        :raises NotFound: there is no such user
        :raises CIMError: the route cannot be asked
        """
        given = self["user"]
        try:
            if isinstance(given, int):
                return await v1.ask("GET", f"users/{given}", dict)
            return await v1.ask("GET", "users", dict, query={"name": given})
        except NotFound:
            raise NotFound(f"there is no user {given if isinstance(given, int) else quoted(given)}") from None


class GroupCommand(RouteCommand):
    """A command about one group."""

    synopsis = "[options] GROUP"

    def parseArgs(self, *given: str) -> None:
        """Take the id."""
        self["group"] = group_of(only(given, "the id of a group"))


def id_of(text: str) -> int:
    """Return an id.

    :raises UsageError: it is none
    """
    if not (text.isascii() and text.isdigit() and len(text) < 17 and 0 < int(text) < ID_LIMIT):
        raise UsageError(f"{quoted(text, 40)} is not an id")
    return int(text)


def group_of(text: str) -> int:
    """Return the id of a group, given as lists and chats show it.

    :raises UsageError: it is none
    """
    return id_of(text.removeprefix("g:"))


def shown(user: Mapping[str, Any]) -> str:
    """Return a user as people read it."""
    return f"{printable(user['name'])} ({user['id']})"


def confirm(what: str, yes: bool) -> None:
    """Ask whether to do something that cannot be undone.

    :param yes: it was said already
    :raises CIMError: the answer is no, or nobody is there to ask
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CIMError(f"{what}? Say so with --yes")
    sys.stderr.write(f"{what}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CIMError("nothing was done")


#: The option of commands that ask.
YES: Sequence[Any] = ["yes", "y", "Do not ask."]
