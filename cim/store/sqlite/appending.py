"""Appends messages to a SQLite store, and trims old ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from cim.errors import (
    BadFrame,
    CIMError,
    Conflict,
    Forbidden,
    Muted,
    NotFound,
    OutOfOrder,
    Refused,
    StoreUnavailable,
    Undecided,
)
from cim.model import Append, Appended, Charge, Fate, Retention, Role, Sanction
from cim.store.bounds import DAY_MS, no_room
from cim.store.pages import EVERYONE_KEPT, LATE_MS, ONCE_MESSAGES, ONCE_SECONDS, REFUSALS, muted_by, without_edit
from cim.store.rules.clock import STEP_MS
from cim.store.sqlite.blocks import blocks
from cim.store.sqlite.holdings import CHARGES, Rooms, count_all, hold, log_of, shrunk, trim_expired
from cim.store.sqlite.muted_users import mute_of
from cim.store.sqlite.quotas import Quotas
from cim.store.sqlite.tables import RECALLED
from cim.wire import conversations, native, positions

#: The key that remembers a message: its conversation, sender and client_id.
Key = tuple[str, int, str]
#: How many messages lie between two trims, and how many records of client_ids one removes: enough to keep up.
TRIM_EVERY = 16
FORGOTTEN = 64
_REMEMBER = "INSERT OR REPLACE INTO once VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: The columns of a conversation in which nothing was said: see `_append`.
_NEW = (0, 0, 0, 0, 0, 0, None, None)


class Appending:
    """Appends messages in the writer's thread.

    :ivar epoch: when the process started, in ms since 1970, or more
    :param random: returns a number from 0 to 1
    """

    def __init__(self, epoch: int, retention: Retention, random: Callable[[], float]) -> None:
        self.epoch = epoch
        self._retention = retention
        self._quotas = Quotas(retention, random)
        self._rooms = Rooms(retention, self._quotas.give_back)
        self._count = 0
        #: Whether it is noted for followers of the logs that a conversation has changed.
        self.followed = False

    def append(
        self, connection: sqlite3.Connection, items: Sequence[Append], now: int, lift: int, no_space: bool
    ) -> list[Appended | CIMError]:
        """Append each item; one that fails changes nothing.

        :param lift: by how many ms messages are dated later than they were sent (cim/store/clock.py)
        :param no_space: nothing more is to be stored but recalls
        """
        results: list[Appended | CIMError] = []
        stored: set[Key] = set()
        for item in items:
            try:
                results.append(self._append(connection, item, now, lift, stored, no_space))
                stored.add((item.conversation, item.sender, item.client_id))
            except CIMError as error:
                results.append(error)
            except (OverflowError, UnicodeError):  # no column can hold it; detected before anything was written
                results.append(StoreUnavailable())
        return results

    def _append(
        self, connection: sqlite3.Connection, item: Append, now: int, lift: int, stored: set[Key], no_space: bool
    ) -> Appended:
        """Append an item.

        :param stored: the messages that the same call stored, or found stored
        :raises CIMError: it is refused
        """
        name = item.conversation
        everyone = name == conversations.EVERYONE
        version, floor = 0, positions.ZERO
        muted: Muted | None = None
        people: conversations.PrivateConversation | None = None
        if not everyone:
            parsed = conversations.parse(name)
            if isinstance(parsed, conversations.GroupConversation):
                version, floor, muted = _place_in_group(connection, parsed.id, item.sender, now)
            else:
                people = parsed
                if not item.past_blocks and blocks(connection, people.other(item.sender), item.sender):
                    raise REFUSALS["blocked"]()
        found = connection.execute(
            "SELECT id, epoch, n, total, active, bytes, accounted, noted_n FROM conversation WHERE name = ?", (name,)
        ).fetchone()
        id, epoch, n, total, active, bytes, accounted, noted = found if found is not None else _NEW
        earlier = self._earlier(connection, id, total, item, version, floor, now)
        if earlier is not None:
            return earlier
        if (mute := mute_of(connection, item.sender, now)) is not None:
            muted = muted_by(mute.until, "operator", mute.reason)
        if muted is not None and not item.recalls:
            raise muted
        if item.fate is Fate.ASKED:
            raise Undecided()
        if (
            item.after
            and (name, item.sender, item.after) not in stored
            and not self._is_remembered(connection, id, total, item.sender, item.after, now)
        ):
            raise OutOfOrder()
        if item.fate is Fate.REFUSED:
            id = id or _begin(connection, name, people)
            reason = item.body.decode()
            connection.execute(
                _REMEMBER,
                (id, item.sender, item.client_id, 0, 0, 0, 0, item.sent_at, total + 1, item.digest, now, reason),
            )
            self._forget(connection, now)
            raise Refused(reason)
        size, charge = len(item.body), item.charge
        log = None
        if accounted is not None and charge != Charge.NONE:
            log = log_of(connection, id) if accounted == total else count_all(connection, id)
        reason = self._unfit(connection, id, item, floor, now)
        if reason:
            if people is not None and item.past_blocks and blocks(connection, people.other(item.sender), item.sender):
                reason = "blocked"  # it may recall what it has said, but learns nothing
            raise REFUSALS[reason]()
        if item.recalls:
            # Whatever is full, a text can be recalled.
            charge = Charge.LOG if charge == Charge.USER else charge
        else:
            if no_space:
                raise no_room("space")
            if log is not None:
                log = self._rooms.make(connection, log, item.sender, size, now)
            if charge == Charge.USER and not everyone:
                self._quotas.pay(connection, item.sender, size, not total, now)
        id = id or _begin(connection, name, people)
        new = (epoch, n + 1) if epoch >= self.epoch else (self.epoch, 1)
        counts = int(item.counts and not everyone)
        connection.execute(
            "UPDATE conversation SET epoch = ?, n = ?, total = total + 1, counted = counted + ?, bytes = bytes + ?, "
            "accounted = accounted + 1 WHERE id = ?",
            (*new, counts, 0 if charge == Charge.NONE else size, id),
        )
        dated = item.sent_at + lift
        # It is set back if it was written by a clock that was ahead.
        if dated - active >= LATE_MS or active - dated > STEP_MS:
            connection.execute("UPDATE conversation SET active = ? WHERE id = ?", (dated, id))
        connection.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (id, *new, epoch, n, item.sender, dated, counts, total + 1, item.body, CHARGES[charge]),
        )
        once = (id, item.sender, item.client_id, *new, epoch, n, item.sent_at, total + 1, item.digest, now, None)
        connection.execute(_REMEMBER, once)
        if counts:
            connection.execute(
                "INSERT INTO reader (conversation, user, sent) VALUES (?, ?, 1) "
                "ON CONFLICT (conversation, user) DO UPDATE SET sent = sent + 1",
                (id, item.sender),
            )
        if log is not None:
            hold(connection, log, item.sender, size, now)
        if item.recalls:
            self._blank(connection, id, positions.parse(item.recalls), item.by_operator)
        elif item.edits:
            edit = (id, *positions.parse(item.refers), *new)
            connection.execute("INSERT OR REPLACE INTO edit VALUES (?, ?, ?, ?, ?)", edit)
        if self.followed and noted is None:
            connection.execute("UPDATE conversation SET noted_epoch = ?, noted_n = ? WHERE id = ?", (epoch, n, id))
        if (total + 1) % TRIM_EVERY == 0:
            if everyone:
                kept = min(self._retention.count, EVERYONE_KEPT)
                trim_expired(connection, id, now - self._retention.ms, total + 1 - kept)
            elif log is not None:
                self._rooms.trim(connection, log_of(connection, id), now)
            else:
                self._rooms.look(connection, id, total + 1, bytes + size, now)
        self._forget(connection, now)
        return Appended(positions.text(new), positions.text((epoch, n)), item.sent_at, item.body, False, version)

    def _forget(self, connection: sqlite3.Connection, now: int) -> None:
        """Count one more client_id that is remembered, and now and then forget old ones."""
        self._count += 1
        if self._count % TRIM_EVERY == 0:
            connection.execute(
                "DELETE FROM once WHERE (conversation, sender, client_id) IN "
                "(SELECT conversation, sender, client_id FROM once WHERE stored_at < ? LIMIT ?)",
                (now - ONCE_SECONDS * 1000, FORGOTTEN),
            )

    def _earlier(
        self,
        connection: sqlite3.Connection,
        id: int,
        total: int,
        item: Append,
        version: int,
        floor: positions.Position,
        now: int,
    ) -> Appended | None:
        # All values from outside are bound here, which checks that they fit.
        found = connection.execute(
            "SELECT epoch, n, before_epoch, before_n, sent_at, digest = ? AND ? IS NOT NULL, refused FROM once "
            "WHERE conversation = ? AND sender = ? AND client_id = ? AND stored_at > ? AND number > ?",
            (
                item.digest,
                item.sent_at,
                id,
                item.sender,
                item.client_id,
                now - ONCE_SECONDS * 1000,
                total - ONCE_MESSAGES,
            ),
        ).fetchone()
        if found is None:
            return None
        epoch, n, before_epoch, before_n, sent_at, same, refused = found
        if not same:
            raise Conflict()
        if refused is not None:
            raise Refused(refused)
        kept = connection.execute(
            "SELECT body FROM message WHERE conversation = ? AND epoch = ? AND n = ?", (id, epoch, n)
        ).fetchone()
        # If it has been trimmed, use the repeated message instead.
        body = kept[0] if kept is not None else item.body
        if item.refers and self._unfit(connection, id, item, floor, now):
            body = without_edit(body)
        before = positions.text((before_epoch, before_n))
        return Appended(positions.text((epoch, n)), before, sent_at, body, True, version)

    @staticmethod
    def _is_remembered(
        connection: sqlite3.Connection, id: int, total: int, sender: int, client_id: str, now: int
    ) -> bool:
        found = connection.execute(
            "SELECT 1 FROM once WHERE conversation = ? AND sender = ? AND client_id = ? AND stored_at > ? "
            "AND number > ?",
            (id, sender, client_id, now - ONCE_SECONDS * 1000, total - ONCE_MESSAGES),
        )
        return found.fetchone() is not None

    def _unfit(self, connection: sqlite3.Connection, id: int, item: Append, floor: positions.Position, now: int) -> str:
        """Return why an item cannot revise the text that it names, as REFUSALS has it; empty if it can.

        :param floor: the position up to which its sender may not read
        """
        ref = item.recalls or item.refers
        if not ref:
            return ""
        position = positions.parse(ref)
        found = connection.execute(
            "SELECT counts, body FROM message WHERE conversation = ? AND epoch = ? AND n = ? AND sent_at >= ?",
            (id, *position, now - self._retention.ms),
        ).fetchone()
        if found is None or position <= floor:
            return "gone"
        counts, body = found
        if not counts and not (item.by_operator and item.conversation == conversations.EVERYONE):
            return "no-text"
        try:
            return "recalled" if native.is_blank(body) else ""
        except BadFrame:
            return "gone"

    def _blank(self, connection: sqlite3.Connection, id: int, position: positions.Position, by_operator: bool) -> None:
        where = "WHERE conversation = ? AND epoch = ? AND n = ?"
        found = connection.execute(
            f"SELECT body, sender, sent_at, charge FROM message {where}", (id, *position)
        ).fetchone()
        if found is None:
            return
        body, sender, sent_at, charge = found
        try:
            blank = native.blank(body, by_operator=by_operator)
        except BadFrame:
            return
        connection.execute(f"UPDATE message SET body = ?, counts = {RECALLED} {where}", (blank, id, *position))
        connection.execute(f"DELETE FROM edit {where}", (id, *position))
        shrunk(connection, id, sender, position, len(body) - len(blank))
        if charge == CHARGES[Charge.USER]:
            self._quotas.give_back(connection, sender, sent_at // DAY_MS, len(body) - len(blank))


def _begin(connection: sqlite3.Connection, name: str, people: conversations.PrivateConversation | None) -> int:
    """Make a conversation, in which nothing was said, and return its id."""
    low, high = (people.low, people.high) if people is not None else (0, 0)
    id: int = connection.execute(
        "INSERT INTO conversation (name, low, high, active) VALUES (?, ?, ?, 0) RETURNING id", (name, low, high)
    ).fetchone()[0]
    return id


def floor_of(connection: sqlite3.Connection, group: int, user: int) -> positions.Position | None:
    """Return the position up to which a member may not read; None if the user is not a member."""
    row = connection.execute("SELECT epoch, n FROM member WHERE talk = ? AND user = ?", (group, user)).fetchone()
    return None if row is None else (row[0], row[1])


def _place_in_group(
    connection: sqlite3.Connection, group: int, sender: int, now: int
) -> tuple[int, positions.Position, Muted | None]:
    """Return the version of a group, up to where a member may not read, and why it may say nothing.

    :raises CIMError: it is no member, or there is no such group
    """
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
    if until is not None and Sanction(until).holds(now):
        return version, (epoch, n), muted_by(until, "group")
    if all_muted is not None and role == Role.MEMBER and Sanction(all_muted).holds(now):
        return version, (epoch, n), muted_by(all_muted, "all")
    return version, (epoch, n), None
