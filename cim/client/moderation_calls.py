"""The calls with which owners and admins keep a group in order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cim.client.calling import call
from cim.client.names import Names
from cim.client.v1 import V1Calls, group_of, nothing, user_of
from cim.client.values import Ban, Group, Outcome, User
from cim.model import check_id


class ModerationCalls:
    """Calls of a client about groups that its user leads; the routes check whether it may."""

    _names: Names

    async def _v1(self) -> tuple[V1Calls, User]:
        """Wait for the first contact; return the caller of `/v1`, and the user whom it calls for."""
        raise NotImplementedError

    @call
    async def edit_group(
        self, group: int, *, name: str | None = None, open: bool | None = None, history: bool | None = None
    ) -> Group:
        """Rename a group, or change who may join and read; None leaves something as it is.

        Who joins once `history` is allowed reads what is said from then on, and nothing that was said before.
        """
        v1, _ = await self._v1()
        fields = {"name": name, "open": open, "history": history}
        body = {field: value for field, value in fields.items() if value is not None}
        edited = await v1.ask("PATCH", _group(group), group_of, body)
        self._names.learn_group(edited.id, edited.name)
        return edited

    @call
    async def mute(self, group: int, user: int = 0, seconds: int | None = None) -> int:
        """Let a member write nothing in a group; return until when, ms since 1970, 0 until somebody ends it.

        :param user: 0 for all but admins and owners
        :param seconds: for how long; None until somebody ends it
        """
        v1, _ = await self._v1()
        body = {"seconds": seconds} if seconds is not None else {}
        return await v1.ask("PUT", _muted(group, user), lambda said: int(said["muted"]), body)

    @call
    async def unmute(self, group: int, user: int = 0) -> None:
        """Let a member write again, or with 0 all who are not muted themselves."""
        v1, _ = await self._v1()
        await v1.ask("DELETE", _muted(group, user), nothing)

    @call
    async def ban(self, group: int, user: int) -> None:
        """Remove a user from a group, and let nobody bring it back."""
        v1, _ = await self._v1()
        await v1.ask("PUT", f"{_group(group)}/bans/{check_id(user, 'user')}", nothing)

    @call
    async def unban(self, group: int, user: int) -> None:
        """Let a banned user come back."""
        v1, _ = await self._v1()
        await v1.ask("DELETE", f"{_group(group)}/bans/{check_id(user, 'user')}", nothing)

    @call
    async def bans(self, group: int) -> Sequence[Ban]:
        """List who is banned from a group, the last one first."""
        v1, _ = await self._v1()
        return await v1.ask("GET", f"{_group(group)}/bans", lambda said: [_ban(one) for one in said["bans"]])

    @call
    async def change_members(
        self, group: int, *, add: Collection[int] = (), remove: Collection[int] = ()
    ) -> Sequence[Outcome]:
        """Add, or invite, and remove up to 1,000 users at once; return what became of each, in their order."""
        v1, _ = await self._v1()
        body = {"add": list(add), "remove": list(remove)}
        return await v1.ask(
            "POST", f"{_group(group)}/members", lambda said: [_outcome(one) for one in said["results"]], body
        )

    @call
    async def dissolve(self, group: int) -> None:
        """End a group that the user owns, with its messages, however many members it has."""
        v1, _ = await self._v1()
        while await v1.ask("DELETE", _group(group), lambda said: int(said["members"])):
            pass


def _group(group: int) -> str:
    return f"groups/{check_id(group, 'group')}"


def _muted(group: int, user: int) -> str:
    return f"{_group(group)}/members/{check_id(user, 'user')}/mute" if user else f"{_group(group)}/mute"


def _ban(said: Any) -> Ban:
    return Ban(user_of(said["user"]), user_of(said["by"]) if said["by"] is not None else None, said["at"])


def _outcome(said: Any) -> Outcome:
    return Outcome(said["user"], said["outcome"], said["detail"] or "")
