"""The names of all keys in Redis, for Python and Lua alike."""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """The prefixes of keys. Scripts have these under the same names (see `LUA`).

    In longer names the next part is in braces: the tag by which a Redis Cluster chooses the slot.
    """

    EPOCH = "cim:epoch"
    SCHEMA = "cim:schema"
    CLOCK = "cim:clock"
    ACCOUNT = "cim-account:"
    ACCOUNT_NAME = "cim-name:"
    NAME_FORM = "cim:form:"
    NAMES_INDEXED = "cim:names-indexed"
    PEOPLE = "cim:people"
    LAST_ACCOUNT = "cim:last-account-id"
    GUESTS = "cim:guests"
    CODES = "cim:codes"
    CODE_USES = "cim:code:"
    CREDENTIAL = "cim:auth:"
    RESET = "cim:reset:"
    PAGES = "cim:pages:"
    EXTERNAL = "cim:external:"
    EXTERNALS = "cim:externals:"
    TOKENS = "cim:tokens:"
    SESSIONS = "cim:session:"
    ENDED = "cim:ended:"
    BARRED = "cim:barred:"
    LEASE = "cim:lease:"
    UPSTREAM = "cim:upstream:"
    ROUTE = "cim-route:"
    ONLINE = "login-status"
    STREAM = "cim:c:"
    COUNTERS = "cim:n:"
    RECALLED = "cim:x:"
    EDITED = "cim:e:"
    ONCE = "cim:d:"
    ACTIVITY = "cim:a:"
    GROUP_ACTIVITY = "cim:ga"
    MARKS = "cim:m:"
    STORED = "cim:q:"
    GROUP = "cim:g:"
    MEMBERS = "cim:gm:"
    MEMBER_IDS = "cim:gi:"
    GROUPS_OF = "cim:ug:"
    RESTRICTED = "cim:gu:"
    GROUP_LOG = "cim:groups"
    LAST_GROUP = "cim:last-group-id"
    HAPPENED = "cim:gt:"
    INVITED = "cim:i:"
    CHANGED = "cim:changed"
    FOLLOWERS = "cim:followers"
    FOLLOWED = "cim:f:"
    DUE = "cim:fd:"
    STOPPED = "cim:fs:"
    BLOCKED = "cim:b:"
    BLOCKERS = "cim:bb:"
    MUTED = "cim:muted"
    MUTED_ENDS = "cim:muted-ends"
    REPORTS = "cim:reports"
    REPORTS_OPEN = "cim:reports-open"
    REPORTS_CLOSED = "cim:reports-closed"
    REPORTS_BY = "cim:reports-by:"
    REPORTS_ABOUT = "cim:reports-about:"
    MUTES = "cim:mu:"
    PUSHES = "cim:p:"
    PUSH_OWNER = "cim:po:"
    NOTIFIED = "cim:pn:"

    def of(self, tag: object) -> str:
        """Return the name of the key with a tag."""
        return "".join((self, "{", str(tag), "}"))


#: One line of Lua that defines them in a script.
LUA = f"local {', '.join(Key.__members__)} = {', '.join(repr(str(key)) for key in Key)}"
