"""Who may say something where, as one call of `append` sees it: during the call only what they have said changes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from attrs import Factory, define

from cim.errors import Forbidden, Muted, NotFound
from cim.model import Role, Sanction
from cim.store.pages import muted_by
from cim.store.sqlite.blocks import blocks
from cim.store.sqlite.muted_users import mute_of
from cim.store.sqlite.remembering import mark_of
from cim.wire import conversations, positions
from cim.wire.positions import Position


@define
class Speaker:
    """A sender in a conversation.

    :param mark: how the marks of its messages begin (cim/store/sqlite/remembering.py)
    :param version: that of the group
    :param floor: the position up to which it may not read
    :param muted: why it may say nothing new
    :param blocked: whether the other one of the two blocks it
    :param people: the two; zeros if they are not two
    :param everywhere: whether it is the conversation that everyone reads
    :param said: the client_ids of what it stored in this call, or had stored
    """

    mark: int
    version: int = 0
    floor: Position = positions.ZERO
    muted: Muted | None = None
    blocked: bool = False
    people: tuple[int, int] = (0, 0)
    everywhere: bool = False
    said: set[str] = Factory(set)


class Rights:
    """What senders may do.

    :param senders: all that will be asked about
    """

    def __init__(self, connection: sqlite3.Connection, senders: Collection[int], now: int) -> None:
        self._connection = connection
        self._now = now
        self._speakers: dict[tuple[str, int], Speaker] = {}
        rows = connection.execute(
            "SELECT value, EXISTS (SELECT 1 FROM block WHERE other = value), "
            "EXISTS (SELECT 1 FROM muted_user WHERE user = value) FROM json_each(?)",
            (json.dumps(list(senders)),),
        ).fetchall()
        self._blocked = {user for user, blocked, _ in rows if blocked}
        self._muted = {user for user, _, muted in rows if muted}

    def speaker(self, name: str, sender: int) -> Speaker:
        """Return a sender in a conversation, which is looked at once.

        :raises CIMError: it is no member, or there is no such group
        :raises OverflowError: there can be no such sender
        """
        return self._speakers.get((name, sender)) or self._look(name, sender)

    def _look(self, name: str, sender: int) -> Speaker:
        check_number(sender)
        connection, now = self._connection, self._now
        speaker = Speaker(mark_of(sender))
        if name == conversations.EVERYONE:
            speaker.everywhere = True
        else:
            talk = conversations.parse(name)
            if isinstance(talk, conversations.GroupConversation):
                speaker.version, speaker.floor, speaker.muted = _place(connection, talk.id, sender, now)
            else:
                speaker.people = talk.low, talk.high
                speaker.blocked = sender in self._blocked and blocks(connection, talk.other(sender), sender)
        if sender in self._muted and (mute := mute_of(connection, sender, now)) is not None:
            speaker.muted = muted_by(mute.until, "operator", mute.reason)
        self._speakers[name, sender] = speaker
        return speaker


def check_number(number: int) -> None:
    """Raise an OverflowError if no column can hold a number."""
    if not -positions.LIMIT <= number < positions.LIMIT:
        raise OverflowError(f"{number} is too large")


def _place(connection: sqlite3.Connection, group: int, sender: int, now: int) -> tuple[int, Position, Muted | None]:
    """Return the version of a group, up to where its member may not read, and why it may say nothing."""
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
