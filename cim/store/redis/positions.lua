local call = redis.call
local function numbers(position)  -- '' is before the first
  local epoch, n = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(epoch or 0), tonumber(n or 0)
end
local function beyond(one, other)
  local epoch, n = numbers(one)
  local other_epoch, other_n = numbers(other)
  return epoch > other_epoch or epoch == other_epoch and n > other_n
end
local function later(one, other) return beyond(one, other) and one or other end
-- Returns the position up to which a member, by its record, may not read.
local function floor_of(record) return string.match(record, '^%d (.*)$') or '' end
local function digits(number) return string.format('%d', number) end
-- Returns a key whose byte order is the order of positions.
local function padded(position)
  local epoch, n = string.match(position, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #epoch) .. epoch .. '-' .. string.rep('0', 20 - #n) .. n
end
local function top(conversation)
  local info = redis.pcall('XINFO', 'STREAM', STREAM .. '{' .. conversation .. '}')
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] ~= '0-0' and info[i + 1] or '' end
  end
  return ''
end
-- Parses the field `log` of the counters: last position, total, counted, indexed.
local function log_of(conversation, held)
  if held then return string.match(held, '^(%S+) (%d+) (%d+) (%d+)$') end
  return top(conversation), 0, 0, 0
end
local function fields(entry)
  local named = {}
  for i = 1, #entry[2], 2 do named[entry[2][i]] = entry[2][i + 1] end
  return named
end
-- Parses an entry with the fields that append.lua writes; other entries are not ours.
local function message(entry)
  local named = fields(entry)
  return named.b and named.s and tonumber(named.w) and tonumber(named.t) and named or nil
end
-- Returns the entry's `p`, or else the number before its own.
local function previous(position, named)
  if named.p then return named.p end
  local epoch, n = numbers(position)
  return string.format('%d-%d', epoch, n - 1)
end
