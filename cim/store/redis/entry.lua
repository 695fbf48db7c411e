-- KEYS: stream, recalled, members; ARGV: position, the oldest time to return (ms), the member who must be allowed to read
-- it or 0.
if ARGV[3] ~= '0' then
  local record = redis.call('HGET', KEYS[3], ARGV[3])
  if not record or not beyond(ARGV[1], floor_of(record)) then return false end
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
local named = entry and message(entry)
if not named or tonumber(named.w) < tonumber(ARGV[2]) then return false end
return {entry[1], previous(entry[1], named), named.b, redis.call('ZSCORE', KEYS[2], padded(entry[1])) and 1 or 0}
