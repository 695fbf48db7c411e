"""Invitations to groups, and how the invited hear of them (docs/architecture.md, Groups).

One is pushed to the user's sessions when it is made. Those that wait come with every Welcome, and with the News of a
session that may have missed a push.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from cim.errors import CIMError, Unavailable
from cim.interfaces import IGroups, IInvitations
from cim.model import Account, Group, Invitation, Role
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.together import together
from cim.wire import native
from cim.wire.cim_pb2 import Invited


class Inviting:
    """Invites users, and tells them."""

    def __init__(
        self, *, invitations: IInvitations, groups: IGroups, accounts: KnownAccounts, delivery: Delivery
    ) -> None:
        self._invitations = invitations
        self._groups = groups
        self._accounts = accounts
        self._delivery = delivery

    async def invite(self, group: Group, by: Account, user: int) -> bool:
        """Invite a user; return False if it is a member. Raises the same errors as IInvitations.invite."""
        made = await self._invitations.invite(group.id, by.id, user)
        if made is None:
            return False
        self._delivery.to_users(Push(native.packet(invited=_invited(made, group, by.name))), (user,))
        return True

    async def waiting(self, user: int) -> list[tuple[Invitation, Group, Account]]:
        """Return the invitations that wait for a user, the oldest first, each with its group and who invites."""
        return await self._known(await self._invitations.waiting(user))

    async def _known(self, invitations: Iterable[Invitation]) -> list[tuple[Invitation, Group, Account]]:
        """Return invitations with what they are about, without those that are void.

        They are once the group is gone, or who invites is no admin of it any more.
        """
        found = await together([Deferred.fromCoroutine(self._look_up(one)) for one in invitations])
        return [one for one in found if one is not None]

    async def _look_up(self, one: Invitation) -> tuple[Invitation, Group, Account] | None:
        group = await self._groups.group(one.group)
        by = await self._groups.member(one.group, one.by)
        if group is None or by is None or by.role < Role.ADMIN:
            return None
        try:
            return one, group, await self._accounts.get(one.by)
        except Unavailable:
            raise
        except CIMError:  # it is being deleted
            return None

    async def shown(self, invitations: Iterable[Invitation]) -> list[Invited]:
        """Return invitations in the form that clients get."""
        return [_invited(one, group, by.name) for one, group, by in await self._known(invitations)]


def _invited(one: Invitation, group: Group, by_name: str) -> Invited:
    return Invited(group=one.group, group_name=group.name, by=one.by, by_name=by_name, at=one.at)
