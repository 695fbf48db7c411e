-- Writes copies of what the directory holds, unless later ones are there (copies.py).
-- KEYS: the numbers of what was copied last. ARGV: what the copies are about, their number, and for each: kind, id,
-- further, the value and one more, each behind a `=`, or empty if it is not there. Returns 1 if they are written.
local held = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if tonumber(ARGV[2]) <= held then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local function set(key, field, value)
  if value then redis.call('HSET', key, field, value) else redis.call('HDEL', key, field) end
end
for i = 3, #ARGV, 5 do
  local kind, id, further = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local value, more = string.match(ARGV[i + 3], '^=(.*)$'), string.match(ARGV[i + 4], '^=(.*)$')
  local group = '{g:' .. id .. '}'
  if kind == 'g' then
    set(GROUP .. group, further, value)
  elseif kind == 'u' then
    set(MEMBERS .. group, further, value)
    set(GROUPS_OF .. '{' .. further .. '}', id, value)
    if not value then
      redis.call('HDEL', COUNTERS .. group, 'r:' .. further)
    elseif more then
      redis.call('HSETNX', COUNTERS .. group, 'r:' .. further, more)
    end
  elseif kind == 'b' then
    set(BLOCKED .. '{' .. id .. '}', further, value)
  elseif kind == 'm' then
    set(MUTED, id, value)
  elseif not value then
    redis.call('UNLINK', GROUP .. group, MEMBERS .. group, COUNTERS .. group, STREAM .. group, RECALLED .. group, EDITED .. group,
               ONCE .. group, ONCE .. group .. ':before')
    redis.call('ZREM', GROUP_ACTIVITY, 'g:' .. id)
  end
end
return 1
