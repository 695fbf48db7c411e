-- KEYS: for each the conversation's counters, and the device's marks or the counters again.
-- ARGV: ms for which a device is remembered, then for each: user, 1 for a received mark or 0 for a read mark,
-- conversation, position, floor.

-- Returns how many counted messages of others are up to `position`: all but those behind it, by the running total,
-- minus the user's own, which are searched for up to the last of them.
local function of_others(conversation, user, position, last, counted, own)
  local stream = STREAM .. '{' .. conversation .. '}'
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
  while latest and beyond(latest, position) and looked < MAX_UNREAD and size < 1048576 do
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

local function mark(i, counters, marks)
  local user, received, conversation = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2]
  local position = later(ARGV[i + 4], ARGV[i + 3])
  local held = redis.call('HMGET', counters, 'log', 's:' .. user, 'r:' .. user, 'v:' .. user)
  local last, _, counted = log_of(conversation, held[1])
  if beyond(position, last) then position = last end
  if received then
    local current = redis.call('HGET', marks, conversation) or ''
    if not beyond(position, current) then return current end
    redis.call('HSET', marks, conversation, position)
    redis.call('PEXPIRE', marks, ARGV[1])
    -- What reached a device counts as read where nothing was ever marked as read (history.lua).
    if not held[3] and string.sub(conversation, 1, 2) == 'p:' and beyond(position, held[4] or '') then
      redis.call('HSET', counters, 'v:' .. user, position)
    end
    return position
  end
  local current = string.match(held[3] or '', '^%S+') or ''
  if not beyond(position, current) then return current end
  local others = of_others(conversation, user, position, last, counted, held[2])
  redis.call('HSET', counters, 'r:' .. user, position .. ' ' .. digits(others))
  return position
end

local answers = {}
for i = 1, #KEYS, 2 do
  local well, answer = pcall(mark, (i - 1) / 2 * 5 + 2, KEYS[i], KEYS[i + 1])
  answers[#answers + 1] = well and answer or ''
end
return answers
