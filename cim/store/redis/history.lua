-- What conversations and senders hold, what is trimmed, and who is refused (cim/store/bounds.py).
--
-- Below half of a bound, which most conversations never reach, only bytes are counted, in the field `bytes` of a
-- conversation's counters: the number of the last message that is counted, and the bytes. From there on there are two
-- more kinds of fields instead. `held`: the position up to which everything is counted, entries, bytes, and the
-- speakers: day, today, before. `h:<user>`: entries, bytes, the day of the last entry, a position, and the entries
-- and bytes behind that: what the other one of a private conversation has not read, if it is that one's mark.
--
-- An entry with a field `f` counts to its conversation alone (2), or nowhere (1).
local now, kept, kept_ms, kept_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])

-- What the quotas of users pay for, as far as it was read.
local spent = {}

-- Has a user's quota pay for so many bytes; returns false if it does not.
local function pay(user, size)
  spent[user] = nil
  local key, day = STORED .. '{' .. user .. '}', math.floor(now / DAY_MS)
  local all = call('HINCRBY', key, 'all', size)
  call('HINCRBY', key, day, size)
  call('PEXPIRE', key, kept_ms + 2 * DAY_MS)
  if size <= 0 or all <= tonumber(ARGV[7]) then return true end
  local days, oldest = call('HGETALL', key), math.floor((now - kept_ms) / DAY_MS)
  all = 0
  for i = 1, #days, 2 do
    local its = tonumber(days[i])
    if its and its < oldest then call('HDEL', key, days[i]) elseif its then all = all + days[i + 1] end
  end
  call('HSET', key, 'all', digits(all))
  if all <= tonumber(ARGV[7]) then return true end
  call('HINCRBY', key, 'all', -size)
  call('HINCRBY', key, day, -size)
  return false
end

-- Returns whether it is worth asking whether a user's quota has a block left.
local function is_nearly_spent(user)
  local all = spent[user]
  if not all then
    all = tonumber(call('HGET', STORED .. '{' .. user .. '}', 'all') or 0)
    spent[user] = all
  end
  return all + BLOCK > tonumber(ARGV[7])
end

-- Returns the functions for conversations in which everything is counted. Few messages need any, and even to
-- define a function takes time.
local made
local function history()
  if made then return made end
  local this_day, left = math.floor(now / DAY_MS), STEP_BYTES

  local function expired(entry) return now - (tonumber(fields(entry).w) or 0) > kept_ms end

  -- Forgets which texts before a position were recalled or edited.
  local function forget_before(tag, position)
    for _, key in ipairs({RECALLED, EDITED}) do
      call('ZREMRANGEBYLEX', key .. tag, '-', '(' .. padded(position))
    end
  end

  -- Removes the oldest entries of a conversation that have expired, but not all of it. Returns how many bytes they had.
  local function trim_expired(stream, tag)
    local first, bytes = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1], 0
    if first and expired(first) then
      local oldest = call('XRANGE', stream, '-', '+', 'COUNT', 65)
      for i, entry in ipairs(oldest) do
        first = entry
        if i == #oldest or not expired(entry) then break end
        bytes = bytes + #(fields(entry).b or '')
      end
      call('XTRIM', stream, 'MINID', first[1])
    end
    if first and call('EXISTS', RECALLED .. tag, EDITED .. tag) > 0 then forget_before(tag, first[1]) end
    return bytes
  end

  local function holding(text)
    local entries, bytes, day, upto, behind, behind_bytes =
      string.match(text or '0 0 0 0-0 0 0', '^(%d+) (%d+) (%d+) (%S+) (%d+) (%d+)$')
    return {entries = tonumber(entries), bytes = tonumber(bytes), day = tonumber(day),
            upto = upto, behind = {entries = tonumber(behind), bytes = tonumber(behind_bytes)}}
  end
  -- Returns what a user holds; it is read once, and written when the conversation is closed.
  local function holding_of(talk, user)
    local own = talk.holdings[user]
    if not own then
      own = holding(call('HGET', talk.counters, 'h:' .. user))
      talk.holdings[user] = own
    end
    return own
  end

  -- Counting

  local function turn(held, day)
    if day > held.day then
      held.before = day == held.day + 1 and held.today or 0
      held.today, held.day = 0, day
    end
  end
  local function hold(held, own, size, day)
    turn(held, day)
    if own.day < held.day then
      if own.day == held.day - 1 and held.before > 0 then held.before = held.before - 1 end
      held.today, own.day = held.today + 1, held.day
    end
    for _, one in ipairs({held, own, own.behind}) do
      one.entries, one.bytes = one.entries + 1, one.bytes + size
    end
  end
  local function lose(one, entries, bytes)
    one.entries, one.bytes = math.max(0, one.entries - entries), math.max(0, one.bytes - bytes)
  end

  -- Calls `see` with what counts behind a position, up to another one. Returns the last position that it saw, and
  -- whether it saw all: Redis is not to stand still for that, so one call of the script sees some, the next ones go on.
  local function walk(stream, from, upto, see)
    while left > 0 do
      local chunk = call('XRANGE', stream, from == '' and '-' or '(' .. from, upto, 'COUNT', 25)
      for _, entry in ipairs(chunk) do
        local named = message(entry)
        left = left - STEP_ENTRY - #(named and named.b or '')
        if named and named.f ~= '1' then see(named) end
        from = entry[1]
      end
      if #chunk < 25 then return from, true end
    end
    return from, false
  end

  -- Counts what is behind `held.upto`: what an earlier release appended, and what the store adds by itself.
  local function count_up(talk, held)
    held.upto, held.complete = walk(talk.stream, held.upto, '+', function(named)
      hold(held, holding_of(talk, named.s), #named.b, math.floor(named.w / DAY_MS))
    end)
  end

  -- Begins to count a conversation, or counts it anew.
  local function count_all(talk)
    for _, name in ipairs(call('HKEYS', talk.counters)) do
      if string.sub(name, 1, 2) == 'h:' then call('HDEL', talk.counters, name) end
    end
    talk.held = {upto = '', entries = 0, bytes = 0, day = 0, today = 0, before = 0}
    talk.holdings = {}
    count_up(talk, talk.held)
  end

  local function is_beyond(held, size) return held.entries >= kept + SLACK or held.bytes + size > kept_bytes end

  -- Prepares a conversation, given the field `held`.
  local function begin(talk, text)
    local upto, entries, bytes, day, today, before =
      string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    talk.held = {upto = upto, entries = tonumber(entries), bytes = tonumber(bytes),
                 day = tonumber(day), today = tonumber(today), before = tonumber(before)}
    talk.holdings = {}
  end

  -- Returns what a conversation holds, and what the sender holds who says something of so many bytes.
  local function open(talk, sender, size)
    talk.held.complete = true
    if talk.held.upto ~= talk.last then count_up(talk, talk.held) end
    if is_beyond(talk.held, size) and call('XLEN', talk.stream) < talk.held.entries then
      count_all(talk)  -- an earlier release trimmed it, or it was lost
    end
    if talk.held.complete then talk.held.upto = talk.last end
    return talk.held, holding_of(talk, sender)
  end

  local function appended(held, own, size, position)
    if not held.complete then return end
    hold(held, own, size, this_day)
    held.upto = position
  end

  -- Writes what a conversation and its senders hold.
  local function close(talk)
    local held = talk.held
    local words = {'held', table.concat({held.upto, held.entries, held.bytes, held.day, held.today, held.before}, ' ')}
    for user, own in pairs(talk.holdings) do
      if own.entries > 0 or own.day >= this_day - 1 then
        words[#words + 1], words[#words + 2] = 'h:' .. user, table.concat(
          {own.entries, own.bytes, own.day, own.upto, own.behind.entries, own.behind.bytes}, ' ')
      else
        call('HDEL', talk.counters, 'h:' .. user)
      end
      if #words > 1000 then
        call('HSET', talk.counters, unpack(words))
        words = {'held', words[2]}
      end
    end
    call('HSET', talk.counters, unpack(words))
  end

  -- Gives a user's quota back what was trimmed of a day.
  local function give_back(user, day, size)
    local key = STORED .. '{' .. user .. '}'
    size = math.min(size, tonumber(call('HGET', key, day) or 0))
    spent[user] = nil
    if size > 0 then
      call('HINCRBY', key, day, -size)
      if call('HINCRBY', key, 'all', -size) <= 0 then call('DEL', key) end
    end
  end

  -- Trimming

  -- Returns, for both people of a conversation, up to where the other one has read what they said. Who never marks
  -- anything as read there, as guests and many bots do, has read what reached a device.
  local function read_marks(talk)
    local low, high = talk.low, talk.high
    local marks = call('HMGET', talk.counters, 'r:' .. low, 'v:' .. low, 'r:' .. high, 'v:' .. high)
    local function mark(read, received) return string.match(read or '', '^%S+') or received or '' end
    return {[low] = mark(marks[3], marks[4]), [high] = mark(marks[1], marks[2])}
  end

  -- Removes the oldest entries that have expired, and those that nothing protects if there is to be room for so many
  -- bytes more of a sender: some at a time, so that it keeps up at little cost. Returns the protected entry at which it
  -- stopped. What the other one of a private conversation said goes only if it `may` go for the sender.
  local function trim(talk, held, sender, size, may)
    local most, most_bytes = kept, kept_bytes
    if not held.complete then return end
    if not size then
      most, most_bytes, size = math.huge, math.huge, 0
    elseif held.bytes + size > kept_bytes then
      most_bytes = kept_bytes - math.floor(kept_bytes / BYTES_SLACK)
    end
    local back, marks, first, stuck, gone = {}, nil, nil, nil, false
    local oldest = call('XRANGE', talk.stream, '-', '+', 'COUNT', SLACK + 2)
    for i, entry in ipairs(oldest) do
      first = entry
      local named, old = message(entry), expired(entry)
      if not old then
        if held.entries <= most and held.bytes + size <= most_bytes then break end
        if talk.low and named then
          marks = marks or read_marks(talk)
          if beyond(entry[1], marks[named.s] or entry[1]) or not may and named.s ~= sender then stuck = named end
        elseif named and now - named.w < DAY_MS then
          stuck = named
        end
        if stuck then break end
      end
      if i == #oldest then break end
      gone = true
      if named and named.f ~= '1' then
        local user, length = named.s, #named.b
        local own = holding_of(talk, user)
        lose(held, 1, length)
        lose(own, 1, length)
        if beyond(entry[1], own.upto) then lose(own.behind, 1, length) end
        if not old and not named.f then
          local day = user .. ' ' .. math.floor(named.w / DAY_MS)
          back[day] = (back[day] or 0) + length + MESSAGE_BYTES
        end
      end
    end
    if gone then
      call('XTRIM', talk.stream, 'MINID', first[1])
      for day, length in pairs(back) do give_back(string.match(day, '^%d+'), string.match(day, '%d+$'), length) end
      forget_before(talk.tag, first[1])
    end
    return stuck
  end

  -- Refusing

  local function over_share(held, own, size, senders)
    local shares = math.min(math.max(senders, 1), MOST_SHARES)
    return held.entries >= kept + SLACK and own.entries * shares >= kept
      or held.bytes + size > kept_bytes and (own.bytes + size) * shares > kept_bytes
  end

  -- Returns what a sender holds in a private conversation that the other one has not read, of all kinds; nil if it
  -- takes another call.
  local function unread(talk, held, own, sender)
    local mark = read_marks(talk)[sender]
    if mark == '' then mark = '0-0' end
    if mark == own.upto then return own.behind end
    local complete = true
    if not beyond(held.upto, mark) then
      own.upto, own.behind = mark, {entries = 0, bytes = 0}
    else
      if beyond(own.upto, mark) then  -- the first read mark takes the place of what reached a device
        own.upto, own.behind = '0-0', {entries = own.entries, bytes = own.bytes}
      end
      own.upto, complete = walk(talk.stream, own.upto, mark, function(named)
        if named.s == sender then lose(own.behind, 1, #named.b) end
      end)
      if complete then own.upto = mark end
    end
    return complete and own.behind
  end

  -- Makes room in a conversation if it is beyond its bounds. Returns why a sender is refused, or nil.
  local function make_room(talk, held, own, sender, size)
    if not (held.complete and is_beyond(held, size)) then return nil end
    turn(held, this_day)
    local low = talk.low
    local senders = low and PEOPLE or held.today + held.before + (own.day < held.day - 1 and 1 or 0)
    local behind = low and unread(talk, held, own, sender)
    if low and not behind then return nil end
    local may = low and not over_share(held, behind, size, senders)
    local stuck = trim(talk, held, sender, size, may)
    if not stuck or not is_beyond(held, size) then return nil end
    local seconds = low and 0 or math.max(1, math.ceil((tonumber(stuck.w) + DAY_MS - now) / 1000))
    if over_share(held, own, size, senders) then return '-share ' .. seconds end
    if held.entries >= STRETCH * kept or held.bytes + size > STRETCH * kept_bytes then return '-full ' .. seconds end
  end

  made = {begin = begin, open = open, appended = appended, count_all = count_all, close = close, trim = trim,
          trim_expired = trim_expired, make_room = make_room}
  return made
end
