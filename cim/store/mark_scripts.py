"""The scripts of marks, of what is unread and of heads; see cim.store.conversation_scripts."""

from __future__ import annotations

from cim.store.conversation_scripts import POSITIONS
from cim.store.scripts import Script

# ARGV: ms for which a device is remembered, then for each: user, 1 and the device or 0 and '', conversation, position,
# floor.
MARK = Script(
    "mark",
    POSITIONS
    + """
-- How many counted messages of others lie up to `position`: all of them but those behind it, which are told by the
-- running total, less the user's own, which are looked for as far as the last of them.
local function of_others(conversation, user, position, last, counted, own)
  local stream = 'cim:c:{' .. conversation .. '}'
  local sent, latest = string.match(own or '', '^(%d+) (%S+)$')
  local others = counted - (sent or 0)
  if position == last then return others end
  local total
  local before = redis.call('XREVRANGE', stream, position, '-', 'COUNT', 1)[1]
  local named = before and message(before)
  if named then
    total = math.abs(named.t)
  else
    local after = redis.call('XRANGE', stream, '(' .. position, '+', 'COUNT', 1)[1]
    named = after and message(after)
    if not named then return others end
    total = math.abs(named.t) - (string.sub(named.t, 1, 1) == '-' and 0 or 1)
  end
  local behind, looked, size = counted - total, 0, 0
  while latest and beyond(latest, position) and looked < 999 and size < 1048576 do
    local chunk = redis.call('XRANGE', stream, '(' .. position, latest, 'COUNT', 50)
    for _, entry in ipairs(chunk) do
      named = message(entry)
      if named then
        size = size + #named.b
        if named.s == user and string.sub(named.t, 1, 1) ~= '-' then behind = behind - 1 end
      end
      position = entry[1]
    end
    looked = looked + 50
    if #chunk < 50 then break end
  end
  return others - math.max(0, behind)
end

local function mark(i)
  local user, device, conversation = ARGV[i], ARGV[i + 1] == '1' and ARGV[i + 2], ARGV[i + 3]
  local position = later(ARGV[i + 5], ARGV[i + 4])
  local counters = 'cim:n:{' .. conversation .. '}'
  local held = redis.call('HMGET', counters, 'log', 's:' .. user, 'r:' .. user)
  local last, _, counted = log_of(conversation, held[1])
  if beyond(position, last) then position = last end
  if device then
    local marks = 'cim:m:{' .. user .. '}:' .. device
    local current = redis.call('HGET', marks, conversation) or ''
    if not beyond(position, current) then return current end
    redis.call('HSET', marks, conversation, position)
    redis.call('PEXPIRE', marks, ARGV[1])
    return position
  end
  local current = string.match(held[3] or '', '^%S+') or ''
  if not beyond(position, current) then return current end
  local others = of_others(conversation, user, position, last, counted, held[2])
  redis.call('HSET', counters, 'r:' .. user, position .. ' ' .. digits(others))
  return position
end

local answers = {}
for i = 2, #ARGV, 6 do
  local well, answer = pcall(mark, i)
  answers[#answers + 1] = well and answer or ''
end
return answers
""",
)

# ARGV: user, device, then conversations. Returns received and read of each in turn.
MARKS = Script(
    "marks",
    """
local found = {}
for i = 3, #ARGV do
  found[#found + 1] = redis.call('HGET', 'cim:m:{' .. ARGV[1] .. '}:' .. ARGV[2], ARGV[i]) or ''
  local read = redis.call('HGET', 'cim:n:{' .. ARGV[i] .. '}', 'r:' .. ARGV[1])
  found[#found + 1] = string.match(read or '', '^%S+') or ''
end
return found
""",
)

# ARGV: user, device, limit, the oldest activity to give (ms), the cursor's activity and name or '' and '', ms for
# which a device is remembered, then for each group: conversation, floor.
# Returns the cursor of the next page or '', how many members of the index were no conversations, and the heads:
# conversation, latest, received, read, unread, active.
HEADS = Script(
    "heads",
    POSITIONS
    + """
local user, limit, oldest = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local guest = ARGV[2] == 'guest'
local cursor = ARGV[6] ~= '' and {active = tonumber(ARGV[5]), name = ARGV[6]}
local index, marks = 'cim:a:{' .. user .. '}', 'cim:m:{' .. user .. '}:' .. ARGV[2]
if not cursor then redis.call('PEXPIRE', marks, ARGV[7]) end

-- Newest first; Redis has those of one moment in the reverse order of their bytes, which is not that of `<` here.
local function precedes(one, other)
  if one.active ~= other.active then return one.active > other.active end
  for i = 1, math.min(#one.name, #other.name) do
    local byte, other_byte = string.byte(one.name, i), string.byte(other.name, i)
    if byte ~= other_byte then return byte > other_byte end
  end
  return #one.name > #other.name
end

local groups = {}
if #ARGV > 7 then
  local names, floors = {}, {}
  for i = 8, #ARGV, 2 do
    names[#names + 1] = ARGV[i]
    floors[#floors + 1] = ARGV[i + 1]
  end
  for i, active in ipairs(redis.call('ZMSCORE', 'cim:ga', unpack(names))) do
    local group = {name = names[i], active = tonumber(active or 0), floor = floors[i]}
    if active and group.active >= oldest and not (cursor and not precedes(cursor, group)) then
      groups[#groups + 1] = group
    end
  end
  table.sort(groups, precedes)
end

local rank = 0
if cursor then
  local high = redis.call('ZCARD', index)
  while rank < high do
    local middle = math.floor((rank + high) / 2)
    local found = redis.call('ZREVRANGE', index, middle, middle, 'WITHSCORES')
    if precedes(cursor, {name = found[1], active = tonumber(found[2])}) then high = middle else rank = middle + 1 end
  end
end
local people = {}
local slice = redis.call('ZREVRANGE', index, rank, rank + 100, 'WITHSCORES')
for i = 1, #slice, 2 do
  if tonumber(slice[i + 1]) < oldest then break end
  people[#people + 1] = {name = slice[i], active = tonumber(slice[i + 1]), floor = ''}
end

local function head(candidate)
  local held = redis.call('HMGET', 'cim:n:{' .. candidate.name .. '}', 'log', 's:' .. user, 'r:' .. user)
  local last, _, counted = log_of(candidate.name, held[1])
  local received = redis.call('HGET', marks, candidate.name) or ''
  local read, others = string.match(held[3] or '', '^(%S+) (%d+)$')
  local of_others = counted - (string.match(held[2] or '', '^%d+') or 0)
  -- Guests are shown what others say, and mark nothing as read.
  if guest and (of_others <= 0 or not beyond(last, later(received, candidate.floor))) then return nil end
  local unread = of_others - (others or 0)
  if unread > 0 then
    unread = math.min(unread, 999, redis.call('XLEN', 'cim:c:{' .. candidate.name .. '}'))
  end
  if unread <= 0 and not beyond(last, later(received, candidate.floor)) then return nil end
  return {candidate.name, last, received, read or '', math.max(unread, 0), digits(candidate.active)}
end

local heads, strange, looked, from_groups, from_people, at = {}, 0, 0, 1, 1, nil
while looked < 100 and #heads < limit do
  local group, other = groups[from_groups], people[from_people]
  if not group and not other then break end
  if group and not (other and precedes(other, group)) then
    at, from_groups = group, from_groups + 1
  else
    at, from_people = other, from_people + 1
  end
  looked = looked + 1
  if at == other and not string.match(at.name, '^p:[1-9]%d*:[1-9]%d*$') then
    strange = strange + 1
  else
    local well, found = pcall(head, at)
    if well then heads[#heads + 1] = found else strange = strange + 1 end
  end
end
local more = groups[from_groups] or people[from_people]
return {more and at and digits(at.active) .. ' ' .. at.name or '', strange, heads}
""",
)
