"""`/v1`: users, and who is online."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cim.api_keys import Scope
from cim.errors import AccountMismatch, NotFound
from cim.interfaces import IAccounts
from cim.model import Account
from cim.route.http.access import Caller
from cim.route.http.online_names import OnlineNames
from cim.route.http.shapes import ACCOUNT, MORE_NAME, PAGE, limit
from cim.route.messages.accounts import KnownAccounts
from cim.route.presence.blocks import Blocks
from cim.route.presence.directory import Directory
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Id, Integer, Name, Object, Optional, Text

_MAX_PREFIX = 256
_ONLINE = Object(
    {
        "users": Array(ACCOUNT, "Sorted by the code points of their names."),
        "total": Integer(0, 1 << 53, "How many online users match the prefix."),
        "more": MORE_NAME,
    },
    "Online",
)


def _shown(account: Account) -> dict[str, Any]:
    return {"id": account.id, "name": account.name}


class UsersAPI:
    """The calls that look up users."""

    def __init__(
        self, accounts: IAccounts, known: KnownAccounts, directory: Directory, names: OnlineNames, blocks: Blocks
    ) -> None:
        self._blocks = blocks
        self._accounts = accounts
        self._known = known
        self._directory = directory
        self._names = names

    @http_call(
        "GET /v1/users/{id}",
        who=Who.USER_OR_OPERATOR,
        scope=Scope.READ,
        path={"id": Id()},
        answers={200: ACCOUNT},
        errors=(404,),
    )
    async def user(self, caller: Caller, id: int) -> dict[str, Any]:
        """Return a user by id."""
        account = await self._known.get(id)
        if await self._hidden(caller, [account]):
            raise AccountMismatch()
        return _shown(account)

    async def _hidden(self, caller: Caller, users: Sequence[Account]) -> frozenset[int]:
        """Return those of some users who block the caller."""
        if caller.operator or not users:
            return frozenset()
        return await self._blocks.hidden(caller.account.id, [user.id for user in users])

    @http_call(
        "GET /v1/users",
        who=Who.USER_OR_OPERATOR,
        scope=Scope.READ,
        query={"name": Name()},
        answers={200: ACCOUNT},
        errors=(404,),
    )
    async def user_named(self, caller: Caller, name: str) -> dict[str, Any]:
        """Return a user by name."""
        account = await self._accounts.named(name)
        if account is None or await self._hidden(caller, [account]):
            raise NotFound("there is no user with this name")
        return _shown(account)

    @http_call(
        "GET /v1/online",
        who=Who.USER_OR_OPERATOR,
        scope=Scope.READ,
        query={
            "prefix": Optional(Text(_MAX_PREFIX, about="The beginning of their names."), ""),
            "after": Optional(Text(_MAX_PREFIX, about="`more` of the previous page."), ""),
            "limit": Optional(limit(), PAGE),
        },
        answers={200: _ONLINE},
    )
    async def online(self, caller: Caller, prefix: str, after: str, limit: int) -> dict[str, Any]:
        """List who is online.

        Users who block you, and users at servers of crossoverJie/cim, are not included.
        """
        if not self._directory.caught_up:
            await self._directory.when_caught_up()
        hidden = frozenset() if caller.operator else await self._blocks.blockers(caller.account.id)
        users, total, more = self._names.page(prefix, after, limit, hidden)
        return {
            "users": [_shown(user) for user in users],
            "total": total,
            "more": users[-1].name if more else None,
        }
