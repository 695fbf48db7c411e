"""The names of all keys in Redis, for Python and Lua alike."""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """How the names of keys begin. Scripts know these by the same names (see `LUA`).

    Where a name goes on, its next part stands in braces: the tag by which a Redis Cluster picks the slot.
    """

    ACCOUNT = "cim-account:"
    ACCOUNT_NAME = "cim-name:"
    LAST_ACCOUNT = "cim:last-account-id"
    CREDENTIAL = "cim:auth:"
    SESSIONS = "cim:session:"
    ENDED = "cim:ended:"
    LEASE = "cim:lease:"
    UPSTREAM = "cim:upstream:"
    ROUTE = "cim-route:"
    ONLINE = "login-status"
    STREAM = "cim:c:"
    COUNTERS = "cim:n:"
    RECALLED = "cim:x:"
    ONCE = "cim:d:"
    ACTIVITY = "cim:a:"
    GROUP_ACTIVITY = "cim:ga"
    MARKS = "cim:m:"
    GROUP = "cim:g:"
    MEMBERS = "cim:gm:"
    MEMBER_IDS = "cim:gi:"
    GROUPS_OF = "cim:ug:"
    GROUP_LOG = "cim:groups"
    LAST_GROUP = "cim:last-group-id"

    def of(self, tag: object) -> str:
        """Return the name of the key with that tag."""
        return "".join((self, "{", str(tag), "}"))


#: What makes them known to a script, in one line.
LUA = f"local {', '.join(Key.__members__)} = {', '.join(repr(str(key)) for key in Key)}"
