"""`/v1/admin/groups`: the calls with which operators see and change any group."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IGroups
from cim.route.http.access import Caller
from cim.route.http.groups import AFTER, EDITED, check_edit, group_shown, there
from cim.route.http.shapes import GROUP, GROUP_ID, MORE, MORE_ID, PAGE, ROLE, USER_ID, WHERE, limit
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.grouping import Grouping
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Integer, Object, Optional, Text

_GROUPS = Object({"groups": Array(GROUP, "In an order of the store's own."), "more": MORE}, "Groups")
NAMED_USER = Object({"id": USER_ID, "name": Text(1024, about="Empty if the account was just deleted.")}, "NamedUser")
_MEMBER = Object({"user": NAMED_USER, "role": ROLE}, "NamedMember")
_MEMBERS = Object({"members": Array(_MEMBER, "By id."), "more": MORE_ID}, "NamedMembers")
LEFT = Object({"members": Integer(0, 1 << 53, "How many are left; 0 if the group is gone.")}, "MembersLeft")


@frozen(kw_only=True, eq=False)
class AdminGroupsAPI:
    """The calls that act on any group, whoever is in it."""

    _groups: IGroups
    _grouping: Grouping
    _known: KnownAccounts

    @http_call(
        "GET /v1/admin/groups",
        who=Who.OPERATOR,
        scope=Scope.READ,
        query={
            "part": Optional(Text(256, about="A part of their names, whatever the case."), ""),
            "after": Optional(WHERE, ""),
            "limit": Optional(limit(), PAGE),
        },
        answers={200: _GROUPS},
    )
    async def all_groups(self, caller: Caller, part: str, after: str, limit: int) -> dict[str, Any]:
        """List all groups, or those whose names have a part in common.

        A page may have somewhat more than `limit` groups, or few or none even if more follow.
        """
        listing = await self._groups.listed(after=after, limit=limit)
        folded = part.casefold()
        found = [group for group in listing.items if folded in group.name.casefold()]
        return {"groups": list(map(group_shown, found)), "more": listing.more or None}

    @http_call(
        "GET /v1/admin/groups/{id}",
        who=Who.OPERATOR,
        scope=Scope.READ,
        path={"id": GROUP_ID},
        answers={200: GROUP},
        errors=(404,),
    )
    async def any_group(self, caller: Caller, id: int) -> dict[str, Any]:
        """Return a group."""
        return group_shown(await there(self._groups, id))

    @http_call(
        "GET /v1/admin/groups/{id}/members",
        who=Who.OPERATOR,
        scope=Scope.READ,
        path={"id": GROUP_ID},
        query={"after": AFTER, "limit": Optional(limit(), PAGE)},
        answers={200: _MEMBERS},
        errors=(404,),
    )
    async def members_of(self, caller: Caller, id: int, after: int, limit: int) -> dict[str, Any]:
        """List the members of a group."""
        await there(self._groups, id)
        found = await self._groups.members(id, after=after, limit=limit + 1)
        page = found[:limit]
        names = await self._known.names([member.user for member in page])
        return {
            "members": [
                {"user": {"id": member.user, "name": name}, "role": member.role.name.lower()}
                for member, name in zip(page, names, strict=True)
            ],
            "more": page[-1].user if len(found) > limit else None,
        }

    @http_call(
        "PATCH /v1/admin/groups/{id}",
        who=Who.OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID},
        body=EDITED,
        answers={200: GROUP},
        errors=(404,),
        example={"name": "old friends"},
    )
    async def edit_any_group(
        self, caller: Caller, id: int, name: str | None, open: bool | None, history: bool | None
    ) -> dict[str, Any]:
        """Rename a group, or change who may join it and read it."""
        check_edit(name, open, history)
        return group_shown(await self._grouping.edit(id, 0, name=name, open=open, history=history))

    @http_call(
        "DELETE /v1/admin/groups/{id}/members/{user}",
        who=Who.OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        answers={204: None},
        errors=(404, 409),
    )
    async def remove_any_member(self, caller: Caller, id: int, user: int) -> None:
        """Remove a member from a group.

        409 if the last owner would leave other members behind: make somebody else an owner first. The last member takes
        the group along, with its messages.
        """
        if not await self._grouping.remove(id, 0, user):
            raise NotFound("this user is not a member of the group")

    @http_call(
        "DELETE /v1/admin/groups/{id}",
        who=Who.OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID},
        answers={200: LEFT},
        errors=(404, 409),
    )
    async def delete_group(self, caller: Caller, id: int) -> dict[str, Any]:
        """Dissolve a group, with its messages.

        Its members are told, and nobody comes in or writes any more. A call removes up to 1,000 members: repeat it
        until none is left, which is when the group is gone.
        """
        await there(self._groups, id)
        return {"members": await self._grouping.dissolve(id, 0)}
