"""Accounts in Redis.

    cim-account:<id>                   the name                    upstream's format
    cim-name:<percent-encoded name>    the id
    cim:last-account-id                the highest id given
    cim:form:{<form>}                  who has the comparison form of a name (cim/store/redis/names.py)
    cim:people                         those with a password, by the form (cim/store/redis/people.py)
    cim:guests                         1 once an account without a password was made, 0 if the first has one; none in a
                                       store of an earlier release, until a guest is made

Upstream keeps the id of a name under the bare name, which may be any key at all. We read it if there is no
`cim-name:` for the name, and believe it only if it holds `cim-account:<id>` and that account has exactly this name; we
never write it (docs/upstream.md). Since upstream may write `cim-account:<id>` at any key, ours included, a value that
is not an id counts as absent.

The name is written last, so that it never leads to a missing account.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve, frozen

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.errors import Conflict, Unavailable
from cim.external_ids import ExternalId, Linked
from cim.interfaces import IAccounts
from cim.invitation_codes import check_usable
from cim.model import ID_LIMIT, Account, ListedAccount, Listing
from cim.names import LOOKS_TAKEN, TAKEN, comparison_form
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.external_ids import RedisExternalIds, external_key, lead, read_link
from cim.store.redis.invitation_codes import read
from cim.store.redis.keys import Key
from cim.store.redis.names import INDEXED, NameForms, account_key, form_key, id_of_account, ids_of
from cim.store.redis.people import People, member_of
from cim.store.redis.sanctions import held
from cim.store.redis.walking import walk
from cim.store.rules.external_ids import LEADS_ELSEWHERE

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls
    from cim.store.redis.schema import RedisSchema

_ID = re.compile(rb"[1-9][0-9]*")
_UPSTREAM = re.compile(rb"%b([1-9][0-9]*)" % Key.ACCOUNT.encode())

#: The numbers of a change's keys.
_NAME, _BARE_NAME, _FORM, _ACCOUNT, _LAST, _CREDENTIAL, _GUESTS, _CODES, _CODE_USES, _PEOPLE, _EXTERNAL, _EXTERNALS = (
    range(1, 13)
)
#: In the place of an external id, where there is none.
_NONE = ExternalId("", "")
_NOWHERE = Linked()
_NAMES = Facts(0, 3, (2, "MGET", _NAME, 2, "MGET", _BARE_NAME, 2, "MGET", _FORM))


@frozen
class _Held:
    """The values of our key for a name, of the bare name and of its form, and the last id given, 0 if not known.

    :param linked: what is known of the external id
    """

    ours: bytes | None = None
    theirs: bytes | None = None
    form: bytes | None = None
    last: int = 0
    linked: Linked = _NOWHERE


def name_key(name: str) -> str:
    """Return our key for a name."""
    return f"{Key.ACCOUNT_NAME}{quote(name, safe='')}"


@implementer(IAccounts)
class RedisAccounts:
    """Accounts that all routes share."""

    def __init__(
        self,
        connection: RedisCalls,
        changing: Changing,
        forms: NameForms,
        people: People,
        schema: RedisSchema,
        externals: RedisExternalIds,
    ) -> None:
        self._connection = connection
        self._changing = changing
        self._forms = forms
        self._people = people
        self._schema = schema
        self._externals = externals

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        return self._changing.operation("register", self._register(name))

    async def _register(self, name: str) -> Account:
        id, _ = await self._find_or_make("register", name)
        return Account(id, name)

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._connection.command("account", "MGET", account_key(user)).addCallback(
            lambda found: None if found[0] is None else Account(user, found[0].decode(errors="replace"))
        )

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._changing.operation("named", self._named(name))

    async def _named(self, name: str) -> Account | None:
        account, _ = await self._look_up("named", name)
        return account

    def known_as(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._changing.operation("known_as", self._known_as(name))

    async def _known_as(self, name: str) -> Account | None:
        account, alike = await self._look_up("known_as", name)
        return account or await self._first(alike)

    async def _first(self, ids: Sequence[int]) -> Account | None:
        """Return the first account that is there: a route of an earlier release leaves the forms of what it deletes."""
        for id in ids:
            if (account := await self.account(id)) is not None:
                return account
        return None

    async def _look_up(self, operation: str, name: str) -> tuple[Account | None, tuple[int, ...]]:
        """Return the account with a name, and those that have its form."""
        form = comparison_form(name)
        keys = (name_key(name), name, form_key(form))
        ((ours,), (theirs,), (held,)), _ = await self._changing.look(operation, keys, _NAMES)
        alike = ids_of(held)
        id = await self._known(name, _Held(ours, theirs))
        if id is None:
            return None, alike
        if id not in alike:
            # A route of an earlier release made it, or upstream's.
            with contextlib.suppress(Unavailable):
                await self._forms.give({form: [id]})
        return Account(id, name), alike

    def listed(self, *, prefix: str = "", after: str = "", limit: int) -> Deferred[Listing[ListedAccount]]:
        """See IAccounts."""

        async def read(keys: Sequence[bytes]) -> list[ListedAccount]:
            ids = [id for key in keys if (id := id_of_account(key)) is not None]
            if not ids:
                return []
            (names,) = await self._connection.commands("list_accounts", ("MGET", *map(account_key, ids)))
            found = [
                Account(id, name)
                for id, raw in zip(ids, names, strict=True)
                if raw is not None and (name := raw.decode(errors="replace")).startswith(prefix)
            ]
            credentials = await self._connection.commands(
                "list_accounts", *(("HMGET", Key.CREDENTIAL.of(one.id), "password", "suspended") for one in found)
            )
            now = self._connection.clock.now()
            return [
                ListedAccount(one, password is not None, held(suspended, now))
                for one, (password, suspended) in zip(found, credentials, strict=True)
            ]

        pattern = f"{Key.ACCOUNT}*"
        return self._changing.operation(
            "list_accounts",
            walk(
                self._connection,
                "list_accounts",
                pattern,
                "string",
                read,
                after=after,
                limit=limit,
                sparse=bool(prefix),
            ),
        )

    def accounts(self, users: Collection[int]) -> Deferred[Mapping[int, Account]]:
        """See IAccounts."""
        if not users:
            return succeed({})
        return self._connection.command("accounts", "MGET", *map(account_key, users)).addCallback(
            lambda names: {
                user: Account(user, name.decode(errors="replace"))
                for user, name in zip(users, names, strict=True)
                if name is not None
            }
        )

    def people(self, form: str, *, whole: bool = False, after: str = "", limit: int) -> Deferred[Listing[Account]]:
        """See IAccounts."""
        return self._changing.operation("people", self._people.found(form, whole, after, limit))

    def guests(self) -> Deferred[bool]:
        """See IAccounts."""
        return self._changing.operation("guests", self._guests())

    async def _guests(self) -> bool:
        keys = (Key.GUESTS, Key.LAST_ACCOUNT, Key.ONLINE)
        facts = Facts(3, 0, (2, "MGET", 1, 2, "EXISTS", 2, 2, "EXISTS", 3))
        ((marked,), begun, upstream), _ = await self._changing.look("guests", keys, facts)
        return bool(begun or upstream) if marked is None else marked == b"1"

    def create(
        self, name: str, password: str, invitation: str = "", external: ExternalId | None = None
    ) -> Deferred[Account]:
        """Create an account with a credential; see ICredentials."""
        return self._changing.operation("create_account", self._create(name, password, invitation, external))

    async def _create(self, name: str, password: str, invitation: str, external: ExternalId | None) -> Account:
        id, made = await self._find_or_make("create_account", name, password, invitation, external)
        if not made:
            raise Conflict(TAKEN)
        return Account(id, name)

    async def _known(self, name: str, held: _Held) -> int | None:
        """Return the id of a name, given the values of its keys, or None."""
        if held.ours is not None and _ID.fullmatch(held.ours):
            return int(held.ours)
        match = _UPSTREAM.fullmatch(held.theirs or b"")
        if match is None or int(match[1]) >= ID_LIMIT:
            return None
        id = int(match[1])
        (its_name,) = await self._connection.command("account", "MGET", account_key(id))
        return id if its_name == name.encode() else None

    async def _find_or_make(
        self,
        operation: str,
        name: str,
        password: str | None = None,
        invitation: str = "",
        external: ExternalId | None = None,
    ) -> tuple[int, bool]:
        """Return the id of a name, and whether its account was created now.

        :param password: the password hash for a new account; None for a guest
        :param invitation: the id of the invitation that it uses up; empty for none
        :param external: what it is linked to
        :raises Conflict: there is none, and the name looks like that of another account
        """
        await self._schema.reached(INDEXED)
        held = _Held()
        while True:
            made, held = await self._make(operation, name, password, invitation, external, held)
            if made:
                return made, True
            if external is not None and held.linked.user:
                linked, stale = await self._externals.found(external)
                if linked.user and not stale:
                    raise Conflict(LEADS_ELSEWHERE)
                held = evolve(held, linked=linked)
            known = await self._known(name, held)
            if known is not None:
                return known, False
            if await self._first(ids_of(held.form)) is not None:
                raise Conflict(LOOKS_TAKEN)

    async def _make(
        self,
        operation: str,
        name: str,
        password: str | None,
        invitation: str,
        external: ExternalId | None,
        held: _Held,
    ) -> tuple[int, _Held]:
        """Create the account of a name if the name is free; return its id, or 0 and the values of its keys.

        :param held: the values of the keys when the name was found to be free
        """
        id = await self._changing.new_id(held.last)
        # The name last, so that it never leads to a missing account.
        words: Words = [3, "SET", _LAST, id, 3, "SET", _ACCOUNT, name, 3, "SET", _NAME, id]
        form = comparison_form(name)
        if form:
            words += 3, "SET", _FORM, id
        if password is None:
            words[:0] = 3, "SET", _GUESTS, 1
        else:
            words[:0] = 8, "HSET", _CREDENTIAL, "password", password, "valid_from", 0, "listed", 1
            if form:
                words += 4, "ZADD", _PEOPLE, 0, member_of(form, id)

        def decide(replies: Sequence[Any], now: int) -> Decision[tuple[int, _Held]]:
            (ours,), (looks,), taken, past, begun, record, (link,), (theirs,), used = replies
            linked = read_link(link, now) if external is not None else _NOWHERE
            changed = (ours, looks) != (held.ours, held.form) or (
                theirs != held.theirs and _UPSTREAM.fullmatch(theirs or b"")
            )
            if changed or taken or past or linked.user != held.linked.user:
                return Decision([], (0, _Held(ours, theirs, looks, int(past), linked)))
            first: Words = [] if begun or password is None else [3, "SET", _GUESTS, 0]
            if external is not None:
                first += lead(_EXTERNAL, Linked(id, linked.gone))
                first += 4, "HSET", _EXTERNALS, external.issuer, external.id
            if not invitation:
                return Decision([*first, *words], (id, held))
            invited = check_usable(None if record is None else read(invitation, record, used), now)
            first += 4, "HSET", _CODE_USES, id, 1, 3, "PEXPIRE", _CODE_USES, invited.expires - now
            return Decision([*first, *words], (id, held), bounds=((_CODE_USES, 0, invited.uses - 1),))

        # The bare name may be some other key, which changes all the time.
        counts = held.theirs is None or _UPSTREAM.fullmatch(held.theirs) is not None
        free: list[str | int] = [2, "MGET", _NAME, 2, "MGET", _FORM, 2, "EXISTS", _ACCOUNT, 3, "@PAST", _LAST, id]
        free += 2, "EXISTS", _LAST, 3, "HGET", _CODES, invitation, 2, "MGET", _EXTERNAL
        free += 2, "MGET", _BARE_NAME, 2, "HLEN", _CODE_USES
        keys = [name_key(name), name, form_key(form), account_key(id), Key.LAST_ACCOUNT, Key.CREDENTIAL.of(id)]
        keys += [Key.GUESTS, Key.CODES, Key.CODE_USES.of(invitation), Key.PEOPLE]
        keys += [external_key(external or _NONE), Key.EXTERNALS.of(id)]
        guess = ([held.ours], [held.form], 0, 0, 1, None, [None], [held.theirs], 0)
        return await self._changing.change(operation, keys, Facts(7 + counts, 2 - counts, free), decide, guess)
