"""Appends messages to a SQLite store, and trims old ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from cim.errors import BadFrame, CIMError, Conflict, OutOfOrder, Refused, StoreUnavailable, Undecided
from cim.model import Append, Appended, Charge, Fate, Retention
from cim.store.bounds import DAY_MS, no_room
from cim.store.pages import EVERYONE_KEPT, LATE_MS, ONCE_MESSAGES, ONCE_SECONDS, REFUSALS, without_edit
from cim.store.rules.clock import STEP_MS
from cim.store.sqlite.heads import Head, Heads
from cim.store.sqlite.holdings import CHARGES, Rooms, log_of, shrunk, trim_expired
from cim.store.sqlite.quotas import Quotas
from cim.store.sqlite.remembering import Filter, Remembered, find, forget, marked, refuse
from cim.store.sqlite.rights import Rights, Speaker, check_number
from cim.store.sqlite.tables import RECALLED
from cim.wire import conversations, native, positions

#: How many messages lie between two trims.
TRIM_EVERY = 16
#: How many records of client_ids are removed for each message, so that they keep up, and at least.
FORGOTTEN, LEAST_FORGOTTEN = 4, 64
#: Of how many senders in conversations it is known what they said last.
LATEST = 50_000


class Appending:
    """Appends messages in the writer's thread.

    What it knows from one call to the next is right whatever became of the calls before, whose transactions may have
    failed: the filter holds what is stored and maybe more, and the rest is dropped if the last message in the table is
    another one than the last call left.

    :ivar epoch: when the process started, in ms since 1970, or more
    :param random: returns a number from 0 to 1
    """

    def __init__(self, epoch: int, retention: Retention, random: Callable[[], float]) -> None:
        self.epoch = epoch
        self.retention = retention
        self.quotas = Quotas(retention, random)
        self.rooms = Rooms(retention, self.quotas.give_back)
        self.filter = Filter()
        # By a conversation's id and the sender: the client_id, when it was stored, and the message's number.
        self.latest: dict[tuple[int, int], tuple[str, int, int]] = {}
        self._last = 0
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
        last = _last_message(connection)
        if last != self._last:
            self.latest.clear()
        call = _Call(self, connection, items, now, lift, no_space)
        results: list[Appended | CIMError] = []
        for item in items:
            try:
                results.append(call.append(item))
            except CIMError as error:
                results.append(error)
            except (OverflowError, UnicodeError):  # no column can hold it
                results.append(StoreUnavailable())
        call.end()
        before, self._count = self._count, self._count + len(items)
        if self._count // TRIM_EVERY > before // TRIM_EVERY:
            forget(connection, now, max(LEAST_FORGOTTEN, FORGOTTEN * len(items)))
        self.latest.update(call.latest)
        while len(self.latest) > LATEST:
            del self.latest[next(iter(self.latest))]
        self._last = last + call.count  # unless what is new was trimmed at once
        return results


class _Call:
    """One call: what it stores is written in the end, and before anything is read that it may have changed."""

    def __init__(
        self,
        appending: Appending,
        connection: sqlite3.Connection,
        items: Sequence[Append],
        now: int,
        lift: int,
        no_space: bool,
    ) -> None:
        self._appending = appending
        self._connection = connection
        self._now = now
        self._lift = lift
        self._no_space = no_space
        self._heads = Heads(connection, {item.conversation for item in items})
        self._rights = Rights(connection, {item.sender for item in items}, now)
        self._old: dict[str, Head] = {}
        self.latest: dict[tuple[int, int], tuple[str, int, int]] = {}
        #: How many messages it stored.
        self.count = 0

    def append(self, item: Append) -> Appended:
        """Append an item.

        :raises CIMError: it is refused
        """
        connection, now = self._connection, self._now
        name, sender = item.conversation, item.sender
        dated = item.sent_at + self._lift
        check_number(item.sent_at)
        check_number(dated)
        speaker = self._rights.speaker(name, sender)
        mark = marked(speaker.mark, item.client_id)
        if speaker.blocked and not item.past_blocks:
            raise REFUSALS["blocked"]()
        head = self._heads.get(name)
        found = self._find(head, sender, item.client_id)
        if found is not None:
            return self._repeated(head, item, speaker, found)
        if speaker.muted is not None and not item.recalls:
            raise speaker.muted
        if item.fate is Fate.ASKED:
            raise Undecided()
        if item.after and item.after not in speaker.said and not self._follows(head, item):
            raise OutOfOrder()
        if item.fate is Fate.REFUSED:
            reason = item.body.decode()
            self._begin(head, speaker)
            self._refuse(head, item, reason)
            raise Refused(reason)
        if item.recalls or item.refers:
            reason = self._unfit(head, item, speaker.floor)
            if reason:
                if speaker.blocked:
                    reason = "blocked"  # it may recall what it has said, but learns nothing
                raise REFUSALS[reason]()
        charge, size = item.charge, len(item.body)
        counted = head.accounted is not None and charge is not Charge.NONE
        log = self._heads.log(head) if counted else None
        if item.recalls:
            # Whatever is full, a text can be recalled.
            charge = Charge.LOG if charge is Charge.USER else charge
        else:
            if self._no_space:
                raise no_room("space")
            if log is not None and not self._appending.rooms.has_room(log, size):
                self._make_room(head, sender, size)
            if charge is Charge.USER and not speaker.everywhere:
                self._appending.quotas.pay(connection, sender, size, not head.total, now)
        self._begin(head, speaker)
        before = head.epoch, head.n
        place = self._place(head, item, speaker, dated, mark, charge)
        if counted:
            head.count(size, sender, now // DAY_MS, self._heads.own(head, sender))
        if item.recalls or item.edits:
            self._heads.write()
            if item.recalls:
                self._blank(head.id, positions.parse(item.recalls), item.by_operator)
                self._heads.forget(head)
            else:
                edit = (head.id, *positions.parse(item.refers), *place)
                connection.execute("INSERT OR REPLACE INTO edit VALUES (?, ?, ?, ?, ?)", edit)
        if head.total % TRIM_EVERY == 0:
            again = name in self._old
            self._old[name] = head
            # Once for each conversation will do, but where one says much, or is to be counted before more is said.
            if again or (head.log is None and self._appending.rooms.is_half_full(head.total, head.bytes)):
                self._trim()
        return Appended(positions.text(place), positions.text(before), item.sent_at, item.body, False, speaker.version)

    def end(self) -> None:
        """Write what is not written yet, and trim."""
        self._heads.write()
        self._trim()

    def _begin(self, head: Head, speaker: Speaker) -> None:
        if not head.id:
            head.begin(self._connection, *speaker.people)
            self._appending.filter.begin(head.id)

    def _place(
        self, head: Head, item: Append, speaker: Speaker, dated: int, mark: int, charge: Charge
    ) -> positions.Position:
        """Put a message behind the end of its conversation; return its position."""
        appending, sender = self._appending, item.sender
        before = head.epoch, head.n
        if appending.followed and not head.noted:
            head.noted, head.note = True, before
        new = (head.epoch, head.n + 1) if head.epoch >= appending.epoch else (appending.epoch, 1)
        head.epoch, head.n = new
        head.total += 1
        if head.accounted is not None:
            head.accounted += 1
        if charge != Charge.NONE:
            head.bytes += len(item.body)
        counts = int(item.counts and not speaker.everywhere)
        if counts:
            head.counted += 1
            head.said[sender] = head.said.get(sender, 0) + 1
        # It is set back if it was written by a clock that was ahead.
        if dated - head.active >= LATE_MS or head.active - dated > STEP_MS:
            head.active, head.moved = dated, True
        now, id, client_id = self._now, head.id, item.client_id
        self.count += 1
        values = (id, *new, *before, head.total, sender, dated, self._lift, now, counts)
        self._heads.put(head, (*values, CHARGES[charge], mark, client_id, item.digest, item.body))
        appending.filter.add(id, sender, client_id, now)
        speaker.said.add(client_id)
        self.latest[id, sender] = (client_id, now, head.total)
        return new

    def _make_room(self, head: Head, sender: int, size: int) -> None:
        """Make room for a message where everything is counted.

        :raises NoRoom: its sender has to wait
        """
        self._heads.write()
        head.owns.clear()
        try:
            log = log_of(self._connection, head.id)
            head.log = self._appending.rooms.make(self._connection, log, sender, size, self._now)
        except CIMError:
            self._heads.forget(head)  # some of what it holds may be gone all the same
            raise
        head.bytes = head.log.held.bytes

    def _trim(self) -> None:
        """Look for what is old in the conversations whose turn it is."""
        self._heads.write()
        connection, now, rooms = self._connection, self._now, self._appending.rooms
        retention = self._appending.retention
        for name, head in self._old.items():
            if name == conversations.EVERYONE:
                kept = min(retention.count, EVERYONE_KEPT)
                trim_expired(connection, head.id, now - retention.ms, now, head.total - kept)
            elif head.accounted == head.total and head.accounted is not None:
                rooms.trim(connection, log_of(connection, head.id), now)
            else:
                rooms.look(connection, head.id, head.total, head.bytes, now)
            self._heads.forget(head)
        self._old.clear()

    # What is remembered

    def _repeated(self, head: Head, item: Append, speaker: Speaker, found: Remembered) -> Appended:
        """Return where a message is that was stored already.

        :raises CIMError: it said something else, or was refused
        """
        if found.digest != item.digest:
            raise Conflict()
        if found.refused is not None:
            raise Refused(found.refused)
        # If it has been trimmed, use the repeated message instead.
        body = found.body if found.body is not None else item.body
        if item.refers and self._unfit(head, item, speaker.floor):
            body = without_edit(body)
        speaker.said.add(item.client_id)
        place, before = positions.text(found.position), positions.text(found.before)
        return Appended(place, before, found.sent_at, body, True, speaker.version)

    def _follows(self, head: Head, item: Append) -> bool:
        """Return whether the message is remembered, from before this call, that must come before an item."""
        sender, after, now = item.sender, item.after, self._now
        client_id, at, number = self._appending.latest.get((head.id, sender), ("", 0, 0))
        if client_id == after and at > now - ONCE_SECONDS * 1000 and number > head.total - ONCE_MESSAGES:
            return True
        return self._find(head, sender, after) is not None

    def _find(self, head: Head, sender: int, client_id: str) -> Remembered | None:
        """Return what is remembered by a client_id."""
        if not head.id:
            return None
        filter, connection, now = self._appending.filter, self._connection, self._now
        if not filter.knows(head.id):
            self._heads.write()
            filter.learn(connection, head.id, now)
        if not filter.may_have(head.id, sender, client_id):
            return None
        self._heads.write()
        return find(connection, head.id, head.total, sender, client_id, now)

    def _refuse(self, head: Head, item: Append, reason: str) -> None:
        refuse(
            self._connection,
            head.id,
            item.sender,
            item.client_id,
            item.sent_at,
            head.total + 1,
            item.digest,
            self._now,
            reason,
        )
        self._appending.filter.add(head.id, item.sender, item.client_id, self._now)

    # Texts that are revised

    def _unfit(self, head: Head, item: Append, floor: positions.Position) -> str:
        """Return why an item cannot revise the text that it names, as REFUSALS has it; empty if it can.

        :param floor: the position up to which its sender may not read
        """
        self._heads.write()
        position = positions.parse(item.recalls or item.refers)
        found = self._connection.execute(
            "SELECT counts, body FROM message WHERE conversation = ? AND epoch = ? AND n = ? AND sent_at >= ?",
            (head.id, *position, self._now - self._appending.retention.ms),
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

    def _blank(self, id: int, position: positions.Position, by_operator: bool) -> None:
        connection, where = self._connection, "WHERE conversation = ? AND epoch = ? AND n = ?"
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
            self._appending.quotas.give_back(connection, sender, sent_at // DAY_MS, len(body) - len(blank))


def _last_message(connection: sqlite3.Connection) -> int:
    last: int = connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0]
    return last


def floor_of(connection: sqlite3.Connection, group: int, user: int) -> positions.Position | None:
    """Return the position up to which a member may not read; None if the user is not a member."""
    row = connection.execute("SELECT epoch, n FROM member WHERE talk = ? AND user = ?", (group, user)).fetchone()
    return None if row is None else (row[0], row[1])
