-- ARGV: user, device, then conversations. Returns received and read of each in turn.
local found = {}
for i = 3, #ARGV do
  found[#found + 1] = redis.call('HGET', MARKS .. '{' .. ARGV[1] .. '}:' .. ARGV[2], ARGV[i]) or ''
  local read = redis.call('HGET', COUNTERS .. '{' .. ARGV[i] .. '}', 'r:' .. ARGV[1])
  found[#found + 1] = string.match(read or '', '^%S+') or ''
end
return found
