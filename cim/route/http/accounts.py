"""`/v1`: logins, devices, tokens and passwords of users."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from attrs import evolve, frozen

from cim.daemon.metrics import Metrics
from cim.errors import (
    Banned,
    CIMError,
    Forbidden,
    InvalidField,
    NotFound,
    Unauthorized,
    Unavailable,
)
from cim.interfaces import IStore, IStoreClock
from cim.model import Account, Credential
from cim.names import look_the_same
from cim.route.front.login import Logins
from cim.route.front.rates import Rates
from cim.route.http.access import Caller, confirmed
from cim.route.http.attempts import Attempts, asked_for
from cim.route.http.page_logins import PageLogins, without_cookie
from cim.route.http.passwords import Match, Passwords, Turn
from cim.route.http.sessions import SESSIONS, end_former_sessions, with_pages
from cim.route.http.shapes import PASSWORD, USER_ID, Device
from cim.route.http.subjects import Subjects
from cim.route.http.tokens import Tokens
from cim.route.presence.directory import Directory
from cim.tickets import TICKET_SECONDS, Ticket, make_ticket
from cim.user_tokens import Bounds, UserScope
from cim.web.declaring import Who, WithHeaders, http_call
from cim.web.schema import Boolean, Id, Integer, Name, Nullable, Object, Optional, Schema, Text

_SERVER = Object(
    {
        "host": Text(255, about="Its host."),
        "tcp_port": Integer(1, 65535, "Its port for native clients."),
        "tls": Nullable(Text(300, about="The name to verify on the TCP port; null if that is used without TLS.")),
        "websocket": Nullable(Text(300, about="The URL for WebSockets; null if the server has none.")),
        "socket": Nullable(Text(300, about="The path for WebSockets where this call was made; null if there is none.")),
    },
    "Server",
    "Where to connect.",
)
_TOKEN: dict[str, Schema | Optional] = {
    "token": Optional(
        Text(4096, about="Goes into `Authorization: Bearer`, for calls and for logging in again; none by a cookie.")
    ),
    "token_expires_in": Integer(1, 1 << 31, "Seconds, of the cookie, too."),
}
_LOGIN = Object(
    {
        "user_id": USER_ID,
        "name": Name(),
        "device": Device("The device that the session is of."),
        "server": _SERVER,
        "ticket": Text(4096, about="Goes into the Hello to that server; valid once."),
        "ticket_expires_in": Integer(1, 3600, "Seconds."),
        **_TOKEN,
    },
    "Login",
)
_NO_PAGE = (
    "only the page of this very address may log in by cookie, as far as its browser says (Sec-Fetch-Site or Origin): "
    "leave out `cookie`; or, if a proxy ends TLS before this daemon, name it in --trusted-proxies"
)
#: The id that no account has.
_NOBODY = 0


@frozen(kw_only=True, eq=False)
class AccountsAPI:
    """The calls about logins and tokens.

    :param ticket_key: the key derived for "ticket"
    :param socket: the path at which the listener takes WebSockets to the only server; empty if it does not
    :param new_id: makes a unique id
    """

    _store: IStore
    _logins: Logins
    _directory: Directory
    _passwords: Passwords
    _attempts: Attempts
    _rates: Rates
    _tokens: Tokens
    _pages: PageLogins
    _subjects: Subjects
    _ticket_key: bytes
    _socket: str
    _new_id: Callable[[], str]
    _time: IStoreClock
    _metrics: Metrics

    @http_call(
        "POST /v1/sessions",
        who=Who.MAYBE_USER,
        needs=UserScope.READ,
        body={
            "name": Optional(Name("With `password`; or `id`.")),
            "id": Optional(Id(about="With `password`; or `name`.")),
            "password": Optional(PASSWORD),
            "device": Optional(
                Device("The name of the device, by 1 to 64 printable characters; random if left out.", new=True)
            ),
            "cookie": Optional(Boolean("For the page: the token goes into a cookie in place of the answer."), False),
        },
        answers={201: _LOGIN},
        errors=(409,),
        example={"name": "alice", "password": "correct horse", "device": "phone"},
        asks_whether_awaited=True,
    )
    async def log_in(
        self,
        caller: Caller,
        name: str | None,
        id: int | None,
        password: str | None,
        device: str | None,
        cookie: bool,
        *,
        awaited: Callable[[], bool],
    ) -> Any:
        """Log in.

        With a password, or with a token or the page's cookie and no password, or with a JWT of the operator's issuer in
        the place of a token. What a bounded token or a JWT gives may do no more, and ends with it. A session is
        reserved for 30 s at the server in the answer. A name that looks like that of the account will do; the answer
        has the account's own.
        403 with the code `suspended` if an operator has banned the account: `until` says when that ends, in ms since
        1970, null for never, and `reason` why.
        409 with the code `second-login` if the user has a session on another device and the login policy refuses a
        second one; a login always replaces a session of the same device.
        """
        if cookie and not caller.page:
            raise Forbidden(_NO_PAGE)
        former = caller.proven if caller.page else None
        if password is not None:
            caller = evolve(caller, proven=None, jwt="")
        elif former is not None:
            # A script of the page must not get a token for the cookie, which it cannot read.
            cookie = True
        elif cookie:
            raise Unauthorized("log in with a name and a password")
        value = ""
        try:
            claimed = await self._claimed(caller, name, id, password) if not caller.jwt else None
            bounds = caller.proven.bounds if caller.proven is not None else None
            if bounds is not None and bounds.device:
                if device not in (None, bounds.device):
                    raise Forbidden("this token is for another device")
                device = bounds.device
            self._tokens.lasts(bounds)
            with ExitStack() as counted:
                if caller.jwt:
                    self._rates.take("address-calls", caller.address)
                    account, credential, bounds = await self._subjects.proven(caller.jwt)
                    _check_claimed(account, name, id)
                    counted.enter_context(self._rates.attempt("user-logins", account.id))
                    root = ""
                elif password is None:
                    account, credential, root = await self._unrevoked(caller)
                    counted.enter_context(self._rates.attempt("user-logins", (account.id, root)))
                else:
                    asked = asked_for(name, id)
                    account, credential = await self._proven(claimed, asked, password, caller.address, device, counted)
                    # By itself: whoever stole a token does not keep the owner from logging in.
                    counted.enter_context(self._rates.attempt("user-logins", account.id))
                    root = ""
                if not self._directory.caught_up:
                    await self._directory.when_caught_up()
                device = device or (former.device if former is not None else "") or self._new_id()
                if not awaited():
                    # A client that gave up has maybe logged in elsewhere since: this login would end that session.
                    raise Unavailable("the client has gone before its login was made")
                admission = await self._logins.login_native(account, device, bounds)
            await self._still_stands(caller, account, credential, device)
            if cookie:
                value = await self._pages.log_in(
                    *(account, device, credential.valid_from, admission.owner),
                    former=former,
                    goes_on=password is None,
                )
        except CIMError as error:
            self._metrics.login(type(error).__name__)
            raise
        self._metrics.login("ok")
        address = admission.address
        ticket = Ticket(account.id, account.name, device, admission.owner, bounds is not None)
        said = {
            "user_id": account.id,
            "name": account.name,
            "device": device,
            "server": {
                "host": address.host,
                "tcp_port": address.tcp_port,
                "tls": admission.tls_name or None,
                "websocket": admission.websocket or None,
                "socket": self._socket or None,
            },
            "ticket": make_ticket(self._ticket_key, ticket, admission.place, self._time.shown() / 1000, self._new_id()),
            "ticket_expires_in": TICKET_SECONDS,
        }
        if cookie:
            return self._pages.answer(caller.page, value, said)
        return {**said, **self._token(account, credential.valid_from, admission.owner, root, bounds)}

    def _token(self, account: Account, valid_from: int, owner: str, root: str, bounds: Bounds | None) -> dict[str, Any]:
        return {
            "token": self._tokens.issue(account, valid_from, owner, root, bounds=bounds),
            "token_expires_in": self._tokens.lasts(bounds),
        }

    async def _claimed(self, caller: Caller, name: str | None, id: int | None, password: str | None) -> Account | None:
        """Return the account that a caller says is its own, None if there is none."""
        if caller.proven is not None and password is None:
            _check_claimed(caller.account, name, id)
            return caller.account
        if name is None and id is None:
            raise InvalidField("name", "or `id` must be given")
        if name is not None and id is not None:
            raise InvalidField("id", "cannot be combined with `name`")
        if password is None:
            raise InvalidField("password", "is missing")
        self._rates.take("address-calls", caller.address)
        accounts = self._store.accounts
        found: Account | None = await (accounts.known_as(name) if name is not None else accounts.account(id or 0))
        return found

    async def _unrevoked(self, caller: Caller) -> tuple[Account, Credential, str]:
        """Return the account of a token, its credential, not as cached (a session outlives its token), and its root."""
        assert caller.proven is not None
        # A cookie was checked by what is cached.
        credential = caller.credential or await self._store.credentials.credential(caller.account.id)
        if credential is None or caller.proven.issued < credential.valid_from:
            raise Unauthorized("the token was revoked: log in again")
        if credential.ban is not None:
            raise Banned.of(credential.ban)
        if caller.credential is None:
            await self._tokens.confirm_made(caller.proven)
        return caller.account, credential, caller.proven.root

    async def _still_stands(self, caller: Caller, account: Account, credential: Credential, device: str) -> None:
        """End the reservation if the account was deleted, reset or logged out by an operator in the meantime.

        The operator's call ends all sessions that it finds; if it looked before ours was there, this check comes later.
        """
        present = await self._store.credentials.credential(account.id)
        issued = caller.proven.issued if caller.proven is not None else credential.valid_from
        # A new password also moves `valid_from`; a new hash of the same one does not.
        if present is None or issued < present.valid_from:
            await self._logins.end_sessions(account.id, device)
            raise Unauthorized("the account has changed: log in again")
        if caller.proven is not None:
            try:
                await self._tokens.confirm_made(caller.proven)
            except Unauthorized:
                await self._logins.end_sessions(account.id, device)
                raise

    async def _proven(
        self,
        account: Account | None,
        asked: str,
        password: str,
        address: str,
        device: str | None,
        counted: ExitStack,
    ) -> tuple[Account, Credential]:
        """Return the account, if the password is right, and its credential.

        Whoever has a wrong one learns nothing: neither the answer nor its time or limits differ by whether there is
        such an account, or whether it is a guest's.
        """
        attempt = self._attempts.take(asked, account.id if account is not None else None, address, device or "")
        try:
            # Before the password is looked at, which costs the most; whoever has a wrong one takes nothing.
            counted.enter_context(self._rates.attempt("user-logins", (asked, address)))
            credential = await self._store.credentials.credential(account.id if account is not None else _NOBODY)
            # As much work without a credential.
            stored = credential.password if credential is not None else None
            match = await self._passwords.match(stored, password, Turn(address, attempt.first))
        except CIMError:
            attempt.unseen()
            raise
        if account is None or credential is None or match is Match.WRONG:
            raise Unauthorized("the name or the password is wrong")
        attempt.right()
        if credential.ban is not None:
            # Told to nobody but its owner.
            raise Banned.of(credential.ban)
        if match is Match.AS_TYPED:
            # It does not matter if that fails: the next login tries again.
            with suppress(CIMError):
                hashed = await self._passwords.hash(password, Turn(address, attempt.first))
                await self._store.credentials.rehash(account.id, credential.password, hashed)
        return account, credential

    @http_call("GET /v1/sessions", needs=UserScope.ACCOUNT, answers={200: SESSIONS})
    async def own_sessions(self, caller: Caller) -> dict[str, Any]:
        """List the devices on which the user is logged in.

        Those with a page, too, that is logged in by its cookie, but not open.
        """
        user = caller.account.id
        return with_pages(await self._store.sessions.sessions(user), await self._pages.devices(user))

    @http_call("DELETE /v1/sessions/{device}", path={"device": Device()}, answers={204: None}, errors=(404,))
    @confirmed
    async def log_out(self, caller: Caller, device: str) -> WithHeaders | None:
        """End the session of one of the user's devices, and its cookie if it is a page."""
        # First, so that the page does not log in again.
        kept = await self._pages.end(caller.account.id, device)
        if not await self._logins.end_sessions(caller.account.id, device) and not kept:
            raise NotFound("there is no session on this device")
        return without_cookie(caller.page) if caller.proven is not None and caller.proven.device == device else None

    @http_call("DELETE /v1/token", answers={204: None})
    @confirmed
    async def revoke(self, caller: Caller) -> WithHeaders | None:
        """Revoke all tokens of the user, those in cookies, too, and all registrations for push.

        Other routes may accept them for up to 3 s more where they only read and write messages. Sessions stay.
        """
        assert caller.proven is not None
        await self._tokens.revoke(caller.account.id, caller.proven.issued)
        await self._store.pushes.unregister_device(caller.account.id, None)
        return without_cookie(caller.page)

    @http_call(
        "PUT /v1/password",
        body={"password": PASSWORD, "new_password": PASSWORD},
        answers={200: Object(_TOKEN, "NewToken", "Replaces the token of the call.")},
        example={"password": "correct horse", "new_password": "battery staple"},
    )
    async def change_password(self, caller: Caller, password: str, new_password: str) -> Any:
        """Change the user's password.

        Ends all sessions but the one whose login gave the token of this call, and revokes all tokens; the answer has a
        new one, in the cookie if the call was made by one. Other routes may accept revoked tokens for up to 3 s more,
        where they only read and write messages. 403 if `password` is not the current one.
        """
        user = caller.account.id
        proven = caller.proven
        assert proven is not None
        turn = Turn(f"id:{user}", first=True)
        attempt = self._attempts.take_proven(user, proven.root)
        try:
            with self._rates.attempt("user-logins", ("change", user)):
                credential = await self._store.credentials.credential(user)
                if credential is not None and proven.issued < credential.valid_from:
                    raise Unauthorized("the token was revoked: log in again")
                stored = credential.password if credential is not None else None
                match = await self._passwords.match(stored, password, turn)
                if credential is None or match is Match.WRONG:
                    raise Forbidden("the current password is wrong")
        except Forbidden:
            raise
        except CIMError:
            attempt.unseen()
            raise
        attempt.right()
        hashed = await self._passwords.hash(new_password, turn)
        now = self._tokens.now(proven.issued)
        valid_from = await self._store.credentials.set_password(user, hashed, now, credential.valid_from)
        self._tokens.forget(user)
        if valid_from is None:
            raise Unauthorized("the account was deleted, or changed elsewhere at the same time: log in again")
        await end_former_sessions(self._logins, user, kept=proven.owner)
        if caller.page:
            value = await self._pages.begin(caller.account, proven.device, valid_from, proven.owner, proven)
            return self._pages.answer(caller.page, value)
        return self._token(caller.account, valid_from, proven.owner, "", proven.bounds)


def _check_claimed(account: Account, name: str | None, id: int | None) -> None:
    """Check that a name and an id that were given with a token are those of its account."""
    if (name is not None and not look_the_same(name, account.name)) or id not in (None, account.id):
        raise Forbidden("the token belongs to another user")
