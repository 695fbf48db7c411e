-- ARGV: id, after, limit.
local _, members, ids = keys(ARGV[1])
local found = redis.call('ZRANGEBYSCORE', ids, '(' .. ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
local lines = {}
for i, user in ipairs(found) do lines[i] = {user, redis.call('HGET', members, user) or '0 '} end
return lines
