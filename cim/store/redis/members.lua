-- KEYS: members, ids; ARGV: after, limit.
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])
local lines = {}
for i, user in ipairs(found) do lines[i] = {user, redis.call('HGET', KEYS[1], user) or '0 '} end
return lines
