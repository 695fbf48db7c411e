"""Upstream's HTTP API, to the letter where UPSTREAM.md section 8 does not call it a bug (section 2 there)."""

from __future__ import annotations

from typing import Any

from klein import Klein

from cim.ecim import CIMError
from cim.icim import IAccounts
from cim.metrics import Metrics
from cim.route.service import Route
from cim.web.fields import Fields
from cim.web.serving import upstream_call

#: Bytes of text in one message: what fits into a frame with what goes around it (DESIGN.md section 4).
MAX_TEXT = 48 * 1024
MAX_BATCH = 100


class UpstreamAPI:
    """The calls of upstream's clients, and of its servers.

    They prove nothing, so they act for accounts without a password alone (DESIGN.md section 7).
    """

    app = Klein()

    def __init__(self, route: Route, accounts: IAccounts, metrics: Metrics) -> None:
        self._route = route
        self._accounts = accounts
        self._metrics = metrics

    async def _caught_up(self) -> None:
        if not self._route.directory.caught_up:
            await self._route.directory.when_caught_up()

    @upstream_call(app, "/registerAccount")
    async def register(self, fields: Fields) -> dict[str, Any]:
        """Make an account, or return the one that has the name already."""
        account = await self._accounts.register(fields.name("userName"))
        self._route.accounts.keep(account)
        return {"userId": account.id, "userName": account.name}

    @upstream_call(app, "/login")
    async def login(self, fields: Fields) -> dict[str, Any]:
        """Reserve a session and say where it is."""
        user = fields.user_id("userId")
        name = fields.name("userName")
        await self._caught_up()
        try:
            await self._route.guests.check(user, anew=True)
            address = await self._route.logins.login(user, name)
        except CIMError as error:
            self._metrics.login(type(error).__name__)
            raise
        self._metrics.login("ok")
        return {"ip": address.host, "cimServerPort": address.tcp_port, "httpPort": address.http_port}

    @upstream_call(app, "/p2pRoute")
    async def private(self, fields: Fields) -> None:
        """Push a message, or several as one batch, to one user."""
        sender = fields.user_id("userId")
        receiver = fields.user_id("receiveUserId")
        texts = fields.texts("batchMsg", MAX_BATCH, MAX_TEXT)
        batch = bool(texts)
        if not batch:
            texts = [fields.text("msg", MAX_TEXT)]
        if not self._route.directory.caught_up:
            await self._caught_up()
        if not self._route.guests.at_hand(sender):
            await self._route.guests.check(sender)
        await self._route.messages.private(sender, receiver, texts, batch=batch)

    @upstream_call(app, "/groupRoute")
    async def everyone(self, fields: Fields) -> None:
        """Push a message to everyone online but the sender."""
        sender = fields.user_id("userId")
        text = fields.text("msg", MAX_TEXT)
        await self._caught_up()
        await self._route.guests.check(sender)
        await self._route.messages.everyone(sender, text)

    @upstream_call(app, "/onlineUser", methods=("GET", "POST"), body=False)
    async def online(self, fields: Fields) -> list[dict[str, Any]]:
        """Return who is online; an empty list where upstream says null, which its SDK cannot take."""
        await self._caught_up()
        return [{"userId": account.id, "userName": account.name} for account in await self._route.messages.online()]

    @upstream_call(app, "/offLine")
    async def log_out(self, fields: Fields) -> None:
        """End a user's session."""
        user = fields.user_id("userId")
        await self._caught_up()
        await self._route.guests.check(user)
        await self._route.logins.log_out(user)

    @upstream_call(app, "/fetchOfflineMsgs")
    async def fetch_offline(self, fields: Fields) -> None:
        """Have what a guest missed while it was offline pushed to it."""
        user = fields.user_id("receiveUserId")
        await self._caught_up()
        await self._route.messages.fetch_offline(user)
