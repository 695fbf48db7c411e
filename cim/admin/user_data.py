"""`cim-admin users export` and `erase`: all that is stored about somebody, handed out or removed (docs/admin.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from cim.admin.naming import YES, UserCommand, confirm, shown
from cim.admin.printing import Printing
from cim.client.v1 import V1Calls
from cim.errors import NotFound, Unavailable


class Export(UserCommand):
    """Prints all that is stored about a user as JSON, an object a line; its `type` says what it is.

    First comes the user, with groups, invitations, sessions and who is blocked; then, conversation by conversation,
    what the user may read. Of groups that the user has left, there is what the user said there.
    """

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user = await self.user(v1)
        path = f"admin/users/{user['id']}"
        stored = await v1.ask("GET", f"{path}/stored", dict)
        _line(printing, "user", stored)
        # Groups in which the user only listens are not among those in which it spoke.
        names = dict.fromkeys(f"g:{one['group']}" for one in stored["groups"])
        async for page in _pages(v1, f"{path}/conversations", {}):
            names.update(dict.fromkeys(page["conversations"]))
        for name in names:
            async for page in _pages(v1, f"{path}/messages", {"conversation": name}):
                for message in page["messages"]:
                    _line(printing, "message", {"conversation": name, **message})


class Erase(UserCommand):
    """Deletes an account and erases what the user said: texts are recalled, and neither they nor the name stay stored.

    Devices that have received a message blank it when they hear of the recall. For an account that was deleted before,
    give its id with --id.
    """

    optFlags = [YES]

    async def call(self, v1: V1Calls, printing: Printing) -> None:
        """See RouteCommand."""
        user: Mapping[str, Any]
        try:
            user = await self.user(v1)
        except NotFound:
            if not isinstance(self["user"], int):
                raise
            user = {"id": self["user"], "name": "a user who was deleted"}
        confirm(f"erase {shown(user)} and all that was said", bool(self["yes"]))
        try:
            erased = await self._erase(v1, f"admin/users/{user['id']}/erase")
        except Unavailable as error:
            # The account and its name are perhaps gone, and nobody else knows the id.
            raise Unavailable(f"{error}; some of it may be erased, so go on by the id: {user['id']} --id")
        printing.one(
            {**user, "messages": erased}, f"{shown(user)} is erased, with {erased} message{'s' * (erased != 1)}"
        )

    async def _erase(self, v1: V1Calls, path: str) -> int:
        erased = 0
        body: dict[str, Any] = {}
        while True:
            said = await v1.ask("POST", path, dict, body)
            erased += said["messages"]
            if said["more"] is None:
                return erased
            body = {"after": said["more"]}


async def _pages(v1: V1Calls, path: str, query: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    after: Any = None
    while True:
        page = await v1.ask("GET", path, dict, query={**query, **({} if after is None else {"after": after})})
        yield page
        after = page["more"]
        if after is None:
            return


def _line(printing: Printing, kind: str, value: Mapping[str, Any]) -> None:
    printing.line(json.dumps({"type": kind, **value}, ensure_ascii=False))
