-- What followers have: cim/store/redis/followers.py tells the keys.
local NOBODY, ALL = '-', '*'
local function tag(name) return '{' .. name .. '}' end
-- Returns failures, since when, who works on it, and its position; nothing if it is not followed.
local function followed(name, conversation)
  local held = redis.call('HGET', FOLLOWED .. tag(name), conversation)
  if not held then return nil end
  local failures, since, owner, position = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
  return tonumber(failures), tonumber(since), owner, position
end
local function keep(name, conversation, failures, since, owner, position)
  local held = table.concat({digits(failures), digits(since), owner, position}, ' ')
  redis.call('HSET', FOLLOWED .. tag(name), conversation, held)
end
local function forget(name, conversation)
  redis.call('HDEL', FOLLOWED .. tag(name), conversation)
  redis.call('ZREM', DUE .. tag(name), conversation)
end
local function last_of(conversation)
  return (log_of(conversation, redis.call('HGET', COUNTERS .. tag(conversation), 'log')))
end
