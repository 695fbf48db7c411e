-- Looks at Redis's clock, and counts steady time on (cim/store/rules/clock.py, whose rule this is).
-- KEYS: the record.
-- ARGV: what the clock should say (ms), or `` if the caller does not know.
-- Returns the record: steady time, the clock, fresh, aged, since.
local parts = redis.call('TIME')
local clock = parts[1] * 1000 + math.floor(parts[2] / 1000)
local function digits(number) return string.format('%.0f', number) end

local function looked(held, expected)
  local passed = clock - held.clock
  local counted = expected and math.abs(clock - expected) <= STEP_MS
  local time = held.time
  if passed >= 0 and passed <= STEP_MS or counted and passed > 0 then time = time + passed end
  local fresh, aged, since = held.fresh, held.aged, held.since
  if fresh + aged == 0 then
    since = time
  elseif time - since >= BELIEF_MS then
    time = time + aged
    fresh, aged, since = 0, fresh, time
  end
  local lead = clock - time
  if math.abs(lead) <= STEP_MS then
    time = math.max(time, clock)
    return {time = time, fresh = 0, aged = 0, since = time}
  end
  local ahead = math.max(0, lead)
  if ahead < fresh + aged then aged = math.min(aged, ahead) end
  return {time = time, fresh = ahead - aged, aged = aged, since = since}
end

local record = redis.call('HMGET', KEYS[1], 'time', 'clock', 'fresh', 'aged', 'since')
local held = {}
for i, name in ipairs({'time', 'clock', 'fresh', 'aged', 'since'}) do held[name] = tonumber(record[i] or '') end
if held.time and held.clock then
  held = looked({time = held.time, clock = held.clock, fresh = held.fresh or 0, aged = held.aged or 0,
                 since = held.since or held.time}, tonumber(ARGV[1]))
else
  -- Routes of earlier releases, which may still run, go by the clock as it is.
  held = {time = clock, fresh = 0, aged = 0, since = clock}
end
local found = {digits(held.time), digits(clock), digits(held.fresh), digits(held.aged), digits(held.since)}
-- A Redis that takes no writes at the moment tells the time all the same.
redis.pcall('HSET', KEYS[1], 'time', found[1], 'clock', found[2], 'fresh', found[3], 'aged', found[4], 'since', found[5])
return found
