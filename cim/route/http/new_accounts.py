"""`/v1`: making accounts, by people with a password, and by back ends for their own users."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import AccountsClosed, CIMError, Conflict, Forbidden, InvalidField, InvitationNeeded
from cim.external_ids import MAX_ID, MAX_ISSUER, OURS, ExternalId, check_external_id
from cim.interfaces import IStore
from cim.invitation_codes import AccountPolicy, check_usable, id_of
from cim.model import Account
from cim.names import TAKEN
from cim.route.front.rates import Rates
from cim.route.http.access import Caller
from cim.route.http.passwords import OPERATORS, Passwords, Turn
from cim.route.http.shapes import ACCOUNT, PASSWORD
from cim.route.messages.accounts import KnownAccounts
from cim.route.policy.naming import Naming
from cim.web.declaring import Who, WithStatus, http_call
from cim.web.schema import NewName, Optional, Text

EXTERNAL_ID = Text(MAX_ID, 1, "What a back end or an issuer of JWTs calls the account.", printable=True)
ISSUER = Text(MAX_ISSUER, about="The issuer of JWTs that calls it so; empty for a back end's own ids.", printable=True)


@frozen(kw_only=True, eq=False)
class NewAccountsAPI:
    """The call that makes accounts.

    :param policy: who may make accounts
    """

    _store: IStore
    _known: KnownAccounts
    _passwords: Passwords
    _rates: Rates
    _naming: Naming
    _policy: AccountPolicy

    @http_call(
        "POST /v1/accounts",
        who=Who.MAYBE_OPERATOR,
        scope=Scope.USERS,
        body={
            "name": NewName(),
            "password": Optional(PASSWORD),
            "invitation": Optional(Text(128, about="The code of an invitation, where one is needed."), ""),
            "external_id": Optional(EXTERNAL_ID),
            "issuer": Optional(ISSUER, OURS),
        },
        answers={201: ACCOUNT, 200: ACCOUNT},
        errors=(409,),
        example={"name": "alice", "password": "correct horse"},
    )
    async def create_account(
        self,
        caller: Caller,
        name: str,
        password: str | None,
        invitation: str,
        external_id: str | None,
        issuer: str,
    ) -> Any:
        """Create an account.

        With an API key always, otherwise as the operator allows: 403 with the code `invitation-needed` if an invitation
        is needed and none that is valid was given, 403 with the code `accounts-closed` if a key is needed. 409 if the
        name is taken, or looks like one that is; that does not use up the invitation. 403 with the code `refused` if a
        rule of the operator refuses the name.

        A back end may give its own id of the user, with an API key; then there need be no password. If an account has
        that id, nothing is made, and the answer is 200 with that account, whatever its name.
        """
        external = _external(caller, external_id, issuer)
        if password is None and external is None:
            raise InvalidField("password", "is missing")
        if external is not None and (there := await self._there(external)) is not None:
            return WithStatus(200, _shown(there))
        used = "" if caller.operator else await self._invited(caller.address, invitation)
        if await self._store.accounts.named(name) is not None:
            raise Conflict(TAKEN)
        self._naming.check(name)
        if not caller.operator:
            self._rates.take("address-accounts", caller.address)
            await self._naming.account(name)
        turn = OPERATORS if caller.operator else Turn(caller.address)
        hashed = await self._passwords.hash(password, turn) if password is not None else ""
        try:
            account = await self._store.credentials.create(name, hashed, used, external)
        except Conflict:
            # Another call may have made the very same one meanwhile.
            if external is None or (there := await self._there(external)) is None:
                raise
            return WithStatus(200, _shown(there))
        self._known.keep(account)
        return _shown(account)

    async def _there(self, external: ExternalId) -> Account | None:
        """Return the account that an external id leads to."""
        user = (await self._store.external_ids.find(external)).user
        found: Account | None = await self._store.accounts.account(user) if user else None
        return found

    async def _invited(self, address: str, code: str) -> str:
        """Return the id of the invitation that somebody's account will use up; empty if none is needed."""
        self._rates.take("address-calls", address)
        if self._policy is AccountPolicy.OPEN:
            return ""
        if self._policy is AccountPolicy.KEY:
            raise AccountsClosed()
        if not code:
            raise InvitationNeeded()
        self._rates.take("address-invitations", address)
        id = id_of(code)
        try:
            found = await self._store.invitation_codes.find(id)
        except CIMError:
            self._rates.give_back("address-invitations", address)
            raise
        # Before the name, of which strangers learn nothing here, and before the work of hashing.
        check_usable(found)
        self._rates.give_back("address-invitations", address)
        return id


def _external(caller: Caller, id: str | None, issuer: str) -> ExternalId | None:
    """Return the external id that a caller gives, None for none."""
    if id is None:
        if issuer:
            raise InvalidField("external_id", "is missing, which goes with `issuer`")
        return None
    if not caller.operator:
        raise Forbidden("an external id needs an API key: only back ends give them")
    return ExternalId(issuer, check_external_id(id))


def _shown(account: Account) -> dict[str, Any]:
    return {"id": account.id, "name": account.name}
