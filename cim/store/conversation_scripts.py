"""The scripts of conversations in Redis; cim.store.redis_conversations says which keys there are and what they hold.

They make the names of their keys themselves. All keys of one message but the two users' indexes and the groups' one
carry the tag of its conversation: a Redis Cluster would need a call for each slot, and the indexes written before.
"""

from __future__ import annotations

from cim.store.scripts import Script

POSITIONS = """
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
local function digits(number) return string.format('%.0f', number) end
-- What sorts by bytes as positions do.
local function padded(position)
  local epoch, n = string.match(position, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #epoch) .. epoch .. '-' .. string.rep('0', 20 - #n) .. n
end
local function top(conversation)
  local info = redis.pcall('XINFO', 'STREAM', 'cim:c:{' .. conversation .. '}')
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] ~= '0-0' and info[i + 1] or '' end
  end
  return ''
end
-- From the field `log` of the counters: last position, total, counted, indexed.
local function log_of(conversation, held)
  if held then return string.match(held, '^(%S+) (%d+) (%d+) (%d+)$') end
  return top(conversation), 0, 0, 0
end
local function fields(entry)
  local named = {}
  for i = 1, #entry[2], 2 do named[entry[2][i]] = entry[2][i + 1] end
  return named
end
-- An entry with the fields that APPEND writes: others are not ours.
local function message(entry)
  local named = fields(entry)
  return named.b and named.s and tonumber(named.w) and tonumber(named.t) and named or nil
end
-- The entry's own `p`, or else the number before its own.
local function previous(position, named)
  if named.p then return named.p end
  local epoch, n = numbers(position)
  return digits(epoch) .. '-' .. digits(n - 1)
end
"""

# ARGV: epoch, now (ms), messages to keep, ms to keep, messages to keep for everyone, then for each: conversation,
# sender, client_id, digest, body, sent_at, 1 when it counts, the position that it recalls.
# Each answer is `position previous version`, or a list for a repetition, or `-` and why not, or `!` and an error.
APPEND = Script(
    "append",
    POSITIONS
    + """
local epoch, now, kept, kept_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local time
local function clock()
  if not time then
    local parts = redis.call('TIME')
    time = parts[1] * 1000 + math.floor(parts[2] / 1000)
  end
  return time
end

-- Every 16th message looks at the oldest, and removes at most 64 for their age: that keeps up, and costs little.
local function trim(stream, tag, most)
  redis.call('XTRIM', stream, 'MAXLEN', '~', most)
  local function expired(entry) return now - (tonumber(fields(entry).w) or 0) > kept_ms end
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if first and expired(first) then
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 65)
    for i, entry in ipairs(oldest) do
      first = entry
      if not expired(entry) then break end
    end
    redis.call('XTRIM', stream, 'MINID', first[1])
  end
  if first and redis.call('EXISTS', 'cim:x:' .. tag) == 1 then
    redis.call('ZREMRANGEBYLEX', 'cim:x:' .. tag, '-', '(' .. padded(first[1]))
  end
end

local function answer_again(stream, tag, position, before, sent_at, version)
  local entry = redis.call('XRANGE', stream, position, position)[1]
  local body = entry and fields(entry).b or false
  if before == '=' then before = previous(position, {}) end
  return {position, before, sent_at, version, body, redis.call('ZSCORE', 'cim:x:' .. tag, padded(position))}
end

-- The position after `after`.
local function follow(after)
  local last_epoch, last_n = numbers(after)
  local new_epoch = math.max(epoch, after == '' and clock() or last_epoch)
  return digits(new_epoch) .. '-' .. digits(new_epoch == last_epoch and last_n + 1 or 1)
end

-- Returns what is wrong, or nil.
local function add(stream, position, sender, sent_at, running, body, before)
  if before then
    return redis.pcall('XADD', stream, position, 's', sender, 'w', sent_at, 't', running, 'b', body, 'p', before).err
  end
  return redis.pcall('XADD', stream, position, 's', sender, 'w', sent_at, 't', running, 'b', body).err
end

local function append(i)
  local conversation, sender, client_id, digest = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local sent_at, counts = ARGV[i + 5], ARGV[i + 6] == '1'
  local tag = '{' .. conversation .. '}'
  local everyone, version = conversation == 'g:0', '0'
  local low, high = string.match(conversation, '^p:(%d+):(%d+)$')
  if everyone then
    counts = false
  elseif not low then
    version = redis.call('HGET', 'cim:g:' .. tag, 'version')
    if not version then return '-not-found' end
    if redis.call('HEXISTS', 'cim:gm:' .. tag, sender) == 0 then return '-forbidden' end
  end
  local stream, counters = 'cim:c:' .. tag, 'cim:n:' .. tag
  local held = redis.call('HMGET', counters, 'log', 's:' .. sender)
  local last, total, counted, indexed = log_of(conversation, held[1])
  total = total + 1
  if counts then counted = counted + 1 end
  local position = follow(last)

  -- The index first: what was appended must be found. To the second, so that not every message pays for it.
  if not everyone and sent_at - indexed >= 1000 then
    indexed = sent_at
    if low then
      redis.call('ZADD', 'cim:a:{' .. low .. '}', 'GT', sent_at, conversation)
      redis.call('ZADD', 'cim:a:{' .. high .. '}', 'GT', sent_at, conversation)
    else
      redis.call('ZADD', 'cim:ga', 'GT', sent_at, conversation)
    end
  end

  local once = 'cim:d:' .. tag .. ':' .. sender .. ':' .. client_id
  local before = (last == '' or previous(position, {}) ~= last) and last
  local function become() return table.concat({position, before or '=', sent_at, total, digest}, ' ') end
  local earlier = redis.call('SET', once, become(), 'NX', 'GET', 'PX', 86400000)
  if earlier then
    local its, its_before, its_time, number, its_digest = string.match(earlier, '^(%S+) (%S*) (%d+) (%d+) (.*)$')
    if its and total - number <= 10000 then
      if its_digest ~= digest then return '-conflict' end
      return answer_again(stream, tag, its, its_before, its_time, version)
    end
    redis.call('SET', once, become(), 'PX', 86400000)
  end
  local running = (counts and '' or '-') .. digits(counted)
  local refused = add(stream, position, sender, sent_at, running, ARGV[i + 4], before)
  if refused then  -- someone else wrote to the stream?
    position, before = follow(later(last, top(conversation))), last
    redis.call('SET', once, become(), 'PX', 86400000)
    refused = add(stream, position, sender, sent_at, running, ARGV[i + 4], before)
    if refused then
      redis.call('DEL', once)
      return '!' .. refused
    end
  end
  local log = table.concat({position, total, digits(counted), indexed}, ' ')
  if counts then
    local sent = string.match(held[2] or '', '^%d+') or 0
    redis.call('HSET', counters, 'log', log, 's:' .. sender, digits(sent + 1) .. ' ' .. position)
  else
    redis.call('HSET', counters, 'log', log)
  end
  local recalls = ARGV[i + 7]
  if recalls ~= '' and redis.call('XRANGE', stream, recalls, recalls)[1] then
    redis.call('ZADD', 'cim:x:' .. tag, 0, padded(recalls))
  end
  if total % 16 == 0 then trim(stream, tag, everyone and ARGV[5] or kept) end
  return position .. ' ' .. last .. ' ' .. version
end

local answers = {}
for i = 6, #ARGV, 8 do
  local well, answer = pcall(append, i)
  if not well then answer = '!' .. (type(answer) == 'table' and answer.err or tostring(answer)) end
  answers[#answers + 1] = answer
end
return answers
""",
)

# ARGV: conversation, after, before, limit, floor, the oldest time to give (ms), most bytes to give.
# Returns the last position, the position up to which it looked, 1 when there is more, 1 when something had expired,
# how many entries were not ours, and the messages: position, previous, body, whether it was recalled.
READ = Script(
    "read",
    POSITIONS
    + """
local stream, recalled = 'cim:c:{' .. ARGV[1] .. '}', 'cim:x:{' .. ARGV[1] .. '}'
local backwards, limit, oldest, most = ARGV[3] ~= '', tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local last = log_of(ARGV[1], redis.call('HGET', 'cim:n:{' .. ARGV[1] .. '}', 'log'))
local start, stop = later(ARGV[2], ARGV[5]), last
local given, size, looked, strange, expired, more, done = {}, 0, 0, 0, 0, 0, false
local upto = start
if last == '' or not backwards and not beyond(last, start) then return {last, last, 0, 0, 0, {}} end
if backwards then start, stop = ARGV[3], ARGV[5] end
while not done do
  local chunk
  local count = math.min(limit - #given + 1, 33)
  if backwards then
    chunk = redis.call('XREVRANGE', stream, '(' .. start, stop == '' and '-' or '(' .. stop, 'COUNT', count)
  else
    chunk = redis.call('XRANGE', stream, start == '' and '-' or '(' .. start, stop, 'COUNT', count)
  end
  done = #chunk < count
  for _, entry in ipairs(chunk) do
    local named = message(entry)
    local old = named and tonumber(named.w) < oldest
    if old and backwards then
      expired, done = 1, true
      break
    end
    if #given >= limit or size >= most or looked >= limit + 1000 then
      more, done = 1, true
      break
    end
    if old then
      expired = 1
    elseif named then
      size = size + #named.b
      if size > most and #given > 0 then
        more, done = 1, true
        break
      end
      given[#given + 1] = {entry[1], previous(entry[1], named), named.b,
                           redis.call('ZSCORE', recalled, padded(entry[1])) and 1 or 0}
    else
      strange = strange + 1
    end
    looked = looked + 1
    start = entry[1]
    upto = start
  end
end
return {last, more == 1 and upto or last, more, expired, strange, given}
""",
)

ENTRY = Script(
    "entry",
    POSITIONS
    + """
local entry = redis.call('XRANGE', 'cim:c:{' .. ARGV[1] .. '}', ARGV[2], ARGV[2])[1]
local named = entry and message(entry)
if not named or tonumber(named.w) < tonumber(ARGV[3]) then return false end
return {entry[1], previous(entry[1], named), named.b,
        redis.call('ZSCORE', 'cim:x:{' .. ARGV[1] .. '}', padded(entry[1])) and 1 or 0}
""",
)

LATEST = Script(
    "latest",
    POSITIONS
    + """
local found = {}
for i, conversation in ipairs(ARGV) do
  found[i] = log_of(conversation, redis.call('HGET', 'cim:n:{' .. conversation .. '}', 'log'))
end
return found
""",
)
