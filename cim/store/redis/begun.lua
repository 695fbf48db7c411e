-- Notes in which epochs the buckets of a cluster are, and begins a new one of the whole store with one of a bucket.
-- KEYS: the record of the store's epoch, which is that of the directory. ARGV: for each bucket its number, that of its
-- epoch, and 1 if it has only been moved to another node.
local begun = false
for i = 1, #ARGV, 3 do
  local held = redis.call('HGET', KEYS[1], 'b:' .. ARGV[i])
  if not held or tonumber(held) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], 'b:' .. ARGV[i], ARGV[i + 1])
    begun = begun or held and ARGV[i + 2] ~= '1'
  end
end
if begun then
  local parts = redis.call('TIME')
  local beat = tonumber(redis.call('HGET', KEYS[1], 'beat') or 0)
  local number = string.format('%.0f', math.max(parts[1] * 1000 + math.floor(parts[2] / 1000), beat + 1))
  redis.call('HSET', KEYS[1], 'number', number, 'beat', number)
end
