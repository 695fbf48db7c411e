"""`/v1`: how owners and admins of a group, and operators, mute, ban, dissolve, and change many members at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import AccountMismatch, CIMError, Forbidden, InvalidField, NotFound
from cim.interfaces import IGroups, IInvitations
from cim.model import Account, Ban, Role
from cim.policies import About
from cim.route.front.rates import Rates
from cim.route.http.access import Caller, confirmed
from cim.route.http.admin_groups import LEFT, NAMED_USER
from cim.route.http.groups import INVITE, NOT_IN, there
from cim.route.http.shapes import GROUP_ID, USER_ID, WHEN
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.grouping import MOST, Grouping, in_turns
from cim.route.messages.inviting import Inviting
from cim.route.policy.naming import Naming
from cim.route.presence.blocks import Blocks
from cim.user_tokens import UserScope
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Choice, IdList, Integer, Nullable, Object, Optional, Text
from cim.wire.error_table import row_of

#: The longest mute that ends by itself, in seconds: a year.
LONGEST = 366 * 86_400
_FOR = {"seconds": Optional(Integer(1, LONGEST, "For how long; without it, until somebody ends it."))}
_UNTIL = Object({"muted": Integer(0, (1 << 63) - 1, "Until when, ms since 1970; 0 until somebody ends it.")}, "Muted")
_BAN = Object({"user": NAMED_USER, "by": Nullable(NAMED_USER, "Null for an operator."), "at": WHEN}, "GroupBan")
_BANS = Object({"bans": Array(_BAN, "The last one first; at most 1,000.")}, "GroupBans")
_OUTCOMES = {
    "added": "it is a member now",
    "invited": "it was asked whether it wants to be one",
    "present": "it was one",
    "removed": "it is none any more",
    "withdrawn": "it no longer has an invitation",
    "absent": "it was none",
    "refused": "`code` and `detail` say why",
}
_RESULT = Object(
    {
        "user": USER_ID,
        "outcome": Choice(tuple(_OUTCOMES), "; ".join(f"`{word}`: {text}" for word, text in _OUTCOMES.items()) + "."),
        "code": Nullable(Text(64, about="As in a problem document.")),
        "detail": Nullable(Text(1024, about="As in a problem document.")),
    },
    "MemberOutcome",
)
_RESULTS = Object({"results": Array(_RESULT, "In the order of the request, `add` first.")}, "MemberOutcomes")


@frozen(kw_only=True, eq=False)
class GroupModerationAPI:
    """The calls with which a group is kept in order.

    :param _consent: how users come into a group that others add them to
    """

    _groups: IGroups
    _invitations: IInvitations
    _grouping: Grouping
    _inviting: Inviting
    _blocks: Blocks
    _known: KnownAccounts
    _rates: Rates
    _naming: Naming
    _consent: str

    def _actor(self, caller: Caller, rate: str = "user-memberships") -> int:
        """Return who makes a call, 0 for an operator, and count it."""
        if caller.operator:
            return 0
        self._rates.take(rate, caller.account.id)
        return caller.account.id

    @http_call(
        "PUT /v1/groups/{id}/mute",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID},
        body=_FOR,
        answers={200: _UNTIL},
        errors=(404,),
        example={"seconds": 3600},
    )
    @confirmed
    async def mute_group(self, caller: Caller, id: int, seconds: int | None) -> dict[str, Any]:
        """Let only admins and owners write in a group.

        Admins, owners and operators may. What others send, edit and react with is refused (403 with the code `muted`);
        what they have said they may still recall.
        """
        return {"muted": await self._grouping.mute(id, self._actor(caller), 0, seconds)}

    @http_call(
        "DELETE /v1/groups/{id}/mute",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID},
        answers={204: None},
        errors=(404,),
    )
    @confirmed
    async def unmute_group(self, caller: Caller, id: int) -> None:
        """Let all members write in a group again, but for those who are muted themselves."""
        await self._grouping.unmute(id, self._actor(caller), 0)

    @http_call(
        "PUT /v1/groups/{id}/members/{user}/mute",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        body=_FOR,
        answers={200: _UNTIL},
        errors=(404, 409),
        example={"seconds": 3600},
    )
    @confirmed
    async def mute_member(self, caller: Caller, id: int, user: int, seconds: int | None) -> dict[str, Any]:
        """Let a member write nothing in a group.

        Owners may do that to admins and members, admins to members, operators to anybody. It lasts although the user
        leaves and comes back. 409 if 1,000 users are muted there.
        """
        return {"muted": await self._grouping.mute(id, self._actor(caller), user, seconds)}

    @http_call(
        "DELETE /v1/groups/{id}/members/{user}/mute",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    @confirmed
    async def unmute_member(self, caller: Caller, id: int, user: int) -> None:
        """Let a member write in a group again.

        Whoever may mute it may do that; owners may for anybody.
        """
        await self._grouping.unmute(id, self._actor(caller), user)

    @http_call(
        "GET /v1/groups/{id}/bans",
        who=Who.USER_OR_OPERATOR,
        scope=Scope.READ,
        path={"id": GROUP_ID},
        answers={200: _BANS},
        errors=(404,),
    )
    async def group_bans(self, caller: Caller, id: int) -> dict[str, Any]:
        """List who is banned from a group; admins, owners and operators may."""
        await there(self._groups, id)
        if not caller.operator:
            await self._must_lead(id, caller.account)
        bans: Sequence[Ban] = await self._groups.bans(id)
        known = await self._known.some({user for ban in bans for user in (ban.user, ban.by) if user})
        return {
            "bans": [
                {"user": _shown(ban.user, known), "by": _shown(ban.by, known) if ban.by else None, "at": ban.at}
                for ban in bans
            ]
        }

    @http_call(
        "PUT /v1/groups/{id}/bans/{user}",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        answers={204: None},
        errors=(404, 409),
    )
    @confirmed
    async def ban_from_group(self, caller: Caller, id: int, user: int) -> None:
        """Remove a user from a group, and let nobody bring it back until it is unbanned.

        It cannot join, accept an invitation, or be invited or added, not even by an API key. The user need not be a
        member. Owners may ban admins and others, admins those who are neither, operators anybody. 409 if 1,000 users
        are banned there, or the last owner would leave other members behind.
        """
        actor = self._actor(caller)
        await self._known.look(user)
        await self._grouping.ban(id, actor, user)

    @http_call(
        "DELETE /v1/groups/{id}/bans/{user}",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID, "user": USER_ID},
        answers={204: None},
        errors=(404,),
    )
    @confirmed
    async def unban_from_group(self, caller: Caller, id: int, user: int) -> None:
        """Let a banned user come back to a group; it is not a member by that.

        Admins and owners may, but not for whom an operator banned.
        """
        if not await self._grouping.unban(id, self._actor(caller), user):
            raise NotFound("this user is not banned from the group")

    @http_call(
        "DELETE /v1/groups/{id}",
        needs=UserScope.GROUPS,
        path={"id": GROUP_ID},
        answers={200: LEFT},
        errors=(404,),
    )
    @confirmed
    async def dissolve_group(self, caller: Caller, id: int) -> dict[str, Any]:
        """Dissolve a group, with its messages; only owners may.

        Its members are told, and nobody comes in or writes any more. A call removes up to 1,000 members: repeat it
        until none is left, which is when the group is gone.
        """
        return {"members": await self._grouping.dissolve(id, self._actor(caller, "user-groups"))}

    @http_call(
        "POST /v1/groups/{id}/members",
        needs=UserScope.GROUPS,
        who=Who.USER_OR_OPERATOR,
        scope=Scope.GROUPS,
        path={"id": GROUP_ID},
        body={
            "add": Optional(IdList(MOST, "Users to add, or to invite.")),
            "remove": Optional(IdList(MOST, "Members to remove, or whose invitations to withdraw.")),
        },
        answers={200: _RESULTS},
        errors=(404,),
        example={"add": [1700000000001, 1700000000002]},
    )
    @confirmed
    async def change_members(
        self, caller: Caller, id: int, add: list[int] | None, remove: list[int] | None
    ) -> dict[str, Any]:
        """Add and remove up to 1,000 members at once.

        Each has an outcome of its own, as if it were changed by itself: admins and owners invite, unless
        `--group-consent` is `direct`; operators add. Each counts to the limits of the user who makes the call.
        """
        adding, removing = add or [], remove or []
        if not adding and not removing:
            raise InvalidField("add", "is missing, and so is `remove`: name somebody in one of them")
        if len(adding) + len(removing) > MOST:
            raise InvalidField("remove", f"must have at most {MOST:,} entries together with `add`")
        if both := set(adding).intersection(removing):
            raise InvalidField("remove", f"must not name {min(both)}, who is in `add`")
        await there(self._groups, id)
        if not caller.operator:
            await self._must_lead(id, caller.account)
        outcomes = await self._added(caller, id, adding)
        outcomes |= await self._removed(caller, id, removing)
        return {"results": [_result(user, outcomes[user]) for user in (*adding, *removing)]}

    async def _must_lead(self, id: int, user: Account) -> None:
        member = await self._groups.member(id, user.id)
        if member is None:
            raise Forbidden(NOT_IN)
        if member.role < Role.ADMIN:
            raise Forbidden("only admins and owners may")

    def _counted(self, caller: Caller, users: Sequence[int], rate: str) -> dict[int, str | CIMError]:
        """Count one of what a limit is of for each user; return the refusals."""
        refused: dict[int, str | CIMError] = {}
        if not caller.operator:
            for user in users:
                try:
                    self._rates.take(rate, caller.account.id)
                except CIMError as error:
                    refused[user] = error
        return refused

    async def _added(self, caller: Caller, id: int, users: Sequence[int]) -> dict[int, str | CIMError]:
        if not users:
            return {}
        outcomes = self._counted(caller, users, "user-memberships")
        users = [user for user in users if user not in outcomes]
        known = await self._known.look_all(users)
        hidden = frozenset() if caller.operator else await self._blocks.hidden(caller.account.id, users)
        outcomes |= {user: AccountMismatch() for user in users if user not in known or user in hidden}
        users = [user for user in users if user not in outcomes]
        if caller.operator or self._consent != INVITE:
            actor = 0 if caller.operator else caller.account.id
            if not caller.operator and self._naming.asks(About.JOIN):
                decided = await in_turns([partial(self._naming.join, id, caller.account, user) for user in users])
                outcomes |= {user: one for user, one in zip(users, decided, strict=True) if one is not None}
                users = [user for user in users if user not in outcomes]
            changed = await self._grouping.change_members(id, actor, users, ())
            words: list[str | CIMError] = [
                one if isinstance(one, CIMError) else "added" if one else "present" for one in changed
            ]
        else:
            members = await in_turns([partial(self._groups.member, id, user) for user in users])
            there_ = {user for user, member in zip(users, members, strict=True) if member is not None}
            outcomes |= dict.fromkeys(there_, "present")
            users = [user for user in users if user not in there_]
            outcomes |= self._counted(caller, users, "user-invitations")
            users = [user for user in users if user not in outcomes]
            group = await there(self._groups, id)
            invited = await in_turns([partial(self._inviting.invite, group, caller.account, user) for user in users])
            words = [one if isinstance(one, CIMError) else "invited" if one else "present" for one in invited]
        return outcomes | dict(zip(users, words, strict=True))

    async def _removed(self, caller: Caller, id: int, users: Sequence[int]) -> dict[int, str | CIMError]:
        if not users:
            return {}
        outcomes = self._counted(caller, users, "user-memberships")
        users = [user for user in users if user not in outcomes]
        actor = 0 if caller.operator else caller.account.id
        changed = await self._grouping.change_members(id, actor, (), users)
        for user, one in zip(users, changed, strict=True):
            outcomes[user] = one if isinstance(one, CIMError) else "removed" if one else "absent"
        absent = [user for user, word in outcomes.items() if word == "absent"]
        ended = await in_turns([partial(self._invitations.end, id, user, declined=False) for user in absent])
        for user, one in zip(absent, ended, strict=True):
            if one:
                outcomes[user] = one if isinstance(one, CIMError) else "withdrawn"
        return outcomes


def _shown(user: int, known: Mapping[int, Account]) -> dict[str, Any]:
    return {"id": user, "name": known[user].name if user in known else ""}


def _result(user: int, outcome: str | CIMError) -> dict[str, Any]:
    if isinstance(outcome, CIMError):
        return {"user": user, "outcome": "refused", "code": row_of(outcome).problem, "detail": outcome.message}
    return {"user": user, "outcome": outcome, "code": None, "detail": None}
