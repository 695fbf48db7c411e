local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function digits(number) return string.format('%.0f', number) end
local function keys(id)
  local tag = '{g:' .. id .. '}'
  return GROUP .. tag, MEMBERS .. tag, MEMBER_IDS .. tag
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
  local last = redis.pcall('XINFO', 'STREAM', GROUP_LOG)
  local version = clock()
  for i = 1, #last, 2 do
    if last[i] == 'last-generated-id' then
      version = math.max(version, string.match(last[i + 1], '^%d+') + 1)
    end
  end
  redis.call('XADD', GROUP_LOG, 'MAXLEN', '~', 10000, digits(version) .. '-0', 'g', id, 'u', user,
             'a', added and 1 or 0, 'v', group_version)
  return {digits(version), group_version}
end
local function write(id, members, user, role, floor)
  redis.call('HSET', members, user, role .. ' ' .. floor)
  redis.call('HSET', GROUPS_OF .. '{' .. user .. '}', id, role .. ' ' .. floor)
end
-- Makes a member of whoever is none, and has read what was said before.
local function join(id, user, role)
  local group, members, ids = keys(id)
  local counters = COUNTERS .. '{g:' .. id .. '}'
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
  redis.call('HDEL', GROUPS_OF .. '{' .. user .. '}', id)
  redis.call('HDEL', COUNTERS .. '{g:' .. id .. '}', 'r:' .. user)
  local version = redis.call('HINCRBY', group, 'version', 1)
  if redis.call('HLEN', members) == 0 then
    local tag = '{g:' .. id .. '}'
    redis.call('UNLINK', group, ids, STREAM .. tag, COUNTERS .. tag, RECALLED .. tag)
    redis.call('ZREM', GROUP_ACTIVITY, 'g:' .. id)
  end
  return log(id, user, false, version)
end
