"""Sessions in Redis. Every method is one call; times are Redis's own.

    cim:session:{<user>}                   hash: server, incarnation, owner, live (0 or 1), since; a reservation expires
    cim:ended:{<user>}                     there for 3 s after an end
    cim:lease:{<server>/<incarnation>}     sorted set: route -> when its lease ends; expires with the last of them
    cim:upstream:{<server>}                set: users at a server that is upstream's
    cim-route:<user>, login-status         upstream's own keys, kept in step (UPSTREAM.md section 5)

A script writes the record and upstream's keys together. Those lie in other slots, and the scripts make some key names
themselves: a Redis Cluster would need these writes apart. Upstream's keys are only told, so an error on them (Java
can be made to write a string at `login-status`) stops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import RepeatedEnd
from cim.icim import ISessions
from cim.model import Place, SessionRecord
from cim.store.scripts import Script

if TYPE_CHECKING:
    from cim.store.redis_connection import RedisConnection

#: An end is taken for a repeated one when the record is younger than this and the last end was less than that ago.
YOUNG = 1.0
REPEATED_WITHIN = 3.0

# All: KEYS record, cim-route, login-status, ended marker; ARGV user, server, incarnation, owner, then their own.
_PRELUDE = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function record()
  local held = redis.call('HMGET', KEYS[1], 'server', 'incarnation', 'owner', 'live', 'since')
  return held[1] and held
end
local function forget(held)
  redis.call('DEL', KEYS[1])
  redis.call('SREM', 'cim:upstream:{' .. held[1] .. '}', ARGV[1])
  redis.pcall('DEL', KEYS[2])
  redis.pcall('SREM', KEYS[3], ARGV[1])
end
local function write(live)
  redis.call('HSET', KEYS[1], 'server', ARGV[2], 'incarnation', ARGV[3], 'owner', ARGV[4],
             'live', live and 1 or 0, 'since', string.format('%.0f', now()))
  if live then
    redis.call('PERSIST', KEYS[1])
    redis.pcall('SET', KEYS[2], ARGV[2])
    redis.pcall('SADD', KEYS[3], ARGV[1])
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
    redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[6])
  end
end
"""

# ARGV[5]: the owner that may be replaced; ARGV[6]: ms; ARGV[7]: 1 for a live record.
RESERVE = Script(
    "reserve",
    _PRELUDE
    + """
local held = record()
if held then
  if held[4] == '1' and (ARGV[5] == '' or held[3] ~= ARGV[5]) then return held end
  forget(held)
end
write(ARGV[7] == '1')
if ARGV[7] == '1' then redis.call('SADD', 'cim:upstream:{' .. ARGV[2] .. '}', ARGV[1]) end
return false
""",
)

CLAIM = Script(
    "claim",
    _PRELUDE
    + """
local held = record()
if held and held[3] ~= ARGV[4] then return 0 end
if not held or held[4] ~= '1' then write(true) end
return 1
""",
)

# ARGV[5]: ms for which an end is remembered.
RELEASE = Script(
    "release",
    _PRELUDE
    + """
local held = record()
if not held or held[3] ~= ARGV[4] then return 0 end
forget(held)
redis.call('SET', KEYS[4], 1, 'PX', ARGV[5])
return 1
""",
)

# ARGV[6]: ms for which a record is young.
END = Script(
    "end",
    _PRELUDE
    + """
local held = record()
if held and now() - held[5] < tonumber(ARGV[6]) and redis.call('EXISTS', KEYS[4]) == 1 then return 'repeated' end
redis.call('SET', KEYS[4], 1, 'PX', ARGV[5])
if held then forget(held) end
return held or false
""",
)

# KEYS: lease; ARGV: route, ms (0 drops it).
LEASE = Script(
    "lease",
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], last[2]) end
""",
)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _record(user: int, held: Sequence[bytes | None] | None) -> SessionRecord | None:
    if held is None or held[0] is None:
        return None
    server, incarnation, owner, live, since = ((part or b"").decode() for part in held)
    return SessionRecord(user, Place(server, incarnation), owner, live == "1", int(since or 0))


def _lease(place: Place) -> str:
    return f"cim:lease:{{{place}}}"


@implementer(ISessions)
class RedisSessions:
    """Sessions that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def _run(self, script: Script, user: int, place: Place, owner: str, *args: str | int) -> Deferred[Any]:
        keys = (f"cim:session:{{{user}}}", f"cim-route:{user}", "login-status", f"cim:ended:{{{user}}}")
        return self._connection.run(script, keys, (user, place.server, place.incarnation, owner, *args))

    def reserve(
        self, user: int, place: Place, owner: str, expected: str = "", *, seconds: float, live: bool = False
    ) -> Deferred[SessionRecord | None]:
        """See ISessions."""
        return self._run(RESERVE, user, place, owner, expected, _ms(seconds), int(live)).addCallback(
            lambda held: _record(user, held)
        )

    def claim(self, user: int, place: Place, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(CLAIM, user, place, owner).addCallback(bool)

    def release(self, user: int, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(RELEASE, user, Place(""), owner, _ms(REPEATED_WITHIN)).addCallback(bool)

    def end(self, user: int) -> Deferred[SessionRecord | None]:
        """See ISessions."""

        def ended(held: Any) -> SessionRecord | None:
            if held == b"repeated":
                raise RepeatedEnd()
            return _record(user, held)

        return self._run(END, user, Place(""), "", _ms(REPEATED_WITHIN), _ms(YOUNG)).addCallback(ended)

    def session(self, user: int) -> Deferred[SessionRecord | None]:
        """See ISessions."""
        return self._connection.command(
            "session", "HMGET", f"cim:session:{{{user}}}", "server", "incarnation", "owner", "live", "since"
        ).addCallback(lambda held: _record(user, held))

    def hold_lease(self, place: Place, route: str, seconds: float) -> Deferred[None]:
        """See ISessions."""
        return self._connection.run(LEASE, (_lease(place),), (route, _ms(seconds)))

    def drop_lease(self, place: Place, route: str) -> Deferred[None]:
        """See ISessions."""
        return self._connection.run(LEASE, (_lease(place),), (route, 0))

    def leased(self, place: Place) -> Deferred[bool]:
        """See ISessions."""
        return self._connection.command("leased", "EXISTS", _lease(place)).addCallback(bool)

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return self._connection.command("users_at", "SMEMBERS", f"cim:upstream:{{{server}}}").addCallback(
            lambda users: sorted(map(int, users))
        )
