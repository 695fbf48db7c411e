"""The login of a native client: with the token of the last login, or with the password."""

from __future__ import annotations

from cim.client.v1 import LoggedIn, V1Calls
from cim.client.values import Password
from cim.errors import Conflict, Forbidden, InvitationNeeded, Unauthorized


async def log_in(api: V1Calls, credentials: Password, device: str, *, create: bool) -> LoggedIn:
    """Log in; a token that is no longer valid is forgotten.

    :param create: whether the account may be created now, if the credentials ask for it
    :raises Unauthorized: neither token nor password is valid, or the name belongs to somebody else
    :raises InvitationNeeded: a new account needs an invitation that is valid
    """
    if api.token:
        try:
            return await api.log_in(credentials.name, device)
        except (Unauthorized, Forbidden):
            api.token = ""
    try:
        return await api.log_in(credentials.name, device, credentials.password)
    except Unauthorized as refused:
        if not (create and credentials.create):
            raise
        try:
            await _create_account(api, credentials, refused)
        except Conflict:
            raise refused
        except InvitationNeeded as needed:
            raise _both(refused, needed)
    return await api.log_in(credentials.name, device, credentials.password)


def _both(refused: Unauthorized, needed: InvitationNeeded) -> InvitationNeeded:
    """Return why neither the login nor a new account was possible: without an invitation nobody learns which it is."""
    return InvitationNeeded(f"{refused.message}; or if the name is new, {needed.message}")


async def _create_account(api: V1Calls, credentials: Password, refused: Unauthorized) -> None:
    """Create the account; whoever is to be asked for an invitation is asked until one is valid.

    :param refused: why the login was refused
    """
    given = credentials.invitation
    code = given if isinstance(given, str) else ""
    while True:
        try:
            return await api.create_account(credentials.name, credentials.password, code)
        except InvitationNeeded as needed:
            code = "" if isinstance(given, str) else await given(_both(refused, needed).message)
            if not code:
                raise
