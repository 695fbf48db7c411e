-- KEYS: stream, counters, recalled, edited.
-- ARGV: conversation, after, before, limit, floor, the oldest time to return (ms), the most bytes to return.
-- Returns the last position, the position up to which it read, 1 if there is more, 1 if anything had expired, how many
-- entries were not ours, and the messages: position, previous, body, whether it was recalled, the body of its last edit.
local stream, recalled = KEYS[1], KEYS[3]
local edits = redis.call('EXISTS', KEYS[4]) == 1
local backwards, limit, oldest, most = ARGV[3] ~= '', tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local last = log_of(ARGV[1], redis.call('HGET', KEYS[2], 'log'))
local start, stop = later(ARGV[2], ARGV[5]), last
local given, size, looked, strange, expired, more, done = {}, 0, 0, 0, 0, 0, false
local upto = start
if last == '' or not backwards and not beyond(last, start) then return {last, last, 0, 0, 0, {}} end
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
      local edit = edits and edit_of(entry[1])
      size = size + #named.b + (edit and #edit or 0)
      if size > most and #given > 0 then
        more, done = 1, true
        break
      end
      given[#given + 1] = {entry[1], previous(entry[1], named), named.b,
                           redis.call('ZSCORE', recalled, padded(entry[1])) and 1 or 0, edit}
    else
      strange = strange + 1
    end
    looked = looked + 1
    start = entry[1]
    upto = start
  end
end
return {last, more == 1 and upto or last, more, expired, strange, given}
