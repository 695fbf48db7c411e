"""How calls of `/v1` show sessions, and end those of users who have a new password."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.logger import Logger

from cim.errors import LinkLost, Unavailable
from cim.model import SessionRecord
from cim.route.front.login import Logins
from cim.route.http.shapes import WHEN
from cim.web.schema import Array, Boolean, Object, Text

SESSION = Object(
    {
        "device": Text(64, about="Its device, or `guest`."),
        "live": Boolean("False if the client is not connected."),
        "since": WHEN,
        "server": Text(
            300, about="The server's name in the registry; empty for a page that is logged in, but not open."
        ),
    },
    "Session",
)
SESSIONS = Object({"sessions": Array(SESSION, "The newest last.")}, "Sessions")
_log = Logger()


def sessions_shown(records: Iterable[SessionRecord]) -> dict[str, Any]:
    """Return session records as JSON values."""
    return {"sessions": [_session(record) for record in records]}


def with_pages(records: Iterable[SessionRecord], pages: Mapping[str, int]) -> dict[str, Any]:
    """Return session records, and the devices with a page that is logged in without a session.

    :param pages: since when each device with a page is logged in, ms since 1970
    """
    shown = sessions_shown(records)["sessions"]
    there = {one["device"] for one in shown}
    shown += [
        {"device": device, "live": False, "since": since, "server": ""}
        for device, since in pages.items()
        if device not in there
    ]
    return {"sessions": sorted(shown, key=lambda one: one["since"])}


def _session(record: SessionRecord) -> dict[str, Any]:
    return {"device": record.device, "live": record.live, "since": record.since, "server": record.place.server}


async def end_former_sessions(logins: Logins, user: int, *, kept: str = "") -> None:
    """End the sessions of a user who has a new password.

    One at a server that is not linked ends when that is.

    :param kept: the owner token of a login whose session goes on
    :raises Unavailable: sessions may go on
    """
    try:
        await logins.end_sessions(user, kept=kept)
    except LinkLost:
        _log.warn(
            "user {user} has a new password, and a session at a server that is not linked: it ends when that is",
            user=user,
        )
    except Unavailable:
        raise Unavailable(
            "the password was changed, but other sessions may go on: log in with the new one and change it again"
        )
