-- KEYS: for each message the stream of its conversation. All other keys of a message have the same tag, except the
-- indexes of users and groups: docs/architecture.md says in which order a Redis Cluster would need those.
-- ARGV: the highest number that this route has seen (epoch.lua), now (ms), messages to keep, ms to keep, messages to
-- keep for everyone, bytes to keep, a user's quota of bytes, 1 if there is no space, by how many ms messages are dated
-- later than they were sent (cim/store/clock.py), then for each message: sender, client_id, digest, body, sent_at, the
-- client_id of the sender's message that must be stored before it, and its terms, with `|` between them: its effect
-- (`counts` as unread, `recalls`, `removes` as operators do, `edits` or `refers` to a text, or none; or `asked` if
-- only what became of it is asked, or `refused` if it is, for the reason that is its body), the position of that
-- text, 1 if it is stored even if its receiver blocks its sender, and the bytes that its sender's quota is to pay
-- for, and those if it is the first of its conversation; `log` if it counts to its conversation alone, `none`, or `-`
-- without a quota. At the end 1 if it is noted for followers of the logs that a conversation has changed
-- (followers.py).
-- Each answer is `position previous version`, a list for a repetition, `-` and the reason for a refusal, or `!` and an
-- error. All is refused if what is stored went back and no new epoch has begun.
--
-- What a conversation counts is read once, and written once when all messages are appended.
local record = call('HMGET', EPOCH, 'number', 'beat', 'once')
local epoch, beat, noted_once = tonumber(record[1] or ''), tonumber(record[2] or ''), tonumber(record[3] or '')
if not (epoch and beat and noted_once) or beat < tonumber(ARGV[1]) then
  return redis.error_reply('EPOCH a new one must begin')
end
mixed = noted_once > 0 and now - noted_once <= ONCE_MS
local no_space, lift, are_followers = ARGV[8] == '1', tonumber(ARGV[9]), ARGV[#ARGV] == '1'

-- Returns the terms of a message; most have the same.
local all_terms = {}
local function terms_of(text)
  local terms = all_terms[text]
  if not terms then
    local role, ref, past, charge = string.match(text, '^(%a*)|([%d-]*)|(%d)|(.*)$')
    terms = {role = role, ref = ref, past_blocks = past == '1', charge = charge,
             pays = tonumber(string.match(charge, '^%d+')), pays_first = tonumber(string.match(charge, '(%d+)$')),
             removes = role == 'removes'}
    if terms.removes then terms.role = 'recalls' end
    all_terms[text] = terms
  end
  return terms
end

-- Returns what a sender may do in a conversation and has said there, given the field `s:<sender>`.
local function speaker_of(text)
  return {version = '0', floor = '', count = tonumber(text and string.match(text, '^%d+') or 0), position = false,
          known = false, blocked = nil, muted = nil, refusal = nil}
end

-- The conversations of this call, by their streams.
local talks = {}
local function open_talk(stream, sender)
  local tag = string.sub(stream, #STREAM + 1)
  local low, high = string.match(tag, '^{p:(%d+):(%d+)}$')
  local counters = COUNTERS .. tag
  local was = call('HMGET', counters, 'log', 'once', 'held', 'bytes', 's:' .. sender, 'noted')
  local last, last_epoch, last_n, total, counted, indexed =
    string.match(was[1] or '', '^((%d+)-(%d+)) (%d+) (%d+) (%d+)$')
  if not last then
    last, total, counted, indexed = log_of(string.sub(tag, 2, -2), was[1])
    last_epoch, last_n = numbers(last)
  end
  local talk = {stream = stream, tag = tag, low = low, high = high, counters = counters, everyone = tag == '{g:0}',
                last = last, epoch = tonumber(last_epoch), n = tonumber(last_n), total = tonumber(total), was = last,
                opened = total, counted = tonumber(counted), indexed = indexed, noted = was[6], once = ONCE .. tag,
                speakers = {[sender] = speaker_of(was[5])}, records = nil, since = nil, first = nil, earlier = nil,
                bytes = nil, held = nil, changed = false}
  if was[3] then
    history().begin(talk, was[3])
  elseif not talk.everyone then
    local at, bytes = string.match(was[4] or '0 0', '^(%d+) (%d+)$')
    -- What a conversation has in which nothing else is counted; nil if an earlier release appended to it.
    if tonumber(at) == talk.total then talk.bytes = tonumber(bytes) end
  end
  open_once(talk, was[2])
  talks[stream] = talk
  return talk
end

-- Writes what a conversation counts.
local function close_talk(talk)
  if talk.held then history().close(talk) end
  close_once(talk)
  if not talk.changed then return end
  local total = digits(talk.total)
  local words = {'log', talk.last .. ' ' .. total .. ' ' .. talk.counted .. ' ' .. talk.indexed}
  local count = 2
  for sender, speaker in pairs(talk.speakers) do
    if speaker.position then
      words[count + 1], words[count + 2] = 's:' .. sender, digits(speaker.count) .. ' ' .. speaker.position
      count = count + 2
    end
  end
  if talk.bytes then
    words[count + 1], words[count + 2] = 'bytes', total .. ' ' .. digits(talk.bytes)
    count = count + 2
  end
  if are_followers and not talk.noted then
    words[count + 1], words[count + 2] = 'noted', '1'
    call('HSETNX', CHANGED, string.sub(talk.tag, 2, -2), talk.was)
  end
  call('HSET', talk.counters, unpack(words))
end

-- Returns the position that follows the last one of a conversation, in numbers, too.
local function follow(talk)
  if talk.last == '' then
    -- It may have been here before, and have been removed.
    local parts = call('TIME')
    beat = math.max(beat + 1, parts[1] * 1000 + math.floor(parts[2] / 1000))
    call('HSET', EPOCH, 'beat', digits(beat))
    return digits(beat) .. '-1', beat, 1
  end
  local new_epoch = math.max(epoch, talk.epoch)
  local n = new_epoch == talk.epoch and talk.n + 1 or 1
  return digits(new_epoch) .. '-' .. n, new_epoch, n
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

-- Returns why the text at a position cannot be revised by someone who may read what is after `floor`, or nil; `any`
-- lets it be one that does not count as unread.
local function unfit(talk, position, floor, any)
  if not beyond(position, floor) then return '-gone' end
  local entry = call('XRANGE', talk.stream, position, position)[1]
  local named = entry and message(entry)
  if not named or now - named.w > kept_ms then return '-gone' end
  if string.sub(named.t, 1, 1) == '-' and not any then return '-no-text' end
  if call('ZSCORE', RECALLED .. talk.tag, padded(position)) then return '-recalled' end
end

-- Returns the answer to a message, given the record of what it repeats.
local function answer_again(talk, terms, speaker, digest, position, before, sent_at, its_digest)
  if string.sub(its_digest, 1, #digest) ~= digest then return '-conflict' end
  if position == '' then return '-refused ' .. string.sub(its_digest, #digest + 1) end
  local entry = call('XRANGE', talk.stream, position, position)[1]
  local reason = terms.ref ~= '' and terms.role ~= 'recalls' and unfit(talk, terms.ref, speaker.floor)
  return {position, before, sent_at, speaker.version, entry and fields(entry).b or false,
          call('ZSCORE', RECALLED .. talk.tag, padded(position)), reason and 1 or 0}
end

-- Whether the other one of a private conversation blocks a sender.
local function is_blocked(talk, sender, speaker)
  if speaker.blocked == nil then
    local other = talk.low == sender and talk.high or talk.low
    speaker.blocked = call('HEXISTS', BLOCKED .. '{' .. other .. '}', sender) == 1
  end
  return speaker.blocked
end

-- Returns why a member of a group may say nothing, or nil: given its record, until when all but admins may not, and
-- until when it may not itself, 0 for ever.
local function muted_by_group(member, all, own)
  local function holds(until_) return until_ == '0' or until_ and tonumber(until_) > now end
  if holds(own) then return '-muted group ' .. own .. ' ' end
  if string.sub(member, 1, 1) == '0' and holds(all) then return '-muted all ' .. all .. ' ' end
end

-- Whether an operator mutes anybody: mostly nobody, and then no message is looked at.
local muting = call('EXISTS', MUTED) == 1

-- Returns why a user may say nothing, or nil.
local function muted_by_operator(user)
  local held = call('HGET', MUTED, user)
  if not held then return nil end
  local ends, reason = string.match(held, '^(%d+) %d+ (.*)$')
  if ends == '0' or ends and tonumber(ends) > now then return '-muted operator ' .. ends .. ' ' .. reason end
end

-- Finds out what a sender may do in a group: why not to say anything, or the version of its members, after which
-- position it may read, and why it is muted.
local function ask_group(talk, sender, speaker)
  local group = call('HMGET', GROUP .. talk.tag, 'version', 'ended', 'mute', 'm:' .. sender)
  speaker.version = group[1]
  if not group[1] or group[2] and sender ~= '0' then
    speaker.refusal = '-not-found'
    return
  end
  if sender == '0' then return end
  local member = call('HGET', MEMBERS .. talk.tag, sender)
  if not member then
    speaker.refusal = '-forbidden'
    return
  end
  speaker.floor = floor_of(member)
  if group[3] or group[4] then speaker.muted = muted_by_group(member, group[3], group[4]) end
end

-- Answers what became of a message, or notes that it is refused for a reason.
local function settle(talk, sender, field, digest, reason, sent_at, after, terms, speaker)
  local total = talk.total + 1
  local position, before, its_time, its_digest = recall(talk, field, total)
  if position then return answer_again(talk, terms, speaker, digest, position, before, its_time, its_digest) end
  if speaker.muted or terms.role == 'asked' then return speaker.muted or '-undecided' end
  -- In its place among the others, or what names it as its predecessor would overtake those before it.
  if after ~= '' and not recall(talk, sender .. ':' .. after, total) then return '-out-of-order' end
  remember(talk, field, 0, 0, 0, 0, sent_at, total, digest .. reason)
  return '-refused ' .. reason
end

local function append(stream, i)
  local sender, digest, body, sent_at = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local after, terms = ARGV[i + 5], terms_of(ARGV[i + 6])
  local field = sender .. ':' .. ARGV[i + 1]
  local talk = talks[stream] or open_talk(stream, sender)
  local role, ref, charge, low, everyone = terms.role, terms.ref, terms.charge, talk.low, talk.everyone
  local speaker = talk.speakers[sender]
  if not speaker then
    speaker = speaker_of(call('HGET', talk.counters, 's:' .. sender))
    talk.speakers[sender] = speaker
  end
  if low and not terms.past_blocks and is_blocked(talk, sender, speaker) then return '-blocked' end
  if not speaker.known then
    if not (low or everyone) then ask_group(talk, sender, speaker) end
    if muting then speaker.muted = muted_by_operator(sender) or speaker.muted end
    speaker.known = true
  end
  if speaker.refusal then return speaker.refusal end
  if role == 'asked' or role == 'refused' then
    return settle(talk, sender, field, digest, body, sent_at, after, terms, speaker)
  end
  local counts, pays, muted = role == 'counts', terms.pays, speaker.muted
  local total, size = talk.total + 1, #body
  if total == 1 then pays = terms.pays_first end
  if everyone then counts, charge, pays = false, '-', nil end
  local held, own
  if talk.held and charge ~= 'none' then held, own = history().open(talk, sender, size) end

  local paid = pays ~= 0 and pays or nil
  local free = pays == 0 and is_nearly_spent(sender)  -- pays nothing, but nor is it stored once all is spent
  if role == 'recalls' then muted = nil end
  local early = after ~= '' and not recall(talk, sender .. ':' .. after, total)
  local its, its_before, its_time, its_digest = recall(talk, field, total)
  if its then
    return answer_again(talk, terms, speaker, digest, its, its_before, its_time, its_digest)
  end
  if early or ref ~= '' or held or paid or free or no_space or muted then
    if muted then return muted end
    if early then return '-out-of-order' end
    local reason = ref ~= '' and unfit(talk, ref, speaker.floor, everyone and terms.removes)
    if reason and low and terms.past_blocks and is_blocked(talk, sender, speaker) then
      return '-blocked'  -- it may recall what it has said, but learns nothing
    end
    if reason then return reason end
    -- Whatever is full, a text can be recalled.
    if role == 'recalls' then
      charge, paid = charge == 'none' and charge or 'log', nil
    else
      if no_space then return '-space 0' end
      reason = held and history().make_room(talk, held, own, sender, size)
      if reason then return reason end
      if paid and not pay(sender, paid) then return '-quota 0' end
      if free and not (pay(sender, BLOCK) and pay(sender, -BLOCK)) then return '-quota 0' end
    end
  end

  -- The index before the message, so that it can be found. It may lag by a second, so that few messages write it. It
  -- is set back if it was written by a clock that was ahead.
  local dated = lift == 0 and sent_at or digits(sent_at + lift)
  local lag = dated - talk.indexed
  if not everyone and (lag >= LATE_MS or -lag > STEP_MS) then
    local conversation = string.sub(talk.tag, 2, -2)
    if low then
      call('ZADD', ACTIVITY .. '{' .. low .. '}', dated, conversation)
      call('ZADD', ACTIVITY .. '{' .. talk.high .. '}', dated, conversation)
    else
      call('ZADD', GROUP_ACTIVITY, dated, conversation)
    end
    talk.indexed = dated
  end

  local last, last_epoch, last_n = talk.last, talk.epoch, talk.n
  local position, new_epoch, n = follow(talk)
  local before = (new_epoch ~= last_epoch or n ~= last_n + 1) and last
  local counted = counts and talk.counted + 1 or talk.counted
  local running = (counts and '' or '-') .. counted
  local refused = add(stream, position, sender, dated, running, body, before, charge)
  if refused then  -- did someone else write to the stream?
    talk.last = later(last, top(string.sub(talk.tag, 2, -2)))
    talk.epoch, talk.n = numbers(talk.last)
    position, new_epoch, n = follow(talk)
    refused = add(stream, position, sender, dated, running, body, last, charge)
    if refused then
      talk.last, talk.epoch, talk.n = last, last_epoch, last_n
      if paid then pay(sender, -paid) end
      return '!' .. refused
    end
  end
  talk.last, talk.epoch, talk.n, talk.total, talk.counted = position, new_epoch, n, total, counted
  talk.changed = true
  remember(talk, field, new_epoch, n, last_epoch, last_n, sent_at, total, digest)
  if talk.bytes then talk.bytes = talk.bytes + size end
  if counts then speaker.count, speaker.position = speaker.count + 1, position end
  if held then history().appended(held, own, size, position) end
  if role == 'recalls' or role == 'edits' then
    local text = padded(ref)
    call('ZREMRANGEBYLEX', EDITED .. talk.tag, '[' .. text .. ' ', '(' .. text .. '!')
    if role == 'recalls' then
      call('ZADD', RECALLED .. talk.tag, 0, text)
    end
    if role == 'edits' or terms.removes then
      call('ZADD', EDITED .. talk.tag, 0, text .. ' ' .. position)
    end
  end
  if total % 16 == 0 then  -- now and then, to keep up at little cost
    if everyone then call('XTRIM', stream, 'MAXLEN', '~', ARGV[5]) end
    if held then
      history().trim(talk, held, sender)
    else
      local gone = trim_expired(stream, talk.tag)
      if not (everyone or talk.held) then
        local bytes = talk.bytes and math.max(0, talk.bytes - gone) or call('MEMORY', 'USAGE', stream, 'SAMPLES', 0)
        talk.bytes = bytes
        if call('XLEN', stream) * 2 >= kept or bytes * 2 >= kept_bytes then
          history().count_all(talk)
          call('HDEL', talk.counters, 'bytes')
          talk.bytes = nil
        end
      end
    end
  end
  return position .. ' ' .. last .. ' ' .. speaker.version
end

local answers = {}
for i, stream in ipairs(KEYS) do
  local well, answer = pcall(append, stream, 7 * i + 3)
  if not well then answer = '!' .. (type(answer) == 'table' and answer.err or tostring(answer)) end
  answers[i] = answer
end
for stream, talk in pairs(talks) do
  local well, wrong = pcall(close_talk, talk)
  if not well then
    for i, its in ipairs(KEYS) do
      if its == stream then answers[i] = '!' .. (type(wrong) == 'table' and wrong.err or tostring(wrong)) end
    end
  end
end
return answers
