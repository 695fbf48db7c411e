"""`cim-admin users token`, `link` and others: tokens for a back end's own users, and what others call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twisted.python.usage import UsageError

from cim.admin.command import RouteCommand, only
from cim.admin.naming import UserCommand, shown
from cim.admin.printing import Column, Printing, when
from cim.client.v1 import V1Calls, nothing
from cim.daemon.config import positive_int
from cim.plain import printable, quoted
from cim.user_tokens import ALL, words_of

_ISSUER = ["issuer", None, "", "The issuer of JWTs that calls the user so; a back end's own id without it."]
_COLUMNS = (
    Column("ID"),
    Column("ENDS", lambda row: when(row["ends"])),
    Column("DEVICE"),
    Column("SCOPES", lambda row: " ".join(row["scopes"])),
)
_EXTERNAL = (Column("EXTERNAL ID", lambda row: row["external_id"]), Column("ISSUER"))


def _scopes(text: str) -> list[str]:
    words = re.split(r"[\s,]+", text.strip())
    if not set(words) <= ALL:
        raise ValueError(f"must be some of {', '.join(words_of(ALL))}")
    return words


class Token(UserCommand):
    """Makes a token with which a client logs in as a user, without a password, and prints it."""

    optParameters: Sequence[Sequence[Any]] = [
        ["seconds", None, 3600, "For how many seconds it is good.", positive_int],
        ["device", None, "", "Make it good for this device alone."],
        ["scopes", None, words_of(ALL), "What may be done with it, such as read,send [default: all of it].", _scopes],
    ]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        body = {"seconds": self["seconds"], "scopes": self["scopes"]}
        if self["device"]:
            body["device"] = self["device"]
        made = await v1.ask("POST", f"users/{user['id']}/tokens", dict, body)
        printing.note(f"for {shown(user)}, for {made['expires_in']} s; `users revoke-token` knows it as {made['id']}")
        printing.one(made, made["token"])


class Tokens(UserCommand):
    """Lists the tokens that were made for a user and that are good; what proves something is not shown."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        printing.table(_COLUMNS).add(await v1.ask("GET", f"users/{user['id']}/tokens", lambda said: said["tokens"]))


class RevokeToken(UserCommand):
    """Revokes a token of a user, given its id as `tokens` lists it, and ends the sessions that came of it."""

    synopsis = "[options] NAME ID"

    def parseArgs(self, *given: str) -> None:
        """Take the name and the id."""
        if len(given) != 2 or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given[1]):
            raise UsageError("give the name of a user and the id of a token; `cim-admin users tokens` lists them")
        self.take(given[0])
        self["token"] = given[1]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        await v1.ask("DELETE", f"users/{user['id']}/tokens/{self['token']}", nothing)
        printing.note(f"the token of {shown(user)} is void; the sessions that came of it have ended")


class Links(UserCommand):
    """Lists what back ends and issuers of JWTs call a user."""

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        path = f"admin/users/{user['id']}/external-ids"
        printing.table(_EXTERNAL).add(await v1.ask("GET", path, lambda said: said["external_ids"]))


class Find(RouteCommand):
    """Shows to whose account an external id leads."""

    synopsis = "[options] EXTERNAL-ID"
    optParameters: Sequence[Sequence[Any]] = [_ISSUER]

    def parseArgs(self, *given: str) -> None:
        """Take the external id."""
        self["external"] = only(given, "an external id")

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        query = {"external_id": self["external"], "issuer": self["issuer"]}
        user = await v1.ask("GET", "admin/external-ids", dict, query=query)
        printing.one(user, shown(user))


class Link(UserCommand):
    """Has an external id lead to an account: whoever an issuer calls so logs in to it."""

    synopsis = "[options] NAME EXTERNAL-ID"
    optParameters: Sequence[Sequence[Any]] = [_ISSUER]

    def parseArgs(self, *given: str) -> None:
        """Take the name and the external id."""
        if len(given) != 2:
            raise UsageError("give the name of a user, and the external id that is to lead to it")
        self.take(given[0])
        self["external"] = given[1]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        body = {"external_id": self["external"], "issuer": self["issuer"]}
        await v1.ask("PUT", f"admin/users/{user['id']}/external-ids", nothing, body)
        of = f" of {printable(self['issuer'])}" if self["issuer"] else ""
        printing.note(f"{quoted(self['external'])}{of} leads to {shown(user)}")


class Unlink(UserCommand):
    """Has the external id of an issuer no longer lead to an account, and ends all sessions of the user."""

    optParameters: Sequence[Sequence[Any]] = [_ISSUER]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        query = {"issuer": self["issuer"]} if self["issuer"] else {}
        await v1.ask("DELETE", f"admin/users/{user['id']}/external-ids", nothing, query=query)
        printing.note(f"it leads to {shown(user)} no more; all sessions have ended")
