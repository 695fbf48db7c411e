"""The tables of a SQLite store, and the steps by which a file gets them (docs/upgrading.md).

The releases before schemas had numbers left files with some of what the first steps make, so these leave that alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from cim.daemon.schema import Schema, statements
from cim.errors import BadFrame
from cim.store.sqlite.accounts import index_names
from cim.wire import native, positions
from cim.wire.cim_pb2 import EDIT, RECALL, Deliver

#: `counts` of a message that counted as unread until it was recalled.
RECALLED = 2

#: The tables of the first release.
_FIRST = (
    "CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    """CREATE TABLE IF NOT EXISTS credential (
        user INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE, password TEXT NOT NULL,
        valid_from INTEGER NOT NULL) STRICT""",
    # The last id given, so that no id is given twice, whatever was deleted; the last account whose name was indexed.
    "CREATE TABLE IF NOT EXISTS given (kind TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT",
    # low and high: the two users; 0 in a group. counted: how many messages so far count as unread.
    """CREATE TABLE IF NOT EXISTS conversation (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, low INTEGER NOT NULL, high INTEGER NOT NULL,
        active INTEGER NOT NULL, epoch INTEGER NOT NULL DEFAULT 0, n INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0, counted INTEGER NOT NULL DEFAULT 0) STRICT""",
    "CREATE INDEX IF NOT EXISTS conversation_of_low ON conversation (low, active, name) WHERE low > 0",
    "CREATE INDEX IF NOT EXISTS conversation_of_high ON conversation (high, active, name) WHERE high > 0",
    # before_epoch, before_n: the previous position; number: the ordinal of the message in its conversation; counts: 1
    # if it counts as unread, else 0, or RECALLED.
    """CREATE TABLE IF NOT EXISTS message (
        conversation INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL, before_epoch INTEGER NOT NULL,
        before_n INTEGER NOT NULL, sender INTEGER NOT NULL, sent_at INTEGER NOT NULL, counts INTEGER NOT NULL,
        number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (conversation, epoch, n)) STRICT, WITHOUT ROWID""",
    # The result of the append of each client_id, and its time: since step 12 of those without a row in `message`.
    """CREATE TABLE IF NOT EXISTS once (
        conversation INTEGER NOT NULL, sender INTEGER NOT NULL, client_id TEXT NOT NULL, epoch INTEGER NOT NULL,
        n INTEGER NOT NULL, before_epoch INTEGER NOT NULL, before_n INTEGER NOT NULL, sent_at INTEGER NOT NULL,
        number INTEGER NOT NULL, digest BLOB NOT NULL, stored_at INTEGER NOT NULL,
        PRIMARY KEY (conversation, sender, client_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS once_by_age ON once (stored_at)",
    # sent: how many of the conversation's counted messages are the user's; others: how many messages of others are up
    # to the read mark.
    """CREATE TABLE IF NOT EXISTS reader (
        conversation INTEGER NOT NULL, user INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0, n INTEGER NOT NULL DEFAULT 0, others INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (conversation, user)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS device (
        id INTEGER PRIMARY KEY, user INTEGER NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL,
        UNIQUE (user, name)) STRICT""",
    "CREATE INDEX IF NOT EXISTS device_by_age ON device (seen)",
    """CREATE TABLE IF NOT EXISTS received (
        device INTEGER NOT NULL, conversation INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (device, conversation)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS talk (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, open INTEGER NOT NULL, history INTEGER NOT NULL,
        version INTEGER NOT NULL, members INTEGER NOT NULL, owners INTEGER NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS member (
        talk INTEGER NOT NULL, user INTEGER NOT NULL, role INTEGER NOT NULL, epoch INTEGER NOT NULL,
        n INTEGER NOT NULL, PRIMARY KEY (talk, user)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS member_by_user ON member (user, talk)",
    """CREATE TABLE IF NOT EXISTS change (
        version INTEGER PRIMARY KEY AUTOINCREMENT, talk INTEGER NOT NULL, user INTEGER NOT NULL,
        added INTEGER NOT NULL, talk_version INTEGER NOT NULL) STRICT""",
)
#: For names that look alike, blocks, invitations, what is told to groups, and quotas.
_PEOPLE = (
    # The comparison forms of names. The oldest account of a form, which has the lowest id, holds it.
    """CREATE TABLE IF NOT EXISTS name_form (
        form TEXT NOT NULL, user INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, PRIMARY KEY (form, user)
        ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS name_form_of_user ON name_form (user)",
    """CREATE TABLE IF NOT EXISTS invitation_code (
        id TEXT PRIMARY KEY, uses INTEGER NOT NULL, expires INTEGER NOT NULL, made INTEGER NOT NULL, note TEXT NOT NULL,
        used INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID""",
    # What happened and is not in the group's log yet, numbered in its group: `told` of talk is the last number.
    """CREATE TABLE IF NOT EXISTS happening (
        talk INTEGER NOT NULL, number INTEGER NOT NULL, what TEXT NOT NULL, user INTEGER NOT NULL,
        actor INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (talk, number)) STRICT, WITHOUT ROWID""",
    # at: when it was made or declined.
    """CREATE TABLE IF NOT EXISTS invitation (
        user INTEGER NOT NULL, talk INTEGER NOT NULL, inviter INTEGER NOT NULL, at INTEGER NOT NULL,
        declined INTEGER NOT NULL, PRIMARY KEY (user, talk)) STRICT, WITHOUT ROWID""",
    # user: who blocks the other.
    """CREATE TABLE IF NOT EXISTS block (
        user INTEGER NOT NULL, other INTEGER NOT NULL, PRIMARY KEY (user, other)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS block_other ON block (other)",
    # The bytes that a user's quota pays for, by days since 1970.
    """CREATE TABLE IF NOT EXISTS stored (
        user INTEGER NOT NULL, day INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (user, day))
        STRICT, WITHOUT ROWID""",
)
#: For steady time (cim/store/rules/clock.py), in one row.
_CLOCK = """CREATE TABLE clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), time INTEGER NOT NULL, clock INTEGER NOT NULL, fresh INTEGER NOT NULL,
    aged INTEGER NOT NULL, since INTEGER NOT NULL) STRICT"""
#: What that added to the tables of the first release.
_COLUMNS = (
    # What is held: of a conversation, if `accounted` is the number of its last message, and of users there.
    ("conversation", "accounted INTEGER"),
    ("conversation", "entries INTEGER NOT NULL DEFAULT 0"),
    ("conversation", "bytes INTEGER NOT NULL DEFAULT 0"),
    ("conversation", "day INTEGER NOT NULL DEFAULT 0"),
    ("conversation", "today INTEGER NOT NULL DEFAULT 0"),
    ("conversation", "before INTEGER NOT NULL DEFAULT 0"),
    ("reader", "entries INTEGER NOT NULL DEFAULT 0"),
    ("reader", "bytes INTEGER NOT NULL DEFAULT 0"),
    ("reader", "day INTEGER NOT NULL DEFAULT 0"),
    # What a user holds behind a position: what the other one of a private conversation had not read when last asked.
    ("reader", "upto_epoch INTEGER NOT NULL DEFAULT 0"),
    ("reader", "upto_n INTEGER NOT NULL DEFAULT 0"),
    ("reader", "behind_entries INTEGER NOT NULL DEFAULT 0"),
    ("reader", "behind_bytes INTEGER NOT NULL DEFAULT 0"),
    ("talk", "told INTEGER NOT NULL DEFAULT 0"),
    # What an entry counts to: a bound and a quota, a bound alone, nothing.
    ("message", "charge INTEGER NOT NULL DEFAULT 0"),
)


def _people(connection: sqlite3.Connection) -> None:
    # As they were for an hour between two releases: one account for each form, and what had not been told to groups.
    if not connection.execute("SELECT 1 FROM pragma_table_info('name_form') WHERE name = 'user' AND pk > 0").fetchone():
        connection.execute("DROP TABLE IF EXISTS name_form")
        connection.execute("DELETE FROM given WHERE kind = 'indexed account'")
    connection.execute("DROP TABLE IF EXISTS happened")
    statements(*_PEOPLE)(connection)
    for table, column in _COLUMNS:
        names = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if column.split(" ")[0] not in names:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


#: For passwords that are forgotten.
_RESETS = (
    """CREATE TABLE reset_code (
        user INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE, digest TEXT NOT NULL,
        expires INTEGER NOT NULL) STRICT""",
)


#: The accounts with a password, by the comparison forms of their names. Triggers keep it, whatever writes.
_PUT = "INSERT OR IGNORE INTO person SELECT form, name_form.user FROM name_form JOIN credential USING (user)"
_PERSONS = (
    """CREATE TABLE person (
        form TEXT NOT NULL, user INTEGER NOT NULL REFERENCES credential (user) ON DELETE CASCADE,
        PRIMARY KEY (form, user)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX person_of_user ON person (user)",
    _PUT,
    f"CREATE TRIGGER person_with_password AFTER INSERT ON credential BEGIN {_PUT} WHERE name_form.user = NEW.user; END",
    f"CREATE TRIGGER person_with_form AFTER INSERT ON name_form BEGIN {_PUT} WHERE name_form.user = NEW.user; END",
)


#: For logins whose token is in a cookie: when each ends, ms since 1970, and which login it is.
_PAGES = (
    """CREATE TABLE page_login (
        user INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, device TEXT NOT NULL, login TEXT NOT NULL,
        ends INTEGER NOT NULL, PRIMARY KEY (user, device)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX page_login_by_end ON page_login (ends)",
)

#: Whom operators keep from logging in.
_SUSPENDED = """CREATE TABLE suspended (
    user INTEGER PRIMARY KEY REFERENCES credential (user) ON DELETE CASCADE) STRICT"""


def _recalled(connection: sqlite3.Connection) -> None:
    connection.execute(
        f"CREATE INDEX message_recalled ON message (conversation, epoch, n, sender) WHERE counts = {RECALLED}"
    )
    recalled = [(id, *positions.parse(said.ref)) for id, _, said in _revisions(connection) if said.kind == RECALL]
    connection.executemany(
        f"UPDATE message SET counts = {RECALLED} WHERE conversation = ? AND epoch = ? AND n = ?", recalled
    )


def _revisions(connection: sqlite3.Connection) -> Iterator[tuple[int, positions.Position, Deliver]]:
    """Yield what refers to a text, with the id of its conversation and its position, in the order of positions."""
    rows = connection.execute("SELECT conversation, epoch, n, body FROM message WHERE counts = 0 ORDER BY 1, 2, 3")
    for id, epoch, n, body in rows:
        try:
            said = native.parse_body(body)
        except BadFrame:
            continue
        if said.ref:
            yield id, (epoch, n), said


def _edited(connection: sqlite3.Connection) -> None:
    # For each text that was edited and still stands, where its last edit is.
    connection.execute(
        """CREATE TABLE edit (
        conversation INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL, by_epoch INTEGER NOT NULL,
        by_n INTEGER NOT NULL, PRIMARY KEY (conversation, epoch, n)) STRICT, WITHOUT ROWID"""
    )
    for id, (epoch, n), said in _revisions(connection):
        if said.kind == EDIT:
            connection.execute(
                "INSERT OR REPLACE INTO edit SELECT conversation, epoch, n, ?, ? FROM message "
                "WHERE conversation = ? AND epoch = ? AND n = ? AND counts = 1",
                (epoch, n, id, *positions.parse(said.ref)),
            )


#: What step 11 adds: doors for other systems.
_DOORS = (
    # Why a policy refused it, of a message that was not stored; it has no position.
    "ALTER TABLE once ADD COLUMN refused TEXT",
    # When a ban ends and why it was made; those of before do not end.
    "ALTER TABLE suspended ADD COLUMN until INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE suspended ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE suspended ADD COLUMN since INTEGER NOT NULL DEFAULT 0",
    # Of conversations in which something was said since they were handed out to followers: the position before that.
    "ALTER TABLE conversation ADD COLUMN noted_epoch INTEGER",
    "ALTER TABLE conversation ADD COLUMN noted_n INTEGER",
    "CREATE INDEX conversation_noted ON conversation (id) WHERE noted_n IS NOT NULL",
    # seen: when a route last had it; stopped: when all of it stopped.
    """CREATE TABLE follower (
        name TEXT PRIMARY KEY, seen INTEGER NOT NULL, stopped INTEGER) STRICT, WITHOUT ROWID""",
    # Where a follower is in a conversation, when to look at it, and who works on it until then; stopped: since when.
    """CREATE TABLE followed (
        follower TEXT NOT NULL REFERENCES follower (name) ON DELETE CASCADE, conversation TEXT NOT NULL,
        epoch INTEGER NOT NULL, n INTEGER NOT NULL, due INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
        since INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', stopped INTEGER,
        PRIMARY KEY (follower, conversation)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX followed_due ON followed (follower, due) WHERE stopped IS NULL",
    # Whoever follows a conversation that ends looks at it, and finds that it is gone.
    """CREATE TRIGGER noted_and_gone AFTER DELETE ON conversation WHEN OLD.noted_n IS NOT NULL BEGIN
        INSERT INTO followed (follower, conversation, epoch, n, due)
        SELECT name, OLD.name, OLD.noted_epoch, OLD.noted_n, 0 FROM follower WHERE true
        ON CONFLICT DO UPDATE SET due = 0 WHERE failures = 0 AND owner = ''; END""",
    # In groups. muted: until when all but admins may say nothing, 0 for ever, NULL if they may; since: the position up
    # to which nobody reads who joins later, if they may read what is behind it; ended: it is being dissolved.
    "ALTER TABLE talk ADD COLUMN muted INTEGER",
    "ALTER TABLE talk ADD COLUMN since_epoch INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE talk ADD COLUMN since_n INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE talk ADD COLUMN ended INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE talk_mute (
        talk INTEGER NOT NULL, user INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (talk, user))
        STRICT, WITHOUT ROWID""",
    "CREATE INDEX talk_mute_of_user ON talk_mute (user)",
    """CREATE TABLE talk_ban (
        talk INTEGER NOT NULL, user INTEGER NOT NULL, actor INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (talk, user)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX talk_ban_of_user ON talk_ban (user)",
    # External ids: user NULL and when the account was deleted, while that is remembered.
    """CREATE TABLE external_id (
        digest TEXT PRIMARY KEY, user INTEGER REFERENCES account (id) ON DELETE CASCADE, issuer TEXT NOT NULL,
        id TEXT NOT NULL, gone INTEGER NOT NULL DEFAULT 0, UNIQUE (user, issuer)) STRICT, WITHOUT ROWID""",
    # Tokens made by API keys: times in ms since 1970, scopes separated by spaces.
    """CREATE TABLE user_token (
        user INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, id TEXT NOT NULL, made INTEGER NOT NULL,
        ends INTEGER NOT NULL, device TEXT NOT NULL, scopes TEXT NOT NULL, PRIMARY KEY (user, id))
        STRICT, WITHOUT ROWID""",
    "CREATE INDEX user_token_by_end ON user_token (ends)",
    """CREATE TABLE muted_user (
        user INTEGER PRIMARY KEY, until INTEGER NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL) STRICT""",
    "CREATE INDEX muted_user_by_end ON muted_user (until)",
    # closed: when; 0 while it is open.
    """CREATE TABLE report (
        id INTEGER PRIMARY KEY, reporter INTEGER NOT NULL, conversation TEXT NOT NULL, position TEXT NOT NULL,
        sender INTEGER NOT NULL, sender_name TEXT NOT NULL, sent_at INTEGER NOT NULL, text TEXT NOT NULL,
        cut INTEGER NOT NULL, content_type TEXT NOT NULL, size INTEGER NOT NULL, reason TEXT NOT NULL,
        at INTEGER NOT NULL, closed INTEGER NOT NULL, "by" TEXT NOT NULL, note TEXT NOT NULL,
        UNIQUE (reporter, conversation, position)) STRICT""",
    "CREATE INDEX report_by_sender ON report (sender)",
    "CREATE INDEX report_by_closing ON report (closed > 0, id)",
    # Until when a user mutes a conversation, ms since 1970.
    """CREATE TABLE mute (
        user INTEGER NOT NULL, conversation TEXT NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (user, conversation)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX mute_of_conversation ON mute (conversation)",
    # Where users are notified; an address is one user's. When they were made or renewed, ms since 1970; when they end
    # with a token, 0 for without one; and which one of a back end's it is.
    """CREATE TABLE push (
        id TEXT PRIMARY KEY, user INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, kind TEXT NOT NULL,
        address TEXT NOT NULL, device TEXT NOT NULL, keys TEXT NOT NULL, at INTEGER NOT NULL, ends INTEGER NOT NULL,
        token TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE INDEX push_of_user ON push (user)",
    # Of what they were notified and have not read since, and when, ms since 1970.
    """CREATE TABLE notified (
        user INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, conversation TEXT NOT NULL,
        at INTEGER NOT NULL, PRIMARY KEY (user, conversation)) STRICT, WITHOUT ROWID""",
)


#: What step 12 makes of `message`: messages in the order in which they were stored, which is cheap to write.
_APPENDED = (
    # before_epoch, before_n: the previous position; number: the ordinal of the message in its conversation; sent_at:
    # when it was sent, and lift: how many ms of that were added to what its sender's route said; stored_at: when it was
    # stored, 0 if an earlier release did that; counts: 1 if it counts as unread, else 0, or RECALLED; charge: what it
    # counts to: a bound and a quota, a bound alone, nothing. What is remembered of it is here as long as it is kept.
    """CREATE TABLE appended (
        id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
        before_epoch INTEGER NOT NULL, before_n INTEGER NOT NULL, number INTEGER NOT NULL, sender INTEGER NOT NULL,
        sent_at INTEGER NOT NULL, lift INTEGER NOT NULL, stored_at INTEGER NOT NULL, counts INTEGER NOT NULL,
        charge INTEGER NOT NULL, mark INTEGER NOT NULL, client_id TEXT NOT NULL, digest BLOB NOT NULL,
        body BLOB NOT NULL) STRICT""",
    """INSERT INTO appended (conversation, epoch, n, before_epoch, before_n, number, sender, sent_at, lift, stored_at,
        counts, charge, mark, client_id, digest, body)
        SELECT conversation, epoch, n, before_epoch, before_n, number, sender, sent_at, 0, 0, counts, charge, 0, '',
        x'', body FROM message ORDER BY conversation, epoch, n""",
    "DROP TABLE message",
    "ALTER TABLE appended RENAME TO message",
    # mark: that of the client_id (cim/store/sqlite/remembering.py), which is thus searched for without reading rows.
    "CREATE INDEX message_place ON message (conversation, epoch, n, mark)",
    f"CREATE INDEX message_recalled ON message (conversation, epoch, n, sender) WHERE counts = {RECALLED}",
)


_STEPS = (
    statements(*_FIRST),
    _people,
    index_names,
    statements(*_RESETS),
    _recalled,
    statements(_CLOCK),
    _edited,
    statements(*_PERSONS),
    statements(*_PAGES),
    statements(_SUSPENDED),
    statements(*_DOORS),
    statements(*_APPENDED),
)
STORE = Schema(0x43494D53, _STEPS, frozenset({"account", "given"}))  # CIMS
