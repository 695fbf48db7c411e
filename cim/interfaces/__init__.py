"""The interfaces between the packages (docs/architecture.md). Each has a real implementation and one in memory.

Every Deferred fires in the reactor thread. Times are in seconds on the injected clock unless a name says ms.
"""

from __future__ import annotations

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
from cim.interfaces.links import RUNS, Asking, ILink, ILinkUser, Pushed
from cim.interfaces.plugins import IMessageListener, IMessagePolicy, IPusher, IPushSelection, IServerSelection
from cim.interfaces.registry import ROUTES, SERVERS, IAnnouncement, IRegistry
from cim.interfaces.sessions import IPushes, ISessions
from cim.interfaces.store import IStore, IStoreClock

__all__ = [
    "ROUTES",
    "RUNS",
    "SERVERS",
    "Asking",
    "IAccounts",
    "IAnnouncement",
    "IBlocks",
    "IConversations",
    "ICredentials",
    "IExternalIds",
    "IFollowers",
    "IGroups",
    "IInvitationCodes",
    "IInvitations",
    "ILink",
    "ILinkUser",
    "IMessageListener",
    "IMessagePolicy",
    "IMutedUsers",
    "IMutes",
    "IPageLogins",
    "IPushSelection",
    "IPusher",
    "IPushes",
    "IRegistry",
    "IReports",
    "IResetCodes",
    "IServerSelection",
    "ISessions",
    "IStore",
    "IStoreClock",
    "IUserTokens",
    "Pushed",
]
