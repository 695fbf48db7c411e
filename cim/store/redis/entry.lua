local entry = redis.call('XRANGE', STREAM .. '{' .. ARGV[1] .. '}', ARGV[2], ARGV[2])[1]
local named = entry and message(entry)
if not named or tonumber(named.w) < tonumber(ARGV[3]) then return false end
return {entry[1], previous(entry[1], named), named.b,
        redis.call('ZSCORE', RECALLED .. '{' .. ARGV[1] .. '}', padded(entry[1])) and 1 or 0}
