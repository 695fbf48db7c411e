-- Looks at the record of the epoch, and begins a new one if what is stored may have gone back or been replaced.
-- KEYS: the record. ARGV: the highest number that this route has seen, 1 to begin a new epoch in any case, 1 if no earlier
-- release can have written here.
-- Returns the epoch's number, its beat, why it was begun by this call, or `` if it was not, and which process with which
-- history served the same data in the epoch before, or `` if it was not the same.
local parts = redis.call('TIME')
local now = parts[1] * 1000 + math.floor(parts[2] / 1000)
local function digits(number) return string.format('%.0f', number) end
local function of(section, name)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, name .. ':(%S+)') or ''
end
local run, history = of('server', 'run_id'), of('replication', 'master_replid')
local held = redis.call('HMGET', KEYS[1], 'number', 'beat', 'run', 'history', 'once', 'was')
local number, beat, seen = tonumber(held[1] or ''), tonumber(held[2] or ''), tonumber(ARGV[1])
local why = not (number and beat) and 'there is no record of its epoch'
            or beat < seen and 'it is as it was before'  -- which the others need not mean
            or run ~= '' and held[3] ~= run and 'another process serves it'
            or run ~= '' and held[4] ~= history and 'its history is another one'
            or ARGV[2] == '1' and 'nothing tells whether it is still the same process'
            or ''
local was = held[6] or ''
if why ~= '' then was = number and beat and beat >= seen and (held[3] or '') .. ' ' .. (held[4] or '') or '' end
-- Whatever becomes of clocks, these numbers only grow.
beat = math.max(now, (beat or 0) + 1, seen + 1)
-- What was here before may have been noted by an earlier release, which has a key for each message (once.lua).
if not held[5] then
  local fresh = ARGV[3] == '1' or not held[1] and redis.pcall('DBSIZE') == 0
  redis.call('HSET', KEYS[1], 'once', fresh and 0 or digits(now))
end
if why ~= '' then
  number = beat
  redis.call('HSET', KEYS[1], 'number', digits(number), 'beat', digits(beat), 'run', run, 'history', history, 'was', was)
else
  redis.call('HSET', KEYS[1], 'beat', digits(beat))
end
return {digits(number), digits(beat), why, was}
