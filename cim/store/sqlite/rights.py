"""Who may say something where, as one call of `append` sees it: nothing of it changes during the call."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from cim.errors import Forbidden, Muted, NotFound
from cim.model import Role, Sanction
from cim.store.pages import muted_by
from cim.store.sqlite.blocks import blocks
from cim.store.sqlite.muted_users import mute_of
from cim.wire import positions
from cim.wire.positions import Position

#: The version of a group, up to where its member may not read, and why it may say nothing.
Place = tuple[int, Position, Muted | None]


class Rights:
    """What senders may do.

    :param senders: all that will be asked about
    """

    def __init__(self, connection: sqlite3.Connection, senders: Collection[int], now: int) -> None:
        self._connection = connection
        self._now = now
        self._places: dict[tuple[int, int], Place] = {}
        rows = connection.execute(
            "SELECT value, EXISTS (SELECT 1 FROM block WHERE other = value), "
            "EXISTS (SELECT 1 FROM muted_user WHERE user = value) FROM json_each(?)",
            (json.dumps(list(senders)),),
        ).fetchall()
        self._blocked = {user for user, blocked, _ in rows if blocked}
        self._muted = {user for user, _, muted in rows if muted}

    def blocked(self, user: int, sender: int) -> bool:
        """Return whether a user blocks a sender."""
        return sender in self._blocked and blocks(self._connection, user, sender)

    def muted(self, sender: int) -> Muted | None:
        """Return why operators have a sender say nothing."""
        if sender not in self._muted or (mute := mute_of(self._connection, sender, self._now)) is None:
            return None
        return muted_by(mute.until, "operator", mute.reason)

    def place(self, group: int, sender: int) -> Place:
        """Return a sender's place in a group.

        :raises CIMError: it is no member, or there is no such group
        """
        place = self._places.get((group, sender))
        if place is None:
            place = self._places[group, sender] = _place(self._connection, group, sender, self._now)
        return place


def _place(connection: sqlite3.Connection, group: int, sender: int, now: int) -> Place:
    found = connection.execute("SELECT version, muted, ended FROM talk WHERE id = ?", (group,)).fetchone()
    if found is None:
        raise NotFound()
    version, all_muted, ended = found
    if not sender:
        return version, positions.ZERO, None
    if ended:
        raise NotFound()
    row = connection.execute(
        "SELECT role, epoch, n, until FROM member LEFT JOIN talk_mute USING (talk, user) WHERE talk = ? AND user = ?",
        (group, sender),
    ).fetchone()
    if row is None:
        raise Forbidden()
    role, epoch, n, until = row
    muted = None
    if until is not None and Sanction(until).holds(now):
        muted = muted_by(until, "group")
    elif all_muted is not None and role == Role.MEMBER and Sanction(all_muted).holds(now):
        muted = muted_by(all_muted, "all")
    return version, (epoch, n), muted
