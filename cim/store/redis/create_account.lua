-- KEYS: name key, bare name, last id; ARGV: password. False when the name is taken.
if find(KEYS[1], KEYS[2]) then return false end
local digits = make()
redis.call('HSET', CREDENTIAL .. '{' .. digits .. '}', 'password', ARGV[1], 'valid_from', 0)
return digits
