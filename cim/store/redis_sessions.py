"""Sessions in Redis. Every method is one call; times are Redis's own.

    cim:session:{<user>}                   hash: device -> record (see _PRELUDE); expires with the last reservation
    cim:ended:{<user>}                     there for 3 s after an end
    cim:lease:{<server>/<incarnation>}     sorted set: route -> when its lease ends; expires with the last of them
    cim:upstream:{<server>}                set: users at a server that is upstream's
    cim-route:<user>, login-status         upstream's own keys, kept in step (UPSTREAM.md section 5)

A script writes the records and upstream's keys together: there the newest live record counts. Those lie in other
slots, and the scripts make some key names themselves: a Redis Cluster would need these writes apart. Upstream's keys
are only told, so an error on them (Java can be made to write a string at `login-status`) stops nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import RateLimited, RepeatedEnd
from cim.icim import ISessions
from cim.model import GUEST, MAX_DEVICES, LoginPolicy, Place, Reserved, SessionRecord
from cim.store.scripts import Script

if TYPE_CHECKING:
    from cim.store.redis_connection import RedisConnection

#: An end is taken for a repeated one when the record is younger than this and the last end was less than that ago.
YOUNG = 1.0
REPEATED_WITHIN = 3.0

# All: KEYS records, cim-route, login-status, ended marker; ARGV user, then their own.
# A record is a line: since, when a reservation expires (0 when live), 1 when its login lets no other device be live
# beside it, owner, server, incarnation. Whoever changes records calls `settle` at the end.
_PRELUDE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read()
  local held, records = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #held, 2 do
    local since, expires, alone, owner, server, incarnation =
      string.match(held[i + 1], '^(%d+)\t(%d+)\t([01])\t([^\t]*)\t([^\t]*)\t([^\t]*)$')
    if since and (expires == '0' or tonumber(expires) > now) then
      records[#records + 1] = {device = held[i], since = tonumber(since), expires = tonumber(expires), alone = alone,
                               owner = owner, server = server, incarnation = incarnation, live = expires == '0'}
    end
  end
  table.sort(records, function(one, other)
    if one.since == other.since then return one.device < other.device end
    return one.since < other.since
  end)
  return records
end
local function told(records)
  local lines = {}
  for i, record in ipairs(records) do
    lines[i] = {record.device, record.server, record.incarnation, record.owner, record.live and 1 or 0,
                string.format('%.0f', record.since)}
  end
  return lines
end
local function forget(record)
  redis.call('HDEL', KEYS[1], record.device)
  redis.call('SREM', 'cim:upstream:{' .. record.server .. '}', ARGV[1])
end
local function write(device, expires, alone, owner, server, incarnation)
  redis.call('HSET', KEYS[1], device, string.format('%.0f\t%.0f\t%s\t%s\t%s\t%s', now, expires, alone, owner, server,
                                                    incarnation))
end
local function settle()
  local live, waiting, last
  for _, record in ipairs(read()) do
    if record.live then live = record else waiting = record; last = math.max(last or 0, record.expires) end
  end
  if live then
    redis.call('PERSIST', KEYS[1])
    redis.pcall('SET', KEYS[2], live.server)
    redis.pcall('SADD', KEYS[3], ARGV[1])
    return
  end
  redis.pcall('SREM', KEYS[3], ARGV[1])
  if waiting then
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last))
    redis.pcall('SET', KEYS[2], waiting.server, 'PXAT', string.format('%.0f', waiting.expires))
  else
    redis.call('DEL', KEYS[1])
    redis.pcall('DEL', KEYS[2])
  end
end
"""

# ARGV[2..]: server, incarnation, owner, device, policy, ms, 1 for a live record, the device of guests, most devices,
# owners known to be dead. Returns the records in the way and those replaced, or what it refused for.
RESERVE = Script(
    "reserve",
    _PRELUDE
    + """
local server, incarnation, owner, device, policy = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local dead = {}
for i = 11, #ARGV do dead[ARGV[i]] = true end
local removed, replaced, in_the_way, live, others = {}, {}, {}, {}, 0
for _, record in ipairs(read()) do
  local same = record.device == device and device ~= ARGV[9]
  if record.live and dead[record.owner] then
    removed[#removed + 1] = record
  elseif same or policy == 'replace' or not record.live and (policy == 'reject' or record.device == device) then
    removed[#removed + 1] = record
    if record.live then replaced[#replaced + 1] = record end
  else
    others = others + 1
    if record.live then live[#live + 1] = record end
    if record.live and (policy == 'reject' or record.device == device) then in_the_way[#in_the_way + 1] = record end
  end
end
if #in_the_way == 0 and others >= tonumber(ARGV[10]) then
  if #live == 0 then return 'limited' end
  in_the_way = live
end
if #in_the_way > 0 then return {told(in_the_way), {}} end
for _, record in ipairs(removed) do forget(record) end
write(device, ARGV[8] == '1' and 0 or now + ARGV[7], policy == 'many' and 0 or 1, owner, server, incarnation)
if ARGV[8] == '1' then redis.call('SADD', 'cim:upstream:{' .. server .. '}', ARGV[1]) end
settle()
return {{}, told(replaced)}
""",
)

# ARGV[2..]: device, owner, server, incarnation.
CLAIM = Script(
    "claim",
    _PRELUDE
    + """
local held, newer
for _, record in ipairs(read()) do
  if record.device == ARGV[2] then held = record elseif record.alone == '1' then newer = true end
end
if held and held.owner ~= ARGV[3] or not held and newer then return 0 end
if not held or not held.live then
  write(ARGV[2], 0, held and held.alone or 0, ARGV[3], ARGV[4], ARGV[5])
  settle()
end
return 1
""",
)

# ARGV[2..]: owner, ms for which an end is remembered.
RELEASE = Script(
    "release",
    _PRELUDE
    + """
for _, record in ipairs(read()) do
  if record.owner == ARGV[2] then
    forget(record)
    settle()
    redis.call('SET', KEYS[4], 1, 'PX', ARGV[3])
    return 1
  end
end
return 0
""",
)

# ARGV[2..]: ms for which an end is remembered, ms for which a record is young.
END = Script(
    "end",
    _PRELUDE
    + """
local records = read()
local newest = records[#records]
if newest and now - newest.since < tonumber(ARGV[3]) and redis.call('EXISTS', KEYS[4]) == 1 then return 'repeated' end
redis.call('SET', KEYS[4], 1, 'PX', ARGV[2])
if newest then
  for _, record in ipairs(records) do forget(record) end
  settle()
end
return told(records)
""",
)

SESSIONS = Script("sessions", _PRELUDE + "return told(read())")

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


def _records(user: int, lines: Sequence[Sequence[Any]]) -> list[SessionRecord]:
    return [
        SessionRecord(
            user, Place(server.decode(), incarnation.decode()), owner.decode(), bool(live), int(since), device.decode()
        )
        for device, server, incarnation, owner, live, since in lines
    ]


def _lease(place: Place) -> str:
    return f"cim:lease:{{{place}}}"


@implementer(ISessions)
class RedisSessions:
    """Sessions that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def _run(self, script: Script, user: int, *args: str | int) -> Deferred[Any]:
        keys = (f"cim:session:{{{user}}}", f"cim-route:{user}", "login-status", f"cim:ended:{{{user}}}")
        return self._connection.run(script, keys, (user, *args))

    def reserve(
        self,
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Deferred[Reserved]:
        """See ISessions."""

        def reserved(answer: Any) -> Reserved:
            if answer == b"limited":
                raise RateLimited()
            return Reserved(*(tuple(_records(user, lines)) for lines in answer))

        record = (place.server, place.incarnation, owner, device)
        terms = (policy, _ms(seconds), int(live), GUEST, MAX_DEVICES)
        return self._run(RESERVE, user, *record, *terms, *expected).addCallback(reserved)

    def claim(self, user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(CLAIM, user, device, owner, place.server, place.incarnation).addCallback(bool)

    def release(self, user: int, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(RELEASE, user, owner, _ms(REPEATED_WITHIN)).addCallback(bool)

    def end(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""

        def ended(lines: Any) -> list[SessionRecord]:
            if lines == b"repeated":
                raise RepeatedEnd()
            return _records(user, lines)

        return self._run(END, user, _ms(REPEATED_WITHIN), _ms(YOUNG)).addCallback(ended)

    def sessions(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self._run(SESSIONS, user).addCallback(lambda lines: _records(user, lines))

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
