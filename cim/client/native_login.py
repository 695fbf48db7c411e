"""The login of a native client: with the token of the last login, or with the password, or with a token of others."""

from __future__ import annotations

from contextlib import suppress

from cim.client.v1 import LoggedIn, V1Calls
from cim.client.values import Password, Token
from cim.errors import (
    AccountsClosed,
    BadRequest,
    CIMError,
    Conflict,
    Forbidden,
    InvitationNeeded,
    Unauthorized,
    Unavailable,
)
from cim.reset_codes import ResetCode


async def log_in(api: V1Calls, credentials: Password | Token, device: str, *, create: bool) -> LoggedIn:
    """Log in; a token that is no longer valid is forgotten.

    :param create: whether the account may be created now, if the credentials ask for it
    :raises Unauthorized: neither token nor password is valid, or the name belongs to somebody else
    :raises InvitationNeeded: a new account needs an invitation that is valid
    """
    name = credentials.name if isinstance(credentials, Password) else ""
    if api.token:
        try:
            return await api.log_in(name, device)
        except (Unauthorized, Forbidden):
            api.token = ""
    if isinstance(credentials, Token):
        return await _vouched(api, credentials, device)
    try:
        return await api.log_in(credentials.name, device, api.password or credentials.password)
    except Unauthorized as refused:
        return await _otherwise(api, credentials, device, refused, create=create and credentials.create)


async def _vouched(api: V1Calls, credentials: Token, device: str) -> LoggedIn:
    """Log in with a token or a JWT of others."""
    fresh = credentials.fresh
    if not isinstance(fresh, str):
        try:
            fresh = await fresh()
        except CIMError:
            raise
        except Exception as error:
            # It may ask somebody else over a network, by whatever library.
            raise Unavailable(f"there is no token to log in with: {error or type(error).__name__}")
    if not fresh:
        raise Unauthorized("there is no token to log in with")
    api.token = fresh
    try:
        return await api.log_in("", device)
    except BaseException:
        # It is for this login alone.
        api.token = ""
        raise


async def _otherwise(
    api: V1Calls, credentials: Password, device: str, refused: Unauthorized, *, create: bool
) -> LoggedIn:
    """Create the account, or ask for its password, or for an invitation.

    :param refused: why the login was refused
    """
    given = credentials.invitation
    why: CIMError = refused
    needed: InvitationNeeded | None = None
    if create:
        try:
            return await _created(api, credentials, device, given if isinstance(given, str) else "")
        except Conflict:
            # Another program of the same user may just have made it.
            with suppress(Unauthorized):
                return await api.log_in(credentials.name, device, credentials.password)
        except InvitationNeeded as error:
            why = needed = _both(refused, error)
        except AccountsClosed as error:
            why = error
    if credentials.ask is not None:
        login = await _asked(api, credentials, device, needed or refused)
        if login is not None:
            return login
    while needed is not None:
        code = "" if isinstance(given, str) else await given(needed.message)
        if not code:
            raise needed
        try:
            return await _created(api, credentials, device, code)
        except Conflict:
            raise refused
        except InvitationNeeded as error:
            needed = _both(refused, error)
    raise why


async def _created(api: V1Calls, credentials: Password, device: str, code: str) -> LoggedIn:
    await api.create_account(credentials.name, credentials.password, code)
    return await api.log_in(credentials.name, device, credentials.password)


async def _asked(api: V1Calls, credentials: Password, device: str, why: CIMError) -> LoggedIn | None:
    """Log in with the password that is asked for until it is right; None if somebody gives up.

    A reset code will do, too: then a new password is asked for.
    """
    assert credentials.ask is not None
    while True:
        password = await credentials.ask(why.message)
        if not password:
            return None
        try:
            login = await api.log_in(credentials.name, device, password)
        except (Unauthorized, BadRequest) as wrong:
            why = wrong
        else:
            api.password = password
            return login
        if ResetCode.parse(password) is None:
            continue
        new = await credentials.ask("that is a reset code, with which you set a new password")
        if not new:
            return None
        try:
            await api.reset_password(password, new)
        except (BadRequest, Forbidden) as refused:
            why = refused
        else:
            api.password = new
            return await api.log_in(credentials.name, device, new)


def _both(refused: Unauthorized, needed: InvitationNeeded) -> InvitationNeeded:
    """Return why neither the login nor a new account was possible: without an invitation nobody learns which it is."""
    return InvitationNeeded(f"{refused.message}; or if the name is new, {needed.message}")
