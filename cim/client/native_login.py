"""How a native client proves who it is: by the token of the last login, or by the password."""

from __future__ import annotations

from cim.client.v1 import LoggedIn, V1Calls
from cim.client.values import Password
from cim.errors import Conflict, Forbidden, Unauthorized


async def log_in(api: V1Calls, credentials: Password, device: str, *, create: bool) -> LoggedIn:
    """Log in; a token that is void is forgotten.

    :param create: the account may be made now, when that was asked for
    :raises Unauthorized: neither token nor password is good, or the name is somebody else's
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
