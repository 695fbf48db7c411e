"""The login of a native client: with the token of the last login, or with the password."""

from __future__ import annotations

from cim.client.v1 import LoggedIn, V1Calls
from cim.client.values import Password
from cim.errors import Conflict, Forbidden, Unauthorized


async def log_in(api: V1Calls, credentials: Password, device: str, *, create: bool) -> LoggedIn:
    """Log in; a token that is no longer valid is forgotten.

    :param create: whether the account may be created now, if the credentials ask for it
    :raises Unauthorized: neither token nor password is valid, or the name belongs to somebody else
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
            await api.create_account(credentials.name, credentials.password)
        except Conflict:
            raise refused
    return await api.log_in(credentials.name, device, credentials.password)
