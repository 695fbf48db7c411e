"""Who there is, and by what they prove it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.external_ids import ExternalId, Linked
    from cim.invitation_codes import InvitationCode
    from cim.model import (
        Account,
        Credential,
        ListedAccount,
        Listing,
        Sanction,
    )
    from cim.reset_codes import ResetCode
    from cim.user_tokens import UserToken


class IAccounts(Interface):
    """The accounts. Every method fails with StoreUnavailable when the store is unavailable."""

    def register(name: str) -> Deferred[Account]:
        """Return the account with that name, creating it if there is none; concurrent calls create only one.

        Fails with Conflict if there is none and the name looks like that of another account, that is, has the same
        comparison form (cim.names). The form is stored in the same step, and never computed again.
        """

    def account(user: int) -> Deferred[Account | None]:
        """Return the account with that id, if there is one."""

    def named(name: str) -> Deferred[Account | None]:
        """Return the account with that name, if there is one."""

    def known_as(name: str) -> Deferred[Account | None]:
        """Return the account with that name, or else the one that holds its comparison form, if there is one."""

    def listed(*, prefix: str = "", after: str = "", limit: int) -> Deferred[Listing[ListedAccount]]:
        """Return some accounts whose names begin with `prefix`; with `after`, where another call ended, those behind.

        One call does a bounded amount of work: there may be somewhat more than `limit` accounts, or few or none though
        there are more. An account that is there all the time comes at least once. Fails with InvalidField if `after` is
        not what a call returned.
        """

    def accounts(users: Collection[int]) -> Deferred[Mapping[int, Account]]:
        """Return those of some accounts that are there, by id."""

    def people(form: str, *, whole: bool = False, after: str = "", limit: int) -> Deferred[Listing[Account]]:
        """Return accounts with a password whose names have a comparison form that begins with `form`.

        They are sorted by the code points of their forms, then by id. An account that an earlier release makes beside
        this one is among them once its credential was read. A page may have fewer than `limit` accounts, or none, even
        if more follow.

        :param whole: those with this very form only
        :param after: where another call ended
        """

    def guests() -> Deferred[bool]:
        """Return whether there may be accounts without a password: `register` made one, or an earlier release may have.

        False for a store without accounts, and for one in which only accounts with a password were made.
        """


class ICredentials(Interface):
    """Passwords and revoked tokens. Every method fails with StoreUnavailable when the store is unavailable."""

    def credential(user: int) -> Deferred[Credential | None]:
        """Return an account's credential; None for a guest account."""

    def create(name: str, password: str, invitation: str = "", external: ExternalId | None = None) -> Deferred[Account]:
        """Create an account with a credential; Conflict if the name is taken, or looks like one that is.

        :param password: the argon2 hash; empty for an account that no password opens
        :param invitation: the id of an invitation, of which the same step uses up one use; InvitationNeeded if that is
            not possible. A refusal uses up nothing.
        :param external: what it is linked to in the same step; Conflict if that leads to another account
        """

    def set_password(user: int, password: str, now: int, seen: int | None = None) -> Deferred[int | None]:
        """Replace the password's hash and void all tokens issued before `now`, and all issued so far.

        A reset code is void then.

        :param password: the argon2 hash
        :param now: ms since 1970
        :param seen: change nothing unless tokens are still valid from then, so that whoever showed the old password
            does not undo what was changed or revoked since
        :returns: from when tokens are valid now, later than ever before; None if nothing was changed: there is no such
            account, or not as it was seen
        """

    def rehash(user: int, before: str, password: str) -> Deferred[None]:
        """Replace the hash of the same password, if it is still `before`; tokens stay valid."""

    def revoke(user: int, now: int) -> Deferred[None]:
        """Void all tokens issued before `now` (ms since 1970)."""

    def ban(user: int, now: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction | None]:
        """Keep an account with a password from logging in, in the place of an earlier ban; None if there is none.

        Voids all tokens issued before `now` (ms since 1970) and all issued so far, and a reset code. A new password
        does not end it. It ends by the store's steady time.

        :param seconds: for how long; 0 for good
        :param reason: for the user
        """

    def unban(user: int) -> Deferred[bool]:
        """Let an account log in again; False if it is not banned."""

    def delete(user: int) -> Deferred[bool]:
        """Remove an account with all that is its own; False if there is no such account.

        That is its name, credential, memberships, blocks and indexes; its messages stay in their conversations.
        """


class IInvitationCodes(Interface):
    """Codes that invite people to make accounts. Every method fails with StoreUnavailable when the store is away.

    When they expire is up to the store's clock. Those that have expired are as good as gone.
    """

    def make(id: str, *, uses: int, seconds: float, note: str = "") -> Deferred[InvitationCode]:
        """Keep a new invitation; Conflict if there are MAX_CODES already, or one with that id.

        :param uses: to how many accounts it may lead, at most MAX_USES
        :param seconds: how long it is good for
        """

    def find(id: str) -> Deferred[InvitationCode | None]:
        """Return an invitation, if it exists."""

    def listed() -> Deferred[Sequence[InvitationCode]]:
        """Return all invitations, those that were made last at the end."""

    def revoke(id: str) -> Deferred[bool]:
        """Remove an invitation; False if there is none. Accounts that were made with it stay."""


class IResetCodes(Interface):
    """Codes with which users set a new password, one of each. Every method fails with StoreUnavailable likewise.

    When they expire is up to the store's clock. They go with the account.
    """

    def make(code: ResetCode, seconds: float) -> Deferred[int | None]:
        """Keep the code of a user, in the place of a former one; return when it expires, ms since 1970.

        :param seconds: how long it is good for
        :returns: None if there is no such account
        """

    def valid(code: ResetCode) -> Deferred[bool]:
        """Return whether a code could be used now."""

    def use(code: ResetCode, password: str, now: int) -> Deferred[int | None]:
        """Set the password by a code, once, and void all tokens; return what `ICredentials.set_password` does.

        :param password: the argon2 hash
        :param now: ms since 1970
        :returns: None if the code is not valid, and nothing was changed
        """


class IPageLogins(Interface):
    """Which devices are logged in by a cookie, one login for each. Every method fails with StoreUnavailable likewise.

    When they end is up to the store's clock. They go with the account.
    """

    def begin(
        user: int, device: str, login: str, seconds: float, instead: tuple[str, str] | None = None
    ) -> Deferred[bool]:
        """Begin a login of a device, in the place of a former one of it; return whether it was begun.

        A user has at most `cim.store.rules.page_logins.MOST`; for one more, the one that ends first goes.

        :param login: which login it is; not empty
        :param seconds: how long it lasts
        :param instead: a device and its login, which ends now; if that is not there, nothing is begun
        :returns: False also if there is no such account
        """

    def login(user: int, device: str) -> Deferred[str]:
        """Return which login a device has; empty for none."""

    def devices(user: int) -> Deferred[dict[str, int]]:
        """Return the devices that have one, and when it ends, ms since 1970."""

    def end(user: int, device: str) -> Deferred[bool]:
        """End the login of a device; return whether it had one."""


class IExternalIds(Interface):
    """What others call accounts. Every method fails with StoreUnavailable likewise.

    An id leads to one account, and an account has one id of each issuer. They go with the account.
    """

    def find(external: ExternalId) -> Deferred[Linked]:
        """Return where an id leads.

        When it ceased to lead to an account is remembered for GONE_SECONDS, but for ids of OURS.
        """

    def link(user: int, external: ExternalId) -> Deferred[None]:
        """Have an id lead to an account with a credential; nothing changes if it does.

        Fails with NotFound if there is no such account, and with Conflict if it has another id of the issuer, or the id
        leads to another account.
        """

    def unlink(user: int, issuer: str) -> Deferred[bool]:
        """Have the id of an issuer no longer lead to an account; False if it has none."""

    def linked(user: int) -> Deferred[Sequence[ExternalId]]:
        """Return the ids of an account, sorted by their issuers."""


class IUserTokens(Interface):
    """Tokens that API keys made for users. Every method fails with StoreUnavailable likewise.

    When they end is up to the store's clock. They go with the account.
    """

    def keep(user: int, token: UserToken) -> Deferred[bool]:
        """Keep a token; False if there is no such account, or it has no credential.

        Fails with Conflict if the user has cim.user_tokens.MOST.
        """

    def find(user: int, id: str) -> Deferred[UserToken | None]:
        """Return a token, if it is there."""

    def listed(user: int) -> Deferred[Sequence[UserToken]]:
        """Return the tokens of a user, those that end last at the end."""

    def revoke(user: int, id: str) -> Deferred[bool]:
        """Remove a token; False if it is not there."""


class IBlocks(Interface):
    """Whom users block. Every method fails with StoreUnavailable when the store is unavailable."""

    def block(user: int, other: int) -> Deferred[None]:
        """Have a user block another one; fails with Conflict if the user blocks MAX_BLOCKED others."""

    def unblock(user: int, other: int) -> Deferred[bool]:
        """Have a user no longer block another one; False if the user did not."""

    def blocked(user: int) -> Deferred[Sequence[int]]:
        """Return whom a user blocks, sorted."""

    def blockers(other: int) -> Deferred[frozenset[int]]:
        """Return all users who block another one."""


class IMutedUsers(Interface):
    """Whom operators mute. Every method fails with StoreUnavailable when the store is unavailable.

    What a muted user says is refused by `IConversations.append`. A mute goes with the account.
    """

    def mute(user: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction]:
        """Mute a user, in the place of an earlier mute. It ends by the store's steady time.

        :param seconds: for how long; 0 for good
        :param reason: for the user
        """

    def unmute(user: int) -> Deferred[bool]:
        """End the mute of a user; False if there is none."""

    def mutes(users: Collection[int]) -> Deferred[Mapping[int, Sanction]]:
        """Return the mutes of those of some users who are muted."""
