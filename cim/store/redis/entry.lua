-- KEYS: stream, recalled; ARGV: position, the oldest time to return (ms).
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
local named = entry and message(entry)
if not named or tonumber(named.w) < tonumber(ARGV[2]) then return false end
return {entry[1], previous(entry[1], named), named.b, redis.call('ZSCORE', KEYS[2], padded(entry[1])) and 1 or 0}
