"""Credentials in Redis.

cim:auth:{<user>}    hash: password, valid_from, its ban as `suspended` (cim/store/redis/sanctions.py), and whether
                     the account is `listed` (cim/store/redis/people.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import Unavailable
from cim.interfaces import ICredentials
from cim.model import Account, Credential, Sanction
from cim.names import comparison_form
from cim.store.redis.accounts import RedisAccounts, name_key
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.external_ids import RedisExternalIds, external_key, leave, read_externals
from cim.store.redis.groups import RedisGroups
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key, form_key, form_value, ids_of
from cim.store.redis.people import People, member_of
from cim.store.redis.pushes import RedisPushes
from cim.store.redis.reports import RedisReports
from cim.store.redis.sanctions import held, record
from cim.store.rules.sanctions import sanction

if TYPE_CHECKING:
    from cim.external_ids import ExternalId
    from cim.store.redis.calls import RedisCalls

#: What goes with an account, all of it hashes, sorted sets and strings that are its own.
_OF_USER = (
    Key.EXTERNALS,
    Key.CREDENTIAL,
    Key.ACTIVITY,
    Key.BLOCKED,
    Key.INVITED,
    Key.BLOCKERS,
    Key.RESET,
    Key.PAGES,
    Key.TOKENS,
    Key.MUTES,
    Key.PUSHES,
    Key.NOTIFIED,
)


@implementer(ICredentials)
class RedisCredentials:
    """Credentials that all routes share."""

    def __init__(
        self,
        connection: RedisCalls,
        changing: Changing,
        accounts: RedisAccounts,
        people: People,
        groups: RedisGroups,
        externals: RedisExternalIds,
        reports: RedisReports,
        pushes: RedisPushes,
    ) -> None:
        self._connection = connection
        self._clock = connection.clock
        self._changing = changing
        self._accounts = accounts
        self._people = people
        self._groups = groups
        self._externals = externals
        self._reports = reports
        self._pushes = pushes

    def credential(self, user: int) -> Deferred[Credential | None]:
        """See ICredentials."""
        return self._changing.operation("credential", self._credential(user))

    async def _credential(self, user: int) -> Credential | None:
        asked = ("HMGET", Key.CREDENTIAL.of(user), "password", "valid_from", "listed", "suspended")
        ((password, valid_from, listed, suspended),) = await self._connection.commands("credential", asked)
        if password is None:
            return None
        if listed is None:
            # A route of an earlier release made it.
            await self._list(user)
        return Credential(password.decode(), int(valid_from or 0), held(suspended, self._clock.now()))

    async def _list(self, user: int) -> None:
        with suppress(Unavailable):
            await self._people.put([user])

    def create(
        self, name: str, password: str, invitation: str = "", external: ExternalId | None = None
    ) -> Deferred[Account]:
        """See ICredentials."""
        return self._accounts.create(name, password, invitation, external)

    def set_password(self, user: int, password: str, now: int, seen: int | None = None) -> Deferred[int | None]:
        """See ICredentials."""
        return self._changing.operation("set_password", self._set_password(user, password, now, seen))

    async def _set_password(self, user: int, password: str, now: int, seen: int | None) -> int | None:
        valid_from = await self._set("set_password", user, account_key(user), now, ("password", password), seen)
        if valid_from is not None:
            # It may have been a guest's. If this fails, it is done when the credential is read.
            await self._list(user)
        return valid_from

    def rehash(self, user: int, before: str, password: str) -> Deferred[None]:
        """See ICredentials."""

        def decide(replies: Sequence[Any], time: int) -> Decision[None]:
            return Decision([4, "HSET", 1, "password", password] if replies[0] == before.encode() else [])

        facts = Facts(1, 0, (3, "HGET", 1, "password"))
        change = self._changing.change("rehash", (Key.CREDENTIAL.of(user),), facts, decide)
        return self._changing.operation("rehash", change)

    def revoke(self, user: int, now: int) -> Deferred[None]:
        """See ICredentials."""
        revoking = self._set("revoke", user, Key.CREDENTIAL.of(user), now)
        return self._changing.operation("revoke", revoking).addCallback(lambda _: None)

    def ban(self, user: int, now: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction | None]:
        """See ICredentials."""
        return self._changing.operation("ban", self._ban(user, now, seconds, reason))

    async def _ban(self, user: int, now: int, seconds: float, reason: str) -> Sanction | None:
        await self._connection.ready()
        ban = sanction(self._clock.now(), seconds, reason)
        fields = ("suspended", record(ban))
        return ban if await self._set("ban", user, Key.CREDENTIAL.of(user), now, fields) is not None else None

    def unban(self, user: int) -> Deferred[bool]:
        """See ICredentials."""

        def decide(replies: Sequence[Any], time: int) -> Decision[bool]:
            return Decision([3, "HDEL", 1, "suspended"] if replies[0] else [], held(replies[0], time) is not None)

        facts = Facts(1, 0, (3, "HGET", 1, "suspended"))
        change = self._changing.change("unban", (Key.CREDENTIAL.of(user),), facts, decide)
        return self._changing.operation("unban", change)

    async def _set(
        self, name: str, user: int, needed: str, now: int, fields: tuple[str, ...] = (), seen: int | None = None
    ) -> int | None:
        """Set fields and revoke tokens; return from when they are valid, None if the key `needed` does not exist.

        :param seen: do it only if they are still valid from then
        """

        def decide(replies: Sequence[Any], time: int) -> Decision[int | None]:
            there, before = replies
            if not there or seen not in (None, int(before or 0)):
                return Decision([], None)
            valid_from = max(now, int(before or 0) + bool(fields))
            words: Words = [4 + len(fields), "HSET", 1, "valid_from", valid_from, *fields]
            if fields:
                words += 2, "DEL", 3
            return Decision(words, valid_from)

        keys = (Key.CREDENTIAL.of(user), needed, Key.RESET.of(user))
        facts = Facts(2, 0, (2, "EXISTS", 2, 3, "HGET", 1, "valid_from"))
        return await self._changing.change(name, keys, facts, decide)

    def delete(self, user: int) -> Deferred[bool]:
        """See ICredentials."""
        return self._changing.operation("delete", self._delete(user))

    async def _delete(self, user: int) -> bool:
        # The account last, so that the next attempt finds what a failed one left behind.
        account = await self._accounts.account(user)
        await self._groups.leave_all(user)
        await self._groups.lift_all(user)
        await self._reports.forget(user)
        await self._pushes.unregister_device(user, None)
        blocked = await self._connection.command("blocked", "HKEYS", Key.BLOCKED.of(user))
        await self._connection.commands("unblock", *(("HDEL", Key.BLOCKERS.of(int(one)), user) for one in blocked))

        name = account.name if account is not None else ""
        deleted = None
        while deleted is None:
            deleted = await self._remove(user, name, await self._externals.of(user))
        # What it came into meanwhile.
        await self._groups.leave_all(user)
        await self._groups.lift_all(user)
        return deleted

    async def _remove(self, user: int, name: str, externals: Sequence[ExternalId]) -> bool | None:
        """Remove an account with what is its own; return whether it was there, None if its external ids have changed.

        :param externals: its external ids
        """
        form = comparison_form(name)
        # Devices' marks expire by themselves.
        keys = [account_key(user), name_key(name), form_key(form), Key.PEOPLE, Key.MUTED, Key.MUTED_ENDS]
        keys += (key.of(user) for key in _OF_USER)
        leading = len(keys) + 1
        keys += map(external_key, externals)

        def decide(replies: Sequence[Any], now: int) -> Decision[bool | None]:
            (held,), (looks,), linked, there = replies
            if read_externals(linked) != externals:
                return Decision([], None)
            words: Words = [2, "DEL", 2] if held == str(user).encode() else []
            alike = ids_of(looks)
            if alike == (user,):
                words += 2, "DEL", 3
            elif user in alike:
                words += 3, "SET", 3, form_value(set(alike) - {user})
            for key, _ in enumerate(_OF_USER, 7):
                words += 2, "UNLINK", key
            for key, external in enumerate(externals, leading):
                words += leave(key, external, now)
            words += 3, "HDEL", 5, user, 3, "ZREM", 6, user
            if form:
                words += 3, "ZREM", 4, member_of(form, user)
            words += 2, "DEL", 1
            return Decision(words, bool(there))

        facts = Facts(4, 0, (2, "MGET", 2, 2, "MGET", 3, 2, "HGETALL", 7, 2, "EXISTS", 1))
        return await self._changing.change("delete", keys, facts, decide)
