"""Says something as the system user, whose name nobody else can have (docs/moderation.md, Broadcasts)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cim.daemon.metrics import Metrics
from cim.errors import Conflict
from cim.interfaces import IAccounts, ICredentials, IStoreClock
from cim.model import SYSTEM, Account, Append, Appended, Charge, Credential
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.limits import Key, MessageLimits
from cim.route.messages.outgoing import Outgoing
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send


def check_person(credential: Credential | None) -> None:
    """Check that an account is not the system user's, as whom nobody logs in.

    :raises Conflict: it is
    """
    if credential is not None and credential.password == SYSTEM:
        raise Conflict("this is the system user, as whom nobody logs in: broadcast by POST /v1/admin/broadcasts")


class SystemUser:
    """The account that broadcasts are by: made when it is first needed, by whichever route.

    :param name: what it is called
    """

    def __init__(self, accounts: IAccounts, credentials: ICredentials, name: str) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._name = name

    async def account(self) -> Account:
        """Return the account.

        :raises Conflict: somebody else has the name, or one that looks like it
        """
        found = await self._accounts.named(self._name)
        if found is None:
            try:
                found = await self._credentials.create(self._name, SYSTEM)
            except Conflict:  # another route has made it just now, or a user's name looks like it
                found = await self._accounts.known_as(self._name)
        credential = await self._credentials.credential(found.id) if found is not None else None
        if found is None or credential is None or credential.password != SYSTEM:
            raise Conflict(f"a user has the name {self._name}: give all routes another --system-name")
        return Account(found.id, found.name)

    async def check_person(self, account: Account) -> None:
        """Check that an account is another one, as whom an API key may send that may not broadcast.

        :raises Conflict: it is this one
        """
        if account.name == self._name:
            check_person(await self._credentials.credential(account.id))


class Broadcasting:
    """Stores what the system user says, past blocks and mutes, and pushes it.

    :param told: called with what was stored, and where, as `Sending.on_stored` is
    """

    def __init__(
        self,
        system: SystemUser,
        *,
        accounts: KnownAccounts,
        appender: Appender,
        delivery: Delivery,
        clock: IStoreClock,
        limits: MessageLimits,
        metrics: Metrics,
        told: Sequence[Callable[[Outgoing, Appended], object]],
    ) -> None:
        self._told = told
        self._system = system
        self._accounts = accounts
        self._appender = appender
        self._delivery = delivery
        self._clock = clock
        self._limits = limits
        self._metrics = metrics

    async def say(self, send: Send, payer: Key) -> tuple[str, Appended]:
        """Say something to a user, a group, or everyone; return the conversation, and where it is there.

        :param payer: the API key whose limits it counts towards
        :raises AccountMismatch: there is no such user
        :raises NotFound: there is no such group
        :raises Conflict: the name of the system user is taken, or another message had the same client_id
        """
        size = native.check_send(send)
        if send.user:
            await self._accounts.look(send.user)
        system = await self._system.account()
        name = conversations.private(system.id, send.user) if send.user else conversations.group(send.group)
        refusal = self._limits.take(payer, name, 1, size)
        if refusal is not None:
            raise refusal
        now = self._clock.shown()
        item = Append(
            name,
            # Nobody, in a group, of which the system user is no member.
            0 if send.group else system.id,
            f"broadcast-{send.client_id}",
            native.digest(send),
            native.body_of(send, system.id, system.name, now),
            now,
            past_blocks=True,
            charge=Charge.NONE,
        )
        result = await self._appender.append(item)
        self._metrics.messages_in += 1
        packet = native.deliver_packet(result.body, name, result.position, result.previous)
        push = Push(packet, repeated=result.repeated, reads=result.position if send.group else "")
        self._delivery.to_conversation(push, name, result.version)
        message = Outgoing(system, send, name, size, payer=payer, push=False, operator=True)
        for listener in self._told:
            listener(message, result)
        return name, result
