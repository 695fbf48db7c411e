-- KEYS: stream, recalled, the group's members or whom the reader's partner blocks; ARGV: position, the oldest time to
-- return (ms), the reader or 0, 1 if it has a partner.
if ARGV[3] ~= '0' then
  local record = redis.call('HGET', KEYS[3], ARGV[3])
  if ARGV[4] == '1' then
    if record then return false end
  elseif not record or not beyond(ARGV[1], floor_of(record)) then
    return false
  end
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
local named = entry and message(entry)
if not named or tonumber(named.w) < tonumber(ARGV[2]) then return false end
return {entry[1], previous(entry[1], named), named.b, redis.call('ZSCORE', KEYS[2], padded(entry[1])) and 1 or 0}
