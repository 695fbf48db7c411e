"""Leads from what an issuer's JWT asserts to an account: by its external id, never by a name or an id of ours."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cim.errors import AccountsClosed, Banned, Conflict, Forbidden, InvalidField, Refused, Unauthorized
from cim.interfaces import IStore, IStoreClock
from cim.invitation_codes import AccountPolicy
from cim.issuers.asserted import Asserted
from cim.model import MAX_NAME, Account, Credential
from cim.names import check_new_name
from cim.route.http.tokens import SKEW_MS
from cim.route.issuers.issuers import Issuers
from cim.route.messages.accounts import KnownAccounts
from cim.route.policy.naming import Naming
from cim.user_tokens import Bounds, UserScope

#: What somebody is called whose JWT has no name that an account may have.
NOBODY = "user"
#: How many names are tried.
_TRIES = 4
_EARLIER = "the JWT is from before the user was logged out, or its account was deleted: get a new one"


@frozen(kw_only=True, eq=False)
class Subjects:
    """Finds and makes the accounts of those whom issuers know.

    :param issuers: check JWTs
    :param policy: who may make accounts
    :param naming: decides on names
    :param new_suffix: makes a short text that tells names apart
    """

    _issuers: Issuers
    _store: IStore
    _known: KnownAccounts
    _time: IStoreClock
    _policy: AccountPolicy
    _naming: Naming
    _new_suffix: Callable[[], str]

    def names_one(self, text: str) -> bool:
        """Return whether a text is a JWT that says it is of one of the issuers; nothing else of it is looked at."""
        return self._issuers.names_one(text)

    async def proven(self, text: str) -> tuple[Account, Credential, Bounds]:
        """Return the account of whoever has a JWT, its credential, and what bounds all that is issued from the JWT.

        The account is made if there is none.

        :raises Unauthorized: the JWT does not log anybody in, or is from before a logout, a ban or a deletion
        :raises Forbidden: it grants no log-in
        :raises Banned: an operator keeps the account from logging in
        :raises AccountsClosed: there is no account, and nobody may make one
        """
        asserted = await self._issuers.check(text)
        if UserScope.READ not in asserted.scopes:
            raise Forbidden(f"this JWT may not do that: it lacks the scope `{UserScope.READ}`")
        account, credential = await self._account(asserted)
        return account, credential, Bounds(int(asserted.ends * 1000) - self._ahead, asserted.scopes)

    async def _account(self, asserted: Asserted) -> tuple[Account, Credential]:
        linked = await self._store.external_ids.find(asserted.external)
        self._check_later(asserted, linked.gone)
        account: Account | None = await self._store.accounts.account(linked.user) if linked.user else None
        if account is None:
            account = await self._make(asserted)
            # The account that was there may have been deleted only now.
            self._check_later(asserted, (await self._store.external_ids.find(asserted.external)).gone)
        credential: Credential | None = await self._store.credentials.credential(account.id)
        if credential is None:
            raise Unauthorized(_EARLIER)
        self._check_later(asserted, credential.valid_from - SKEW_MS - 1)
        if credential.ban is not None:
            raise Banned.of(credential.ban)
        return account, credential

    @property
    def _ahead(self) -> int:
        """By how many ms the time that people see is ahead of the steady one; JWTs know the former alone."""
        return self._time.shown() - self._time.now()

    def _check_later(self, asserted: Asserted, when: int) -> None:
        """Check that a JWT was issued after something happened, in ms since 1970 in steady time; 0 or less for never.

        Its time has no parts of a second, so one that was issued in the same second counts as earlier.
        """
        if when > 0 and asserted.issued * 1000 <= when + self._ahead:
            raise Unauthorized(_EARLIER)

    async def _make(self, asserted: Asserted) -> Account:
        if self._policy is not AccountPolicy.OPEN:
            raise AccountsClosed()
        wanted = asserted.name if _allowed(asserted.name) else ""
        try:
            if wanted:
                await self._naming.account(wanted)
        except (Conflict, Refused):  # a rule of the operator, or the name of the system user
            # People choose their names where they are from, and not for this.
            wanted = ""
        for name in self._names(wanted):
            try:
                account: Account = await self._store.credentials.create(name, "", external=asserted.external)
            except Conflict:
                # The name is taken; or another call made the account meanwhile.
                linked = await self._store.external_ids.find(asserted.external)
                there: Account | None = await self._store.accounts.account(linked.user) if linked.user else None
                if there is not None:
                    return there
            else:
                self._known.keep(account)
                return account
        raise Conflict("no name was free for a new account: try again")

    def _names(self, wanted: str) -> list[str]:
        """Return the names to try: the one that is wanted, if any, and then with something behind it."""
        suffixes = [f"-{self._new_suffix()}" for _ in range(_TRIES)]
        further = [(wanted or NOBODY)[: MAX_NAME - len(suffix)] + suffix for suffix in suffixes]
        return [one for one in (wanted, *further) if _allowed(one)]


def _allowed(name: str) -> bool:
    try:
        check_new_name(name, "name")
    except InvalidField:
        return False
    return True
