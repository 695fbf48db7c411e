-- KEYS: for each message the stream of its conversation. All other keys of a message have the same tag, except the
-- indexes of users and groups: docs/architecture.md says in which order a Redis Cluster would need those.
-- ARGV: the highest number that this route has seen (epoch.lua), now (ms), messages to keep, ms to keep, messages to keep
-- for everyone, bytes to keep, a user's quota of bytes, 1 if there is no space, by how many ms messages are dated later
-- than they were sent (cim/store/clock.py), then for each message: sender, client_id, digest, body, sent_at, its effect
-- (`counts` as unread, `recalls`, `removes` as operators do, `edits` or `refers` to a text, or none; or `asked` if only
-- what became of it is asked, or `refused` if it is, for the reason that is its body), the position of that text, the
-- client_id of the sender's message that must be stored before it, 1 if it is stored even if its receiver blocks its
-- sender, and the bytes that its sender's quota is to pay for, and those if it is the first of its conversation; `log` if
-- it counts to its conversation alone, `none`, or `-` without a quota. At the end 1 if it is noted for followers of the
-- logs that a conversation has changed (followers.py).
-- Each answer is `position previous version`, a list for a repetition, `-` and the reason for a refusal, or `!` and an
-- error. All is refused if what is stored went back and no new epoch has begun.
local record = redis.call('HMGET', EPOCH, 'number', 'beat')
local epoch, beat, no_space = tonumber(record[1] or ''), tonumber(record[2] or ''), ARGV[8] == '1'
local lift, are_followers = tonumber(ARGV[9]), ARGV[#ARGV] == '1'
if not (epoch and beat) or beat < tonumber(ARGV[1]) then return redis.error_reply('EPOCH a new one must begin') end
local time
local function clock()
  if not time then
    local parts = redis.call('TIME')
    time = parts[1] * 1000 + math.floor(parts[2] / 1000)
  end
  return time
end

-- Returns the next position after `after`.
local function follow(after)
  local last_epoch, last_n = numbers(after)
  if after == '' then
    -- It may have been here before, and have been removed.
    beat = math.max(beat + 1, clock())
    redis.call('HSET', EPOCH, 'beat', digits(beat))
    return digits(beat) .. '-1'
  end
  local new_epoch = math.max(epoch, last_epoch)
  return digits(new_epoch) .. '-' .. digits(new_epoch == last_epoch and last_n + 1 or 1)
end

-- Returns what is wrong, or nil.
local function add(stream, position, sender, dated, running, body, before, charge)
  if charge == 'log' or charge == 'none' then
    return redis.pcall('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body, 'p',
                       before or previous(position, {}), 'f', charge == 'log' and 2 or 1).err
  end
  if before then
    return redis.pcall('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body, 'p', before).err
  end
  return redis.pcall('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body).err
end

-- The messages that this call stored, or found stored, by the keys that remember them.
local stored = {}

-- Returns the record of a stored message, or nil if it was too many messages ago.
local function remembered(record, total)
  local position, before, sent_at, number, digest = string.match(record, '^(%S+) (%S*) (%d+) (%d+) (.*)$')
  if position and total - number <= ONCE_MESSAGES then return position, before, sent_at, digest end
end

local function is_remembered(once, total)
  if stored[once] then return true end
  local record = redis.call('GET', once)
  return record and remembered(record, total) and true
end

-- Returns why the text at a position cannot be revised by someone who may read what is after `floor`, or nil; `any` lets
-- it be one that does not count as unread.
local function unfit(stream, tag, position, floor, any)
  if not beyond(position, floor) then return '-gone' end
  local entry = redis.call('XRANGE', stream, position, position)[1]
  local named = entry and message(entry)
  if not named or now - named.w > kept_ms then return '-gone' end
  if string.sub(named.t, 1, 1) == '-' and not any then return '-no-text' end
  if redis.call('ZSCORE', RECALLED .. tag, padded(position)) then return '-recalled' end
end

local function answer_again(stream, tag, position, before, sent_at, version, unfit)
  local entry = redis.call('XRANGE', stream, position, position)[1]
  local body = entry and fields(entry).b or false
  if before == '=' then before = previous(position, {}) end
  return {position, before, sent_at, version, body, redis.call('ZSCORE', RECALLED .. tag, padded(position)),
          unfit and 1 or 0}
end

-- Returns the answer to a message of which there is a record, or nil if that is of too many messages ago.
local function decided(record, stream, tag, total, digest, role, ref, floor, version)
  local its, its_before, its_time, its_digest = remembered(record, total)
  if not its then return nil end
  if string.sub(its_digest, 1, #digest) ~= digest then return '-conflict' end
  if its == '!' then return '-refused ' .. string.sub(its_digest, #digest + 1) end
  local reason = ref ~= '' and role ~= 'recalls' and unfit(stream, tag, ref, floor)
  return answer_again(stream, tag, its, its_before, its_time, version, reason)
end

local function is_blocked(by, sender)
  return redis.call('HEXISTS', BLOCKED .. '{' .. by .. '}', sender) == 1
end

-- Returns why a member of a group may say nothing, or nil: given its record, until when all but admins may not, and until
-- when it may not itself, 0 for ever.
local function muted_by_group(member, all, own)
  local function holds(until_) return until_ == '0' or until_ and tonumber(until_) > now end
  if holds(own) then return '-muted group ' .. own .. ' ' end
  if string.sub(member, 1, 1) == '0' and holds(all) then return '-muted all ' .. all .. ' ' end
end

-- Whether an operator mutes anybody: mostly nobody, and then no message is looked at.
local muting = redis.call('EXISTS', MUTED) == 1

-- Returns why a user may say nothing, or nil.
local function muted_by_operator(user)
  local record = redis.call('HGET', MUTED, user)
  if not record then return nil end
  local ends, reason = string.match(record, '^(%d+) %d+ (.*)$')
  if ends == '0' or ends and tonumber(ends) > now then return '-muted operator ' .. ends .. ' ' .. reason end
end

local function append(stream, i)
  local sender, client_id, digest, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local dated = lift == 0 and ARGV[i + 4] or digits(ARGV[i + 4] + lift)
  local sent_at, role, ref, after, charge = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 9]
  local removes = role == 'removes'
  if removes then role = 'recalls' end
  local counts = role == 'counts'
  local tag = string.sub(stream, #STREAM + 1)
  local conversation = string.sub(tag, 2, -2)
  local everyone, version, floor, muted = conversation == 'g:0', '0', '', nil
  local low, high = string.match(conversation, '^p:(%d+):(%d+)$')
  if everyone then
    counts, charge = false, '-'
  elseif low then
    local receiver = low == sender and high or low
    if ARGV[i + 8] ~= '1' and is_blocked(receiver, sender) then return '-blocked' end
  else
    local group = redis.call('HMGET', GROUP .. tag, 'version', 'ended', 'mute', 'm:' .. sender)
    version = group[1]
    if not version or group[2] and sender ~= '0' then return '-not-found' end
    local member = sender ~= '0' and redis.call('HGET', MEMBERS .. tag, sender)
    if not member and sender ~= '0' then return '-forbidden' end
    floor = member and floor_of(member) or ''
    if member and (group[3] or group[4]) then muted = muted_by_group(member, group[3], group[4]) end
  end
  if muting then muted = muted_by_operator(sender) or muted end
  local counters = COUNTERS .. tag
  local was = are_followers and redis.call('HMGET', counters, 'log', 's:' .. sender, 'held', 'bytes', 'noted')
    or redis.call('HMGET', counters, 'log', 's:' .. sender, 'held', 'bytes')
  local last, total, counted, indexed = log_of(conversation, was[1])
  local once = ONCE .. tag .. ':' .. sender .. ':' .. client_id
  if role == 'asked' or role == 'refused' then
    local record = redis.call('GET', once)
    local answer = record and decided(record, stream, tag, total + 1, digest, role, ref, floor, version)
    if answer or muted or role == 'asked' then return answer or muted or '-undecided' end
    -- In its place among the others, or what names it as its predecessor would overtake those before it.
    if after ~= '' and not is_remembered(ONCE .. tag .. ':' .. sender .. ':' .. after, total + 1) then
      return '-out-of-order'
    end
    local refusal = table.concat({'! ', sent_at, total + 1, digest .. body}, ' ')
    redis.call('SET', once, refusal, 'PX', ONCE_SECONDS * 1000)
    stored[once] = true
    return '-refused ' .. body
  end
  local size, held, own = #body, nil, nil
  if was[3] and charge ~= 'none' then
    held, own = history().open(stream, counters, was[3], last, sender, size)
  end
  local bytes  -- of a conversation in which nothing else is counted; nil if an earlier release appended to it
  if not (everyone or was[3]) then
    local at, there = string.match(was[4] or '0 0', '^(%d+) (%d+)$')
    if tonumber(at) == tonumber(total) then bytes = there + size end
  end
  total = total + 1
  if counts then counted = counted + 1 end
  local position = follow(last)

  local paid = tonumber(string.match(charge, total == 1 and '(%d+)$' or '^%d+'))
  local free = paid == 0 and is_nearly_spent(sender)  -- pays nothing, but nor is it stored once all is spent
  if paid == 0 then paid = nil end
  if role == 'recalls' then muted = nil end
  if after ~= '' or ref ~= '' or held or paid or free or no_space or muted then
    -- refuse before writing anything, unless it repeats a stored message
    if is_remembered(once, total) then
      paid = nil
    else
      if muted then return muted end
      if after ~= '' and not is_remembered(ONCE .. tag .. ':' .. sender .. ':' .. after, total) then
        return '-out-of-order'
      end
      local reason = ref ~= '' and unfit(stream, tag, ref, floor, everyone and removes)
      if reason and low and ARGV[i + 8] == '1' and is_blocked(low == sender and high or low, sender) then
        return '-blocked'  -- it may recall what it has said, but learns nothing
      end
      if reason then return reason end
      -- Whatever is full, a text can be recalled.
      if role == 'recalls' then
        charge, paid = charge == 'none' and charge or 'log', nil
      else
        if no_space then return '-space 0' end
        reason = held and history().make_room(stream, tag, held, own, sender, size, low, high)
        if reason then return reason end
        if paid and not pay(sender, paid) then return '-quota 0' end
        if free and not (pay(sender, BLOCK) and pay(sender, -BLOCK)) then return '-quota 0' end
      end
    end
  end

  -- The index first, so that an appended message can be found. It may lag by a second, so that few messages write it. It
  -- is set back if it was written by a clock that was ahead.
  if not everyone and (dated - indexed >= LATE_MS or indexed - dated > STEP_MS) then
    indexed = dated
    if low then
      redis.call('ZADD', ACTIVITY .. '{' .. low .. '}', dated, conversation)
      redis.call('ZADD', ACTIVITY .. '{' .. high .. '}', dated, conversation)
    else
      redis.call('ZADD', GROUP_ACTIVITY, dated, conversation)
    end
  end

  local before = (last == '' or previous(position, {}) ~= last) and last
  local function become() return table.concat({position, before or '=', sent_at, total, digest}, ' ') end
  local earlier = redis.call('SET', once, become(), 'NX', 'GET', 'PX', ONCE_SECONDS * 1000)
  if earlier then
    local answer = decided(earlier, stream, tag, total, digest, role, ref, floor, version)
    if answer then
      if answer ~= '-conflict' then stored[once] = true end
      return answer
    end
    redis.call('SET', once, become(), 'PX', ONCE_SECONDS * 1000)
  end
  local running = (counts and '' or '-') .. digits(counted)
  local refused = add(stream, position, sender, dated, running, body, before, charge)
  if refused then  -- did someone else write to the stream?
    position, before = follow(later(last, top(conversation))), last
    redis.call('SET', once, become(), 'PX', ONCE_SECONDS * 1000)
    refused = add(stream, position, sender, dated, running, body, before, charge)
    if refused then
      redis.call('DEL', once)
      if paid then pay(sender, -paid) end
      return '!' .. refused
    end
  end
  local log = table.concat({position, total, digits(counted), indexed}, ' ')
  local more = {}
  if counts then
    local sent = string.match(was[2] or '', '^%d+') or 0
    more = {'s:' .. sender, digits(sent + 1) .. ' ' .. position}
  end
  if bytes then
    more[#more + 1], more[#more + 2] = 'bytes', total .. ' ' .. digits(bytes)
  end
  if are_followers and not was[5] then
    more[#more + 1], more[#more + 2] = 'noted', 1
    redis.call('HSETNX', CHANGED, conversation, last)
  end
  redis.call('HSET', counters, 'log', log, unpack(more))
  if held then history().appended(counters, held, own, sender, position, size) end
  stored[once] = true
  if role == 'recalls' or role == 'edits' then
    local text = padded(ref)
    redis.call('ZREMRANGEBYLEX', EDITED .. tag, '[' .. text .. ' ', '(' .. text .. '!')
    if role == 'recalls' then
      redis.call('ZADD', RECALLED .. tag, 0, text)
    end
    if role == 'edits' or removes then
      redis.call('ZADD', EDITED .. tag, 0, text .. ' ' .. position)
    end
  end
  if total % 16 == 0 then  -- now and then, to keep up at little cost
    if everyone then redis.call('XTRIM', stream, 'MAXLEN', '~', ARGV[5]) end
    if held then
      history().trim(stream, tag, held, own, sender, nil, low, high)
    else
      local gone = trim_expired(stream, tag)
      if not (everyone or was[3]) then
        bytes = bytes and math.max(0, bytes - gone) or redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 0)
        if redis.call('XLEN', stream) * 2 >= kept or bytes * 2 >= kept_bytes then
          history().count_all(stream, counters)
          redis.call('HDEL', counters, 'bytes')
        else
          redis.call('HSET', counters, 'bytes', total .. ' ' .. digits(bytes))
        end
      end
    end
  end
  return position .. ' ' .. last .. ' ' .. version
end

local answers = {}
for i, stream in ipairs(KEYS) do
  local well, answer = pcall(append, stream, 10 * i)
  if not well then answer = '!' .. (type(answer) == 'table' and answer.err or tostring(answer)) end
  answers[#answers + 1] = answer
end
return answers
