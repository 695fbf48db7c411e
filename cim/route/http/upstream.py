"""Upstream's HTTP API as routes serve it: its words and codes to the letter, without its bugs (docs/http-api.md)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cim.daemon.metrics import Metrics
from cim.errors import AccountMismatch, CIMError, Conflict, InvalidField
from cim.interfaces import IAccounts
from cim.names import check_new_name
from cim.route.guests.door import GuestDoor
from cim.route.http.shapes import USER_ID
from cim.route.messages.limits import Guest
from cim.route.service import Route
from cim.traces import Trace
from cim.web.declaring import Call, Gate, Who, WithHeaders, http_call
from cim.web.message_fields import MAX_TEXT, MESSAGE, texts_of
from cim.web.schema import Array, Integer, Name, Object, Text
from cim.wire.guests import TLS_NAME

_GUEST = Object({"userId": USER_ID, "userName": Name()}, "Guest")
_SERVER = Object(
    {
        "ip": Text(255, about="Its host."),
        "cimServerPort": Integer(1, 65535, "Its TCP port, for clients."),
        "httpPort": Integer(0, 65535, "Its HTTP port, for routes."),
    },
    "GuestServer",
)


def guests_only(door: GuestDoor, gate: Gate) -> Gate:
    """Return a gate that refuses the calls of guests while none are served, and otherwise does what `gate` does."""

    async def look(request: Any, call: Call) -> Any:
        await door.check()
        return gate(request, call)

    return lambda request, call: gate(request, call) if door.open or call.who is not Who.GUEST else look(request, call)


class UpstreamAPI:
    """The calls of upstream's clients and servers; parameters are named after the fields.

    Callers prove nothing, so the calls act only for accounts without a password, and count by the callers' addresses.
    """

    def __init__(self, route: Route, accounts: IAccounts, metrics: Metrics) -> None:
        self._route = route
        self._rates = route.rates
        self._accounts = accounts
        self._metrics = metrics

    async def _caught_up(self) -> None:
        if not self._route.directory.caught_up:
            await self._route.directory.when_caught_up()

    @http_call("POST /registerAccount", who=Who.GUEST, body={"userName": Name()}, answers={200: _GUEST})
    async def register(self, caller: str, userName: str) -> dict[str, Any]:
        """Create an account, or return the one that already has the name."""
        self._rates.take("address-calls", caller)
        account = await self._accounts.named(userName)
        if account is None:
            check_new_name(userName, "userName")
            self._rates.take("address-accounts", caller)
            try:
                await self._route.naming.account(userName)
                account = await self._accounts.register(userName)
            except Conflict:
                raise InvalidField("userName", "looks like the name of another account: choose another") from None
        self._route.accounts.keep(account)
        # Of an account with a password nobody learns the id here, even if it was made just now.
        await self._route.guests.check(account.id)
        return {"userId": account.id, "userName": account.name}

    @http_call("POST /login", who=Who.GUEST, body={"userId": USER_ID, "userName": Name()}, answers={200: _SERVER})
    async def login(self, caller: str, userId: int, userName: str) -> dict[str, Any] | WithHeaders:
        """Reserve a session and return the server's address."""
        await self._caught_up()
        try:
            with self._rates.attempt("address-logins", caller):
                proof = self._route.guests.check(userId, anew=True)
                admission = await self._route.logins.login(userId, userName, proof)
        except CIMError as error:
            self._metrics.login(type(error).__name__)
            raise
        self._metrics.login("ok")
        address = admission.address
        said = {"ip": address.host, "cimServerPort": address.tcp_port, "httpPort": address.http_port}
        # Where upstream's clients do not look: theirs refuse an answer with a further key.
        return WithHeaders({TLS_NAME: admission.tls_name}, said) if admission.tls_name else said

    @http_call(
        "POST /p2pRoute",
        who=Who.GUEST,
        body={
            "userId": USER_ID,
            "receiveUserId": USER_ID,
            **MESSAGE,
        },
        asks_for_trace=True,
    )
    async def private(
        self, caller: str, userId: int, receiveUserId: int, batchMsg: list[str] | None, msg: str | None, trace: Trace
    ) -> None:
        """Push a message, or several as one batch, to a user."""
        texts = texts_of(batchMsg, msg)
        if not self._route.directory.caught_up:
            await self._caught_up()
        if not self._route.guests.at_hand(userId):
            self._rates.take("address-calls", caller)
            await self._route.guests.check(userId)
        sender = Guest(userId, caller)
        await self._route.messages.private(sender, receiveUserId, texts, batch=bool(batchMsg), trace=trace)

    @http_call(
        "POST /groupRoute",
        who=Who.GUEST,
        body={"userId": USER_ID, "msg": Text(MAX_TEXT, about="The text.")},
        asks_for_trace=True,
    )
    async def everyone(self, caller: str, userId: int, msg: str, trace: Trace) -> None:
        """Push a message to everyone online except the sender."""
        self._rates.take("address-calls", caller)
        await self._caught_up()
        await self._route.guests.check(userId)
        await self._route.messages.everyone(Guest(userId, caller), msg, trace)

    @http_call("GET POST /onlineUser", who=Who.GUEST, answers={200: Array(_GUEST)})
    async def online(self, caller: str) -> list[dict[str, Any]]:
        """Return which guests are online: an empty list where upstream returns null, which its SDK cannot handle."""
        self._rates.take("address-online", caller)
        await self._caught_up()
        return [{"userId": account.id, "userName": account.name} for account in await self._route.messages.online()]

    @http_call("POST /offLine", who=Who.GUEST, body={"userId": USER_ID})
    async def log_out(self, caller: str, userId: int) -> None:
        """End a guest's session; for any other id, whether there is such an account or not, do nothing."""
        self._rates.take("address-calls", caller)
        await self._caught_up()
        with suppress(AccountMismatch):
            await self._route.guests.check(userId)
            await self._route.logins.log_out(userId)

    @http_call("POST /fetchOfflineMsgs", who=Who.GUEST, body={"receiveUserId": USER_ID})
    async def fetch_offline(self, caller: str, receiveUserId: int) -> None:
        """Push the messages that a guest missed while offline."""
        self._rates.take("address-calls", caller)
        await self._caught_up()
        await self._route.messages.fetch_offline(receiveUserId)
