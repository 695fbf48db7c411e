-- KEYS: stream, recalled; ARGV: the oldest time to return (ms), positions.
-- Returns for each position 1 if a message is there that is neither too old nor recalled, else 0.
local standing = {}
for at = 2, #ARGV do
  local entry = not redis.call('ZSCORE', KEYS[2], padded(ARGV[at])) and redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at])[1]
  local named = entry and message(entry)
  standing[at - 1] = named and tonumber(named.w) >= tonumber(ARGV[1]) and 1 or 0
end
return standing
