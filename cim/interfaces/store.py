"""A store as a whole, and its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from cim.interfaces.accounts import (
        IAccounts,
        IBlocks,
        ICredentials,
        IExternalIds,
        IInvitationCodes,
        IMutedUsers,
        IPageLogins,
        IResetCodes,
        IUserTokens,
    )
    from cim.interfaces.conversations import IConversations, IFollowers, IMutes, IReports
    from cim.interfaces.groups import IGroups, IInvitations
    from cim.interfaces.sessions import IPushes, ISessions


class IStoreClock(Interface):
    """The time of a store, in ms since 1970 (docs/architecture.md, Clocks)."""

    def now() -> int:
        """Return the steady time, by which ages are counted and things expire; 0 before the store has answered.

        It does not jump when the store's clock does, and never goes back.
        """

    def shown() -> int:
        """Return what the store's clock says, which people see; until it has answered, what this machine's says."""

    def skew() -> float:
        """Return how many seconds this machine's clock is ahead of the store's; 0 if that is unknown."""


class IStore(Interface):
    """Everything that is stored; a Service."""

    clock: IStoreClock = Attribute("Its time.")

    accounts: IAccounts = Attribute("The accounts.")
    sessions: ISessions = Attribute("The sessions.")
    conversations: IConversations = Attribute("The conversations.")
    followers: IFollowers = Attribute("How far those came who follow the conversations.")
    groups: IGroups = Attribute("The groups.")
    invitations: IInvitations = Attribute("The invitations to groups.")
    blocks: IBlocks = Attribute("Whom users block.")
    muted_users: IMutedUsers = Attribute("Whom operators mute.")
    reports: IReports = Attribute("Which messages users reported.")
    mutes: IMutes = Attribute("Which conversations users mute.")
    pushes: IPushes = Attribute("Where users are notified of messages.")
    credentials: ICredentials = Attribute("The credentials.")
    invitation_codes: IInvitationCodes = Attribute("The invitation codes, with which accounts are made.")
    reset_codes: IResetCodes = Attribute("The reset codes, with which a forgotten password is replaced.")
    page_logins: IPageLogins = Attribute("Who is logged in by a cookie.")
    external_ids: IExternalIds = Attribute("What others call accounts.")
    user_tokens: IUserTokens = Attribute("The tokens that API keys made for users.")

    def health() -> str:
        """Return "" when the store answers, else a sentence that says what is wrong."""

    def facts() -> Mapping[str, Any]:
        """Return facts for operators, such as how safe an acknowledged write is."""

    def used() -> float:
        """Return the part of its space that is used, 0 to 1; 0 if that is unknown or nothing bounds it."""

    def epoch() -> int:
        """Return the number of the epoch; 0 before the store has answered for the first time.

        A new epoch begins whenever what is stored may have gone back to an earlier state, or been replaced. Its number
        is higher than that of any before, and than the first number of every position given before.
        """

    def saw_epoch(number: int) -> None:
        """Note that a number was an epoch's: if that of the store is lower, a new epoch begins."""

    def on_epoch(listener: Callable[[], None]) -> None:
        """Call `listener` after each change of the epoch but the first; then what was read before may be wrong."""

    def on_reconnect(listener: Callable[[], None]) -> None:
        """Call `listener` each time the store is available again after it was not, or has begun a new epoch."""

    def observe(latency: Callable[[str, float], None]) -> None:
        """Call `latency(operation, seconds)` after every call."""
