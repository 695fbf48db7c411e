-- KEYS: account, credential; ARGV: password, valid_from. Returns whether there is such an account.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'password', ARGV[1])
local from = redis.call('HGET', KEYS[2], 'valid_from')
if not from or tonumber(from) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[2], 'valid_from', ARGV[2]) end
return 1
