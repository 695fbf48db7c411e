-- KEYS: stream, counters, recalled, edited.
-- ARGV: conversation, after, before, limit, floor, the oldest time to return (ms), the most bytes to return.
-- Returns the last position, the position up to which it read, 1 if there is more, 1 if anything had expired, how many
-- entries were not ours; and of the messages, in the order in which they were read, the positions, the bodies, and which
-- are not read as they are stored: their places in these lists, 1 if recalled, and the body of the last edit; and the
-- position before the oldest.
local stream, recalled = KEYS[1], KEYS[3]
local recalls, edits = redis.call('EXISTS', recalled) == 1, redis.call('EXISTS', KEYS[4]) == 1
local backwards, limit, oldest, most = ARGV[3] ~= '', tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local last = log_of(ARGV[1], redis.call('HGET', KEYS[2], 'log'))
local start, stop = later(ARGV[2], ARGV[5]), last
local found, bodies, revised, oldest_found = {}, {}, {}, nil
local size, looked, strange, expired, more, done = 0, 0, 0, 0, 0, false
local upto = start
if last == '' or not backwards and not beyond(last, start) then return {last, last, 0, 0, 0, {}, {}, {}, ''} end
if backwards then start, stop = ARGV[3], ARGV[5] end

-- Returns the body of the last edit of the text at a position, or false.
local function edit_of(position)
  local text = padded(position)
  local held = redis.call('ZRANGEBYLEX', KEYS[4], '[' .. text .. ' ', '(' .. text .. '!')[1]
  local by = held and string.sub(held, #text + 2)
  local entry = by and redis.call('XRANGE', stream, by, by)[1]
  local named = entry and message(entry)
  return named and named.b or false
end

-- Returns the body of an entry and when it was sent, or nil if it is not ours.
local function body_of(entry)
  local words = entry[2]
  if words[1] == 's' and words[3] == 'w' and words[5] == 't' and words[7] == 'b' and tonumber(words[6]) then
    return words[8], tonumber(words[4])  -- as append.lua writes it
  end
  local named = message(entry)
  if named then return named.b, tonumber(named.w) end
end

while not done do
  local chunk
  local count = math.min(limit - #found + 1, 33)
  if backwards then
    chunk = redis.call('XREVRANGE', stream, '(' .. start, stop == '' and '-' or '(' .. stop, 'COUNT', count)
  else
    chunk = redis.call('XRANGE', stream, start == '' and '-' or '(' .. start, stop, 'COUNT', count)
  end
  done = #chunk < count
  for _, entry in ipairs(chunk) do
    local body, sent_at = body_of(entry)
    local old = sent_at and sent_at < oldest
    if old and backwards then
      expired, done = 1, true
      break
    end
    if #found >= limit or size >= most or looked >= limit + 1000 then
      more, done = 1, true
      break
    end
    if old then
      expired = 1
    elseif sent_at then
      local position = entry[1]
      local recall = recalls and redis.call('ZSCORE', recalled, padded(position))
      local edit = edits and edit_of(position)
      size = size + #body + (edit and #edit or 0)
      if size > most and #found > 0 then
        more, done = 1, true
        break
      end
      found[#found + 1], bodies[#bodies + 1] = position, body
      if recall or edit then
        local at = #revised
        revised[at + 1], revised[at + 2], revised[at + 3] = #found, recall and 1 or 0, edit
      end
      if backwards or #found == 1 then oldest_found = entry end
    else
      strange = strange + 1
    end
    looked = looked + 1
    start = entry[1]
    upto = start
  end
end
return {last, more == 1 and upto or last, more, expired, strange, found, bodies, revised,
        oldest_found and previous(oldest_found[1], fields(oldest_found)) or ''}
