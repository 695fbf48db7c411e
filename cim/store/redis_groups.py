"""Groups in Redis. Every method is one call.

    cim:g:{g:<id>}      hash: name, open, history, version, owners (how many)
    cim:gm:{g:<id>}     hash: user -> role and floor of a member
    cim:gi:{g:<id>}     sorted set: the members in the order of their ids
    cim:ug:{<user>}     hash: group -> role and floor, the same once more
    cim:groups          stream: who joined and left which group; its ids are the log's versions
    cim:last-group-id   the highest id given

The first three have the tag of the group's conversation, whose append looks at them; joining sets the read mark
there. The others lie in other slots: a Redis Cluster would need these writes apart.

A version of the log is the time in ms, or one more than the last: after Redis lost its tail, the versions that were
lost do not come again, and whoever has seen one is told that something was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import Conflict, Forbidden, NotFound, RateLimited
from cim.icim import IGroups
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Member, Role
from cim.store.pages import LAST_OWNER, MOST_GROUPS, MOST_MEMBERS
from cim.store.scripts import Script

if TYPE_CHECKING:
    from cim.store.redis_connection import RedisConnection

_REFUSALS: dict[bytes, tuple[type[Conflict | Forbidden | NotFound | RateLimited], str | None]] = {
    b"not-found": (NotFound, None),
    b"forbidden": (Forbidden, None),
    b"last-owner": (Conflict, LAST_OWNER),
    b"most-groups": (RateLimited, MOST_GROUPS),
    b"most-members": (RateLimited, MOST_MEMBERS),
}

_GROUPS = """
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function digits(number) return string.format('%.0f', number) end
local function keys(id)
  local tag = '{g:' .. id .. '}'
  return 'cim:g:' .. tag, 'cim:gm:' .. tag, 'cim:gi:' .. tag
end
local function role_of(members, user)
  return tonumber(string.match(redis.call('HGET', members, user) or '', '^%d'))
end
local function told(id)
  local group, members = keys(id)
  local held = redis.call('HMGET', group, 'name', 'open', 'history', 'version')
  if not held[4] then return false end
  return {held[1], held[2], held[3], redis.call('HLEN', members), held[4]}
end
local function log(id, user, added, group_version)
  local last = redis.pcall('XINFO', 'STREAM', 'cim:groups')
  local version = clock()
  for i = 1, #last, 2 do
    if last[i] == 'last-generated-id' then
      version = math.max(version, string.match(last[i + 1], '^%d+') + 1)
    end
  end
  redis.call('XADD', 'cim:groups', 'MAXLEN', '~', 10000, digits(version) .. '-0', 'g', id, 'u', user,
             'a', added and 1 or 0, 'v', group_version)
  return {digits(version), group_version}
end
local function write(id, members, user, role, floor)
  redis.call('HSET', members, user, role .. ' ' .. floor)
  redis.call('HSET', 'cim:ug:{' .. user .. '}', id, role .. ' ' .. floor)
end
-- Makes a member of whoever is none, and has read what was said before.
local function join(id, user, role)
  local group, members, ids = keys(id)
  local counters = 'cim:n:{g:' .. id .. '}'
  local held = redis.call('HMGET', counters, 'log', 's:' .. user)
  local last, counted = string.match(held[1] or ' 0 0 0', '^(%S*) %d+ (%d+)')
  local others = counted - (string.match(held[2] or '', '^%d+') or 0)
  if last ~= '' then redis.call('HSET', counters, 'r:' .. user, last .. ' ' .. digits(others)) end
  write(id, members, user, role, redis.call('HGET', group, 'history') == '1' and '' or last)
  redis.call('ZADD', ids, user, user)
  if role == 2 then redis.call('HINCRBY', group, 'owners', 1) end
  return log(id, user, true, redis.call('HINCRBY', group, 'version', 1))
end
-- Ends a membership; a group without members ceases to be.
local function leave(id, user)
  local group, members, ids = keys(id)
  if role_of(members, user) == 2 then redis.call('HINCRBY', group, 'owners', -1) end
  redis.call('HDEL', members, user)
  redis.call('ZREM', ids, user)
  redis.call('HDEL', 'cim:ug:{' .. user .. '}', id)
  redis.call('HDEL', 'cim:n:{g:' .. id .. '}', 'r:' .. user)
  local version = redis.call('HINCRBY', group, 'version', 1)
  if redis.call('HLEN', members) == 0 then
    local tag = '{g:' .. id .. '}'
    redis.call('UNLINK', group, ids, 'cim:c:' .. tag, 'cim:n:' .. tag, 'cim:x:' .. tag)
    redis.call('ZREM', 'cim:ga', 'g:' .. id)
  end
  return log(id, user, false, version)
end
"""

# ARGV: owner, name, open, history, most groups.
CREATE = Script(
    "create_group",
    _GROUPS
    + """
if redis.call('HLEN', 'cim:ug:{' .. ARGV[1] .. '}') >= tonumber(ARGV[5]) then return 'most-groups' end
local id = math.max(clock(), (tonumber(redis.call('GET', 'cim:last-group-id') or '') or 0) + 1)
while redis.call('EXISTS', 'cim:g:{g:' .. digits(id) .. '}', 'cim:c:{g:' .. digits(id) .. '}') > 0 do id = id + 1 end
id = digits(id)
redis.call('SET', 'cim:last-group-id', id)
redis.call('HSET', keys(id), 'name', ARGV[2], 'open', ARGV[3], 'history', ARGV[4], 'version', 0, 'owners', 0)
join(id, ARGV[1], 2)
return {id, told(id)}
""",
)

GROUP = Script("group", _GROUPS + "return told(ARGV[1])")

# ARGV: id, actor, name.
RENAME = Script(
    "rename_group",
    _GROUPS
    + """
local group, members = keys(ARGV[1])
if redis.call('EXISTS', group) == 0 then return 'not-found' end
if (role_of(members, ARGV[2]) or 0) < 1 then return 'forbidden' end
redis.call('HSET', group, 'name', ARGV[3])
return told(ARGV[1])
""",
)

# ARGV: id, after, limit.
MEMBERS = Script(
    "members",
    _GROUPS
    + """
local _, members, ids = keys(ARGV[1])
local found = redis.call('ZRANGEBYSCORE', ids, '(' .. ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
local lines = {}
for i, user in ipairs(found) do lines[i] = {user, redis.call('HGET', members, user) or '0 '} end
return lines
""",
)

# ARGV: id, actor, user, most members, most groups.
ADD = Script(
    "add_member",
    _GROUPS
    + """
local id, actor, user = ARGV[1], ARGV[2], ARGV[3]
local group, members = keys(id)
local open = redis.call('HGET', group, 'open')
if not open then return 'not-found' end
local there = redis.call('HEXISTS', members, user) == 1
if actor == user then
  if not there and open ~= '1' then return 'forbidden' end
elseif (role_of(members, actor) or 0) < 1 then
  return 'forbidden'
end
if there then return false end
if redis.call('HLEN', members) >= tonumber(ARGV[4]) then return 'most-members' end
if redis.call('HLEN', 'cim:ug:{' .. user .. '}') >= tonumber(ARGV[5]) then return 'most-groups' end
return join(id, user, 0)
""",
)

# ARGV: id, actor, user.
REMOVE = Script(
    "remove_member",
    _GROUPS
    + """
local id, actor, user = ARGV[1], ARGV[2], ARGV[3]
local group, members = keys(id)
local owners = redis.call('HGET', group, 'owners')
if not owners then return 'not-found' end
local role = role_of(members, user)
if actor ~= user then
  local above = role_of(members, actor)
  if not above or above < 1 or role and above <= role then return 'forbidden' end
end
if not role then return false end
if role == 2 and tonumber(owners) == 1 and redis.call('HLEN', members) > 1 then return 'last-owner' end
return leave(id, user)
""",
)

# ARGV: id, actor, user, role.
SET_ROLE = Script(
    "set_role",
    _GROUPS
    + """
local id, user, role = ARGV[1], ARGV[3], tonumber(ARGV[4])
local group, members = keys(id)
local owners = redis.call('HGET', group, 'owners')
if not owners then return 'not-found' end
if role_of(members, ARGV[2]) ~= 2 then return 'forbidden' end
local held = redis.call('HGET', members, user)
if not held then return 'not-found' end
local before, floor = string.match(held, '^(%d) (.*)$')
before = tonumber(before)
if before == 2 and role < 2 and tonumber(owners) == 1 then return 'last-owner' end
redis.call('HINCRBY', group, 'owners', (role == 2 and 1 or 0) - (before == 2 and 1 or 0))
write(id, members, user, role, floor)
return 1
""",
)

# ARGV: user, most groups. Ends the user's memberships; of a group whose last owner goes, the member with the lowest id
# becomes the owner. Returns how many are left.
LEAVE_ALL = Script(
    "leave_all",
    _GROUPS
    + """
local user = ARGV[1]
local mine = 'cim:ug:{' .. user .. '}'
for _, id in ipairs(redis.call('HRANDFIELD', mine, ARGV[2])) do
  local group, members, ids = keys(id)
  if redis.call('HEXISTS', members, user) == 0 then
    redis.call('HDEL', mine, id)
  else
    if role_of(members, user) == 2 and redis.call('HGET', group, 'owners') == '1' then
      for _, other in ipairs(redis.call('ZRANGE', ids, 0, 1)) do
        if other ~= user then
          write(id, members, other, 2, string.match(redis.call('HGET', members, other), '^%d (.*)$'))
          redis.call('HINCRBY', group, 'owners', 1)
          break
        end
      end
    end
    leave(id, user)
  end
end
return redis.call('HLEN', mine)
""",
)

# ARGV: after, limit.
CHANGES = Script(
    "group_changes",
    """
local info = redis.pcall('XINFO', 'STREAM', 'cim:groups')
local known = {}
for i = 1, #info, 2 do known[info[i]] = info[i + 1] end
if not known['last-generated-id'] then return {'0', ARGV[1] ~= '0' and 1 or 0, {}} end
local complete
if ARGV[1] == '0' then
  complete = known['entries-added'] == known['length']
else
  complete = redis.call('XRANGE', 'cim:groups', ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
end
local found = redis.call('XRANGE', 'cim:groups', '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local changes = {}
for i, entry in ipairs(found) do
  local f = entry[2]
  changes[i] = {string.match(entry[1], '^%d+'), f[2], f[4], f[6], f[8]}
end
return {string.match(known['last-generated-id'], '^%d+'), complete and 0 or 1, changes}
""",
)


def _checked(answer: Any) -> Any:
    if isinstance(answer, bytes):
        error, reason = _REFUSALS[answer]
        raise error(reason)
    return answer


def _group(id: int, held: Sequence[Any]) -> Group:
    name, open, history, members, version = held
    return Group(id, name.decode(), open == b"1", history == b"1", members, int(version))


def _member(group: int, user: int, held: bytes) -> Member:
    role, _, floor = held.decode().partition(" ")
    return Member(group, user, Role(int(role)), floor)


def _change(group: int, user: int, added: bool, answer: Any) -> GroupChange | None:
    if _checked(answer) is None:
        return None
    version, group_version = answer
    return GroupChange(int(version), group, user, added, group_version)


@implementer(IGroups)
class RedisGroups:
    """Groups that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        args = (owner, name, int(open), int(history), MAX_GROUPS)
        return self._connection.run(CREATE, (), args).addCallback(
            lambda answer: _group(int(_checked(answer)[0]), answer[1])
        )

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""
        return self._connection.run(GROUP, (), (id,)).addCallback(
            lambda held: None if held is None else _group(id, held)
        )

    def rename(self, id: int, actor: int, name: str) -> Deferred[Group]:
        """See IGroups."""
        return self._connection.run(RENAME, (), (id, actor, name)).addCallback(
            lambda answer: _group(id, _checked(answer))
        )

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._connection.command("member", "HGET", f"cim:gm:{{g:{id}}}", user).addCallback(
            lambda held: None if held is None else _member(id, user, held)
        )

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._connection.run(MEMBERS, (), (id, after, limit)).addCallback(
            lambda lines: [_member(id, int(user), held) for user, held in lines]
        )

    def groups_of(self, user: int) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._connection.command("groups_of", "HGETALL", f"cim:ug:{{{user}}}").addCallback(
            lambda held: sorted(
                (_member(int(group), user, what) for group, what in zip(held[::2], held[1::2], strict=True)),
                key=lambda member: member.group,
            )
        )

    def add(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        args = (id, actor, user, MAX_MEMBERS, MAX_GROUPS)
        return self._connection.run(ADD, (), args).addCallback(lambda answer: _change(id, user, True, answer))

    def remove(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self._connection.run(REMOVE, (), (id, actor, user)).addCallback(
            lambda answer: _change(id, user, False, answer)
        )

    def set_role(self, id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """See IGroups."""
        return self._connection.run(SET_ROLE, (), (id, actor, user, int(role))).addCallback(
            lambda answer: _checked(answer) and None
        )

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""

        def read(answer: Any) -> tuple[list[GroupChange], int, bool]:
            version, forgotten, lines = answer
            changes = [
                GroupChange(int(version), int(group), int(user), added == b"1", int(group_version))
                for version, group, user, added, group_version in lines
            ]
            return changes, int(version), bool(forgotten)

        return self._connection.run(CHANGES, (), (after, limit)).addCallback(read)
