"""`/v1`: groups and their members."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from cim.api_keys import Scope
from cim.errors import AccountMismatch, Conflict, Forbidden, InvalidField, NotFound
from cim.interfaces import IGroups, IInvitations
from cim.model import MAX_NAME, Account, Group, Role
from cim.route.front.rates import Rates
from cim.route.http.access import Caller, confirmed
from cim.route.http.lists import Lists
from cim.route.http.shapes import ACCOUNT, GROUP, GROUP_ID, MORE_ID, MUTED, PAGE, ROLE, USER_ID, WHEN, limit
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.grouping import Grouping
from cim.route.messages.inviting import Inviting
from cim.route.policy.naming import Naming
from cim.route.presence.blocks import Blocks
from cim.user_tokens import UserScope
from cim.web.declaring import Who, WithStatus, http_call
from cim.web.schema import Array, Boolean, Choice, Integer, NewName, Object, Optional, Text

_MINE = Object(
    {
        "groups": Array(Object({"group": GROUP, "role": ROLE, "muted": MUTED}, "OwnGroup"), "By id."),
        "more": MORE_ID,
    },
    "OwnGroups",
)
_MEMBER = Object({"user": USER_ID, "role": ROLE}, "ChangedMember")
_NAMED_MEMBER = Object(
    {
        "user": USER_ID,
        "name": Text(MAX_NAME, about="Empty if the account was just deleted."),
        "role": ROLE,
        "muted": MUTED,
    },
    "Member",
)
_MEMBERS = Object({"members": Array(_NAMED_MEMBER, "By id."), "more": MORE_ID}, "Members")
AFTER = Optional(Integer(0, (1 << 53) - 1, "`more` of the previous page."), 0)
_MAX_MINE = 100
_INVITED = Object({"user": USER_ID, "role": Choice(("invited",), "It waits.")}, "InvitedMember")
_INVITATIONS = Object(
    {
        "invitations": Array(
            Object({"group": GROUP, "by": ACCOUNT, "at": WHEN}, "Invitation"), "The oldest first; at most 100."
        )
    },
    "Invitations",
)
#: How users come into a group that others add them to: they are asked, or not.
INVITE, DIRECT = "invite", "direct"


NOT_IN = "you are not in this group"


def group_shown(group: Group) -> dict[str, Any]:
    """Return a group as a JSON value."""
    return {
        "id": group.id,
        "name": group.name,
        "open": group.open,
        "history": group.history,
        "muted": group.muted,
        "members": group.members,
    }


#: What can be changed of a group.
EDITED = {
    "name": Optional(NewName()),
    "open": Optional(Boolean("Anyone may join.")),
    "history": Optional(Boolean("Members who join from now on may read what was said from now on before they joined.")),
}


def check_edit(name: str | None, open: bool | None, history: bool | None) -> None:
    """Check that there is something to change.

    :raises InvalidField: there is not
    """
    if name is None and open is None and history is None:
        raise InvalidField("name", "is missing, and `open` and `history` are, too: give one of them")


async def there(groups: IGroups, id: int) -> Group:
    """Return a group.

    :raises NotFound: there is none with that id
    """
    group: Group | None = await groups.group(id)
    if group is None:
        raise NotFound("there is no such group")
    return group


class GroupsAPI:
    """The calls about groups and their members."""

    def __init__(
        self,
        *,
        groups: IGroups,
        invitations: IInvitations,
        grouping: Grouping,
        inviting: Inviting,
        blocks: Blocks,
        known: KnownAccounts,
        rates: Rates,
        lists: Lists,
        naming: Naming,
        consent: str,
    ) -> None:
        self._groups = groups
        self._invitations = invitations
        self._grouping = grouping
        self._inviting = inviting
        self._blocks = blocks
        self._known = known
        self._rates = rates
        self._lists = lists
        self._naming = naming
        self._consent = consent

    @http_call(
        "POST /v1/groups",
        needs=UserScope.GROUPS,
        body={
            "name": NewName(),
            "open": Optional(Boolean("Anyone may join."), False),
            "history": Optional(Boolean("Members may read messages from before they joined."), False),
        },
        answers={201: GROUP},
        errors=(409,),
        example={"name": "friends", "open": True},
    )
    @confirmed
    async def create_group(self, caller: Caller, name: str, open: bool, history: bool) -> dict[str, Any]:
        """Create a group.

        The user becomes its owner and first member. 409 if the user is in 1,000 groups.
        """
        self._rates.take("user-groups", caller.account.id)
        name = await self._naming.group(name, caller.account)
        id = await self._grouping.create(caller.account.id, name, open=open, history=history)
        return group_shown(await there(self._groups, id))

    @http_call(
        "GET /v1/groups",
        query={"after": AFTER, "limit": Optional(limit(_MAX_MINE), _MAX_MINE)},
        answers={200: _MINE},
    )
    async def own_groups(self, caller: Caller, after: int, limit: int) -> dict[str, Any]:
        """List the groups that the user is in."""
        user = caller.account.id
        async with self._lists.turn(user) as counts:
            memberships = await self._groups.memberships(user)
            mine = [member for member in memberships.members if member.group > after]
            page = mine[:limit]
            counts(len(page))
            groups = await gatherResults([self._groups.group(member.group) for member in page], consumeErrors=True)
            muted = (await self._groups.restrictions(user)).muted
        return {
            "groups": [
                {
                    "group": group_shown(group),
                    "role": member.role.name.lower(),
                    "muted": muted.get(member.group),
                }
                for member, group in zip(page, groups, strict=True)
                if group is not None
            ],
            "more": page[-1].group if len(mine) > limit else None,
        }

    @http_call("GET /v1/groups/{id}", path={"id": GROUP_ID}, answers={200: GROUP}, errors=(404,))
    async def group(self, caller: Caller, id: int) -> dict[str, Any]:
        """Return a group that the user is in, or an open one."""
        group = await there(self._groups, id)
        if not group.open:
            await self._must_be_in(caller.account, id)
        return group_shown(group)

    async def _must_be_in(self, account: Account, id: int) -> None:
        if await self._groups.member(id, account.id) is None:
            raise Forbidden(NOT_IN)

    @http_call(
        "PATCH /v1/groups/{id}",
        needs=UserScope.GROUPS,
        path={"id": GROUP_ID},
        body=EDITED,
        answers={200: GROUP},
        errors=(404,),
        example={"name": "old friends"},
    )
    @confirmed
    async def edit_group(
        self, caller: Caller, id: int, name: str | None, open: bool | None, history: bool | None
    ) -> dict[str, Any]:
        """Rename a group, or change who may join it and read it.

        Only admins and owners may. What a member could not read before it still cannot; whoever joins once `history` is
        allowed reads what is said from then on, and nothing that was said before.
        """
        check_edit(name, open, history)
        self._rates.take("user-groups", caller.account.id)
        if name is not None:
            name = await self._naming.group(name, caller.account, id)
        return group_shown(await self._grouping.edit(id, caller.account.id, name=name, open=open, history=history))

    @http_call(
        "GET /v1/groups/{id}/members",
        path={"id": GROUP_ID},
        query={"after": AFTER, "limit": Optional(limit(1000), PAGE)},
        answers={200: _MEMBERS},
        errors=(404,),
    )
    async def members(self, caller: Caller, id: int, after: int, limit: int) -> dict[str, Any]:
        """List the members of a group that the user is in."""
        await there(self._groups, id)
        await self._must_be_in(caller.account, id)
        async with self._lists.turn(caller.account.id) as counts:
            found = await self._groups.members(id, after=after, limit=limit + 1)
            page = found[:limit]
            counts(len(page))
            names = await self._known.names([member.user for member in page])
            muted = await self._groups.mutes(id)
        return {
            "members": [
                {
                    "user": member.user,
                    "name": name,
                    "role": member.role.name.lower(),
                    "muted": muted.get(member.user),
                }
                for member, name in zip(page, names, strict=True)
            ],
            "more": page[-1].user if len(found) > limit else None,
        }

    @http_call(
        "PUT /v1/groups/{id}/members/{user}",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        body={"role": Optional(ROLE)},
        answers={200: _MEMBER, 201: _MEMBER, 202: _INVITED},
        errors=(404, 409),
        example={"role": "admin"},
    )
    @confirmed
    async def put_member(self, caller: Caller, id: int, user: int, role: str | None) -> WithStatus:
        """Join an open group, accept an invitation, invite someone to a group, or set a member's role.

        201 if the user was not a member before. Admins and owners invite others: 202, with the role `invited`, until
        the invited one makes this call for itself, or withdraws with DELETE. Operators add members at once, as admins
        and owners do with `--group-consent direct`. Owners set the roles of members; operators raise
        those of anybody. 409 if the group has 100,000 members, the user is in 1,000 groups, declined within 7 days, or
        has 10 invitations by you. Of more than 100, the oldest of whoever has the most goes.
        """
        if caller.operator:
            return await self._put_as_operator(id, user, role)
        actor = caller.account
        if user == actor.id:
            self._rates.take("user-memberships", actor.id)
        else:
            await self._may_invite(actor, id, user)
        member = await self._groups.member(id, user)
        present = member.role if member is not None else Role.MEMBER
        wanted = Role[role.upper()] if role is not None else present
        if wanted != present:
            # Checked first, so that an admin who may add members but not set roles does neither.
            by = await self._groups.member(id, actor.id)
            if by is None or by.role < Role.OWNER:
                raise Forbidden("only an owner can change roles")
        added = False
        if member is None and user == actor.id:
            added = await self._enter(id, actor)
        elif member is None and self._consent == INVITE:
            if wanted != present:
                raise Conflict("invite the user first, and set the role once it is a member")
            self._rates.take("user-invitations", actor.id)
            if await self._inviting.invite(await there(self._groups, id), actor, user):
                return WithStatus(202, {"user": user, "role": "invited"})
        elif member is None:
            await self._naming.join(id, actor, user)
            added = await self._grouping.add(id, actor.id, user)
        if wanted != present:
            await self._grouping.set_role(id, actor.id, user, wanted)
        return WithStatus(201 if added else 200, {"user": user, "role": wanted.name.lower()})

    async def _may_invite(self, actor: Account, id: int, user: int) -> None:
        """Check what an invitation needs, in the order in which a stranger may learn of it."""
        self._rates.take("user-memberships", actor.id)
        await there(self._groups, id)
        by = await self._groups.member(id, actor.id)
        if by is None:
            raise Forbidden(NOT_IN)
        member = await self._groups.member(id, user)
        if member is None and by.role < Role.ADMIN:
            raise Forbidden("only admins and owners can add or invite others")
        await self._known.look(user)
        if member is None and await self._blocks.hidden(actor.id, (user,)):
            raise AccountMismatch()

    async def _enter(self, id: int, user: Account) -> bool:
        """Make a user a member who wants that: of an open group, or of one to which it is invited."""
        group = await there(self._groups, id)
        await self._naming.join(id, user, user.id)
        if group.open:
            return await self._grouping.add(id, user.id, user.id)
        return await self._grouping.accept(id, user.id)

    async def _put_as_operator(self, id: int, user: int, role: str | None) -> WithStatus:
        # Not as cached: a deleted account would stay a member for good.
        await self._known.look(user)
        added = await self._grouping.add(id, 0, user)
        member = await self._groups.member(id, user)
        present = member.role if member is not None else Role.MEMBER
        # `member` has always meant to add somebody, whatever role is there.
        wanted = max(present, Role[role.upper()]) if role is not None else present
        if wanted != present:
            await self._grouping.set_role(id, 0, user, wanted)
        return WithStatus(201 if added else 200, {"user": user, "role": wanted.name.lower()})

    @http_call(
        "DELETE /v1/groups/{id}/members/{user}",
        needs=UserScope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        answers={204: None},
        errors=(404, 409),
    )
    @confirmed
    async def remove_member(self, caller: Caller, id: int, user: int) -> None:
        """Leave a group or decline an invitation, remove someone from a group or withdraw an invitation.

        By the time of the answer, the servers push no more of the group to that user. 409 if the last owner would leave
        other members behind.
        """
        me = caller.account.id
        self._rates.take("user-memberships", me)
        if await self._grouping.remove(id, me, user):
            return
        if not await self._invitations.end(id, user, declined=user == me):
            raise NotFound("this user is not a member of the group")

    @http_call("GET /v1/invitations", answers={200: _INVITATIONS})
    async def invitations(self, caller: Caller) -> dict[str, Any]:
        """List the invitations that wait for the user, the oldest first.

        PUT your own membership to accept one, DELETE it to decline.
        """
        async with self._lists.turn(caller.account.id) as counts:
            waiting = await self._inviting.waiting(caller.account.id)
            counts(len(waiting))
        return {
            "invitations": [
                {"group": group_shown(group), "by": {"id": by.id, "name": by.name}, "at": one.at}
                for one, group, by in waiting
            ]
        }
