-- Reads what is to be copied, under a number that is higher than that of all that was read before (copies.py).
-- KEYS: the notes. ARGV: for each note its parts: kind, id, further.
-- Returns the number, and for each the values; false for what is not there.
local parts = redis.call('TIME')
local number = math.max(parts[1] * 1000000 + parts[2], (tonumber(redis.call('HGET', KEYS[1], '#') or 0)) + 1)
redis.call('HSET', KEYS[1], '#', string.format('%.0f', number))
local found = {}
for i = 1, #ARGV, 3 do
  local kind, id, further = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local group = '{g:' .. id .. '}'
  if kind == 'g' then
    found[#found + 1] = {redis.call('HGET', GROUP .. group, further)}
  elseif kind == 'u' then
    found[#found + 1] = {redis.call('HGET', MEMBERS .. group, further), redis.call('HGET', COUNTERS .. group, 'r:' .. further)}
  elseif kind == 'b' then
    found[#found + 1] = {redis.call('HGET', BLOCKED .. '{' .. id .. '}', further)}
  elseif kind == 'm' then
    found[#found + 1] = {redis.call('HGET', MUTED, id)}
  else
    found[#found + 1] = {redis.call('EXISTS', GROUP .. group) == 1 and '1'}
  end
end
return {string.format('%.0f', number), found}
