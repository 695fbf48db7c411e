-- KEYS: credential; ARGV: valid_from.
if redis.call('EXISTS', KEYS[1]) == 0 then return end
local from = redis.call('HGET', KEYS[1], 'valid_from')
if not from or tonumber(from) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'valid_from', ARGV[1]) end
