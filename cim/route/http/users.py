"""`/v1`: users, how people find each other (docs/security.md, Directory), and who is online."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cim.api_keys import Scope
from cim.errors import AccountMismatch, Forbidden, InvalidField, NotFound
from cim.interfaces import IAccounts
from cim.model import Account
from cim.names import comparison_form, seen_characters
from cim.route.front.rates import Rates
from cim.route.http.access import Caller
from cim.route.http.lists import Lists
from cim.route.http.shapes import ACCOUNT, MORE_NAME, PAGE, USER_ID, limit
from cim.route.messages.accounts import KnownAccounts
from cim.route.presence.blocks import Blocks
from cim.route.presence.directory import Directory
from cim.route.presence.listings import Listings
from cim.web.declaring import Who, http_call
from cim.web.schema import Array, Id, Ids, Integer, Name, Object, Optional, Text

#: How users find others: by how their names begin, by a whole name, or not at all.
PREFIX, EXACT, OFF = "prefix", "exact", "off"
#: From how many characters on the beginning of a name finds people, and how many.
ENOUGH, MOST = 3, 10
#: How many are looked at for them at once, and how often, if many are not to be shown.
_STEP, _STEPS = 50, 20
_MOST_IDS = 100
_MAX_PREFIX = 256
_FOUND = Object(
    {
        "users": Array(ACCOUNT, "Who was found; with `name` the one user."),
        "id": Optional(Id(about="With `name`: that of the user.")),
        "name": Optional(Name("With `name`: that of the user.")),
    },
    "FoundUsers",
)
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


def _all_shown(accounts: Sequence[Account]) -> dict[str, Any]:
    return {"users": [_shown(account) for account in accounts]}


class UsersAPI:
    """The calls that look up users.

    :param search: how users find others: PREFIX, EXACT or OFF
    """

    def __init__(
        self,
        accounts: IAccounts,
        known: KnownAccounts,
        directory: Directory,
        listings: Listings,
        blocks: Blocks,
        *,
        rates: Rates,
        lists: Lists,
        search: str,
    ) -> None:
        self._blocks = blocks
        self._rates = rates
        self._lists = lists
        self._search = search
        self._accounts = accounts
        self._known = known
        self._directory = directory
        self._listings = listings

    @http_call(
        "GET /v1/users/{id}",
        who=Who.USER_OR_OPERATOR,
        scope=Scope.READ,
        path={"id": USER_ID},
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
        query={
            "name": Optional(Name("A whole name.")),
            "prefix": Optional(Name("The beginning of names.")),
            "ids": Optional(Ids(_MOST_IDS, "Ids, separated by commas.")),
        },
        answers={200: _FOUND},
        errors=(404,),
    )
    async def find_users(
        self, caller: Caller, name: str | None, prefix: str | None, ids: list[int] | None
    ) -> dict[str, Any]:
        """Find users by a name, by how their names begin, or by ids: one of the three.

        - `name`: the one user of that name, 404 if there is none.
        - `prefix`: the first 10 whose names begin so, whatever the case and however letters that look the same are
          written, sorted by that. With fewer than 3 characters it must be a whole name. Neither guests nor the caller
          are found, nor who blocks the caller or is blocked by it.
        - `ids`: those of these users who are there.

        Who blocks the caller is not found at all. Operators of the system may allow only `name`, or neither, to users:
        then they get 403.
        """
        given = {"name": name, "prefix": prefix, "ids": ids}
        asked = [field for field, value in given.items() if value is not None]
        if len(asked) != 1:
            raise InvalidField(asked[1] if asked else "name", "one of `name`, `prefix` and `ids` must be given")
        if prefix is not None:
            return _all_shown(await self._beginning(caller, prefix))
        if ids is not None:
            return _all_shown(await self._by_ids(caller, ids))
        assert name is not None
        self._must_allow(caller, EXACT, PREFIX)
        account = await self._accounts.named(name)
        if account is None or await self._hidden(caller, [account]):
            raise NotFound("there is no user with this name")
        return {**_all_shown([account]), **_shown(account)}

    def _must_allow(self, caller: Caller, *searches: str) -> None:
        if not caller.operator and self._search not in searches:
            raise Forbidden(
                "people are found by their whole names only here: ask with `name`"
                if self._search == EXACT
                else "nobody is found by name here: ask people for their ids"
            )

    async def _beginning(self, caller: Caller, prefix: str) -> list[Account]:
        """Return the first people whose names begin with a text, for a caller."""
        self._must_allow(caller, PREFIX)
        hidden: Collection[int] = ()
        if not caller.operator:
            self._rates.take("user-searches", caller.account.id)
            hidden = {caller.account.id, *await self._blocks.apart(caller.account.id)}
        form = comparison_form(prefix)
        found: list[Account] = []
        if not form:
            return found
        whole, after = seen_characters(prefix) < ENOUGH, ""
        for _ in range(_STEPS):
            limit = MOST + min(len(hidden), _STEP)
            page = await self._accounts.people(form, whole=whole, after=after, limit=limit)
            found += [account for account in page.items if account.id not in hidden]
            after = page.more
            if len(found) >= MOST or not after:
                break
        return found[:MOST]

    async def _by_ids(self, caller: Caller, ids: Collection[int]) -> list[Account]:
        """Return those of some users who are there, for a caller."""
        if caller.operator:
            found = await self._known.some(ids)
        else:
            async with self._lists.turn(caller.account.id) as counts:
                counts(len(ids))
                found = await self._known.some(ids)
        hidden = await self._hidden(caller, list(found.values()))
        return [account for user, account in sorted(found.items()) if user not in hidden]

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

        Users who block you, and users at servers of crossoverJie/cim, are not included. 403 if users do not find others
        by how their names begin.
        """
        self._must_allow(caller, PREFIX)
        if not self._directory.caught_up:
            await self._directory.when_caught_up()
        viewer = 0 if caller.operator else caller.account.id
        page = await self._listings.page(prefix, after, limit, viewer=viewer)
        return {
            "users": [_shown(user) for user, _ in page.users],
            "total": page.total,
            "more": page.users[-1][0].name if page.more and page.users else None,
        }
