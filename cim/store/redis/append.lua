-- KEYS: for each run of messages the stream of its conversation. A run is what one sender says there at one time and on
-- the same terms, each message behind the one before. All other keys of a run have the same tag, except the indexes of
-- users and groups: docs/architecture.md says in which order a Redis Cluster would need those.
-- ARGV: the highest number that this route has seen (epoch.lua), now (ms), messages to keep, ms to keep, messages to
-- keep for everyone, bytes to keep, a user's quota of bytes, 1 if there is no space, by how many ms messages are dated
-- later than they were sent (cim/store/clock.py), then for each run: sender, sent_at, terms, how many messages; under
-- what the message is remembered that must be stored before the first one (`<sender>:<client_id>`), or nothing; under
-- what each of them is to be; and for each its digest and body. At the end 1 if it is noted for followers of the logs
-- that a conversation has changed (followers.py).
-- Terms, with `|` between them: the effect (`counts` as unread, `recalls`, `removes` as operators do, `edits` or
-- `refers` to a text, or none; or `asked` if only what became of it is asked, or `refused` if it is, for the reason
-- that is its body), the position of that text, 1 if it is stored even if its receiver blocks its sender, and the bytes
-- that its sender's quota is to pay for, and those if it is the first of its conversation; `log` if it counts to its
-- conversation alone, `none`, or `-` without a quota.
-- The answer to a run has for messages that were stored in a row `position previous version count`, the position of
-- the last and the one before the first of them; and for each other message a list for a repetition, `-` and the reason
-- for a refusal, or `!` and an error. All is refused if what is stored went back and no new epoch has begun.
--
-- What a conversation counts is read once, and written once when all messages are appended.
local record = call('HMGET', EPOCH, 'number', 'beat', 'once')
local epoch, beat, noted_once = tonumber(record[1] or ''), tonumber(record[2] or ''), tonumber(record[3] or '')
if not (epoch and beat and noted_once) or beat < tonumber(ARGV[1]) then
  return redis.error_reply('EPOCH a new one must begin')
end
mixed = noted_once > 0 and now - noted_once <= ONCE_MS
local try = redis.pcall
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
  return {version = '0', floor = '', count = text and string.match(text, '^%d+') + 0 or 0, position = false,
          known = false}
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
                last = last, epoch = last_epoch + 0, n = last_n + 0, total = total + 0, was = last, opened = total + 0,
                counted = counted + 0, indexed = indexed, noted = was[6], once = ONCE .. tag, records = {},
                speakers = {[sender] = speaker_of(was[5])}, changed = false}
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
  local words = {'log', string.format('%s %d %d %s', talk.last, talk.total, talk.counted, talk.indexed)}
  local count = 2
  for sender, speaker in pairs(talk.speakers) do
    if speaker.position then
      words[count + 1], words[count + 2] = 's:' .. sender, string.format('%d %s', speaker.count, speaker.position)
      count = count + 2
    end
  end
  if talk.bytes then
    words[count + 1], words[count + 2] = 'bytes', string.format('%d %d', talk.total, talk.bytes)
    count = count + 2
  end
  if are_followers and not talk.noted then
    words[count + 1], words[count + 2] = 'noted', '1'
    call('HSETNX', CHANGED, string.sub(talk.tag, 2, -2), talk.was)
  end
  call('HSET', talk.counters, unpack(words))
end

-- Returns the epoch and the number of the position that follows the last one of a conversation.
local function follow(talk)
  if talk.last == '' then
    -- It may have been here before, and have been removed.
    local parts = call('TIME')
    beat = math.max(beat + 1, parts[1] * 1000 + math.floor(parts[2] / 1000))
    call('HSET', EPOCH, 'beat', digits(beat))
    return beat, 1
  end
  if talk.epoch < epoch then return epoch, 1 end
  return talk.epoch, talk.n + 1
end

-- Writes a message, and returns what is wrong, or nil.
local function add(stream, position, sender, dated, running, body, before, charge)
  if charge == 'log' or charge == 'none' then
    return try('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body, 'p',
               before or previous(position, {}), 'f', charge == 'log' and 2 or 1).err
  end
  if before then
    return try('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body, 'p', before).err
  end
  return try('XADD', stream, position, 's', sender, 'w', dated, 't', running, 'b', body).err
end

-- Whether the other one of a private conversation blocks a sender.
local function is_blocked(talk, sender, speaker)
  if speaker.blocked == nil then
    local other = talk.low == sender and talk.high or talk.low
    speaker.blocked = call('HEXISTS', BLOCKED .. '{' .. other .. '}', sender) == 1
  end
  return speaker.blocked
end

-- Whether an operator mutes anybody: mostly nobody, and then no message is looked at.
local muting = call('EXISTS', MUTED) == 1

-- Returns the functions that few messages need: even to define one takes time.
local made_seldom
local function seldom()
  if made_seldom then return made_seldom end

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

  -- Answers what became of a message, or notes that it is refused for a reason. Returns whether it is remembered, too.
  local function settle(talk, terms, sender, speaker, sent_at, field, digest, reason, early, record, earlier)
    local total = talk.total + 1
    local position, before, its_time, its_digest = recall(talk, field, total, record, earlier)
    if position then return answer_again(talk, terms, speaker, digest, position, before, its_time, its_digest), true end
    if speaker.muted or terms.role == 'asked' then return speaker.muted or '-undecided' end
    -- In its place among the others, or what names it as its predecessor would overtake those before it.
    if early then return '-out-of-order' end
    remember(talk, field, 0, 0, 0, 0, sent_at, total, digest .. reason)
    return '-refused ' .. reason, true
  end

  -- Notes what a message at a position changes about the text that it refers to.
  local function revise(talk, terms, position)
    local text = padded(terms.ref)
    call('ZREMRANGEBYLEX', EDITED .. talk.tag, '[' .. text .. ' ', '(' .. text .. '!')
    if terms.role == 'recalls' then call('ZADD', RECALLED .. talk.tag, 0, text) end
    if terms.role == 'edits' or terms.removes then
      call('ZADD', EDITED .. talk.tag, 0, text .. ' ' .. position)
    end
  end

  -- Returns why a member of a group may say nothing, or nil: given its record, until when all but admins may not, and
  -- until when it may not itself, 0 for ever.
  local function muted_by_group(member, all, own)
    local function holds(until_) return until_ == '0' or until_ and tonumber(until_) > now end
    if holds(own) then return '-muted group ' .. own .. ' ' end
    if string.sub(member, 1, 1) == '0' and holds(all) then return '-muted all ' .. all .. ' ' end
  end

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

  -- Removes what is too old; now and then, to keep up at little cost.
  local function trim(talk, sender)
    local stream = talk.stream
    if talk.everyone then call('XTRIM', stream, 'MAXLEN', '~', ARGV[5]) end
    if talk.held then
      history().trim(talk, talk.held, sender)
      return
    end
    local gone = history().trim_expired(stream, talk.tag)
    if talk.everyone then return end
    talk.bytes = talk.bytes and math.max(0, talk.bytes - gone) or call('MEMORY', 'USAGE', stream, 'SAMPLES', 0)
    if call('XLEN', stream) * 2 >= kept or talk.bytes * 2 >= kept_bytes then
      history().count_all(talk)
      call('HDEL', talk.counters, 'bytes')
      talk.bytes = nil
    end
  end

  made_seldom = {unfit = unfit, answer_again = answer_again, settle = settle, revise = revise, ask_group = ask_group,
                 muted_by_operator = muted_by_operator, trim = trim}
  return made_seldom
end

-- Writes the indexes before the message, so that it can be found. They may lag by a second, so that few messages write
-- them. They are set back if they were written by a clock that was ahead.
local function index(talk, dated)
  local lag = dated - talk.indexed
  if talk.everyone or lag < LATE_MS and -lag <= STEP_MS then return end
  local conversation = string.sub(talk.tag, 2, -2)
  if talk.low then
    call('ZADD', ACTIVITY .. '{' .. talk.low .. '}', dated, conversation)
    call('ZADD', ACTIVITY .. '{' .. talk.high .. '}', dated, conversation)
  else
    call('ZADD', GROUP_ACTIVITY, dated, conversation)
  end
  talk.indexed = dated
end

-- Stores the j-th message of a run, and those behind it, up to another one, of which nothing may be remembered. Returns
-- how many, and what is wrong if it is none.
local function store(talk, terms, sender, speaker, sent_at, fields, bodies, j, upto, charge, records, earlier)
  local stream, own, first, last = talk.stream, talk.records, j, talk.last
  local counts, counted = terms.role == 'counts' and not talk.everyone, talk.counted
  local dated = lift == 0 and sent_at or digits(sent_at + lift)
  local epoch_before, n_before = talk.epoch, talk.n
  index(talk, dated)
  local new_epoch, n = follow(talk)
  local before = (new_epoch ~= epoch_before or n ~= n_before + 1) and last
  local prefix = digits(new_epoch) .. '-'
  repeat
    local body, position = ARGV[bodies + 2 * j + 1], prefix .. digits(n)
    local running = string.format(counts and '%d' or '-%d', counts and counted + 1 or counted)
    local refused = add(stream, position, sender, dated, running, body, before, charge)
    if refused then
      if j > first then break end
      -- Did someone else write to the stream?
      talk.last = later(last, top(string.sub(talk.tag, 2, -2)))
      talk.epoch, talk.n = numbers(talk.last)
      new_epoch, n = follow(talk)
      prefix = digits(new_epoch) .. '-'
      position = prefix .. digits(n)
      refused = add(stream, position, sender, dated, running, body, last, charge)
      if refused then
        talk.last, talk.epoch, talk.n = last, epoch_before, n_before
        return 0, refused
      end
    end
    talk.total = talk.total + 1
    remember(talk, ARGV[fields + j], new_epoch, n, epoch_before, n_before, sent_at, talk.total, ARGV[bodies + 2 * j])
    talk.last, talk.epoch, talk.n = position, new_epoch, n
    if counts then counted = counted + 1 end
    if talk.bytes then talk.bytes = talk.bytes + #body end
    epoch_before, n_before, n, before, j = new_epoch, n, n + 1, false, j + 1
  until j > upto or records[j + 1] or earlier[j + 1] or own[ARGV[fields + j]]
  talk.changed, talk.counted = true, counted
  if counts then speaker.count, speaker.position = speaker.count + j - first, talk.last end
  return j - first
end

-- Returns the answer to a message that is not to be stored, and whether it is remembered; or nil, whether what is behind
-- it in its run may be stored without such a look, what it is charged to, what its conversation and its sender hold, and
-- what was paid for it.
local function check(talk, terms, sender, speaker, sent_at, field, digest, body, early, record, earlier)
  local role, ref, charge, pays, muted = terms.role, terms.ref, terms.charge, terms.pays, speaker.muted
  local total, size = talk.total + 1, #body
  if total == 1 then pays = terms.pays_first end
  if talk.everyone then charge, pays = '-', nil end
  local held, own
  if talk.held and charge ~= 'none' then held, own = history().open(talk, sender, size) end

  local paid = pays ~= 0 and pays or nil
  local free = pays == 0 and is_nearly_spent(sender)  -- pays nothing, but nor is it stored once all is spent
  if role == 'recalls' then muted = nil end
  local its, its_before, its_time, its_digest = recall(talk, field, total, record, earlier)
  if its then
    return seldom().answer_again(talk, terms, speaker, digest, its, its_before, its_time, its_digest), true
  end
  if not (early or ref ~= '' or held or paid or free or no_space or muted) then return nil, not mixed, charge end
  if muted then return muted end
  if early then return '-out-of-order' end
  local reason = ref ~= '' and seldom().unfit(talk, ref, speaker.floor, talk.everyone and terms.removes)
  if reason and talk.low and terms.past_blocks and is_blocked(talk, sender, speaker) then
    return '-blocked'  -- it may recall what it has said, but learns nothing
  end
  if reason then return reason end
  -- Whatever is full, a text can be recalled.
  if role == 'recalls' then return nil, false, charge == 'none' and charge or 'log', held, own end
  if no_space then return '-space 0' end
  reason = held and history().make_room(talk, held, own, sender, size)
  if reason then return reason end
  if paid and not pay(sender, paid) then return '-quota 0' end
  if free and not (pay(sender, BLOCK) and pay(sender, -BLOCK)) then return '-quota 0' end
  return nil, false, charge, held, own, paid
end

-- Returns the same answer to all messages of a run.
local function all(count, answer)
  local answers = {}
  for j = 1, count do answers[j] = answer end
  return answers
end

-- Appends a run of so many messages, whose arguments begin with ARGV[at]; returns the answers.
local function append(stream, at, count)
  local sender, sent_at, terms, after = ARGV[at], ARGV[at + 1], terms_of(ARGV[at + 2]), ARGV[at + 4]
  local talk = talks[stream] or open_talk(stream, sender)
  local speaker = talk.speakers[sender]
  if not speaker then
    speaker = speaker_of(call('HGET', talk.counters, 's:' .. sender))
    talk.speakers[sender] = speaker
  end
  if talk.low and not terms.past_blocks and is_blocked(talk, sender, speaker) then return all(count, '-blocked') end
  if not speaker.known then
    if not (talk.low or talk.everyone) then seldom().ask_group(talk, sender, speaker) end
    if muting then speaker.muted = seldom().muted_by_operator(sender) or speaker.muted end
    speaker.known = true
  end
  if speaker.refusal then return all(count, speaker.refusal) end

  local see = (terms.role == 'asked' or terms.role == 'refused') and seldom().settle or check
  local fields, bodies = at + 4, at + 3 + count
  local records, earlier = look_up(talk, fields, fields + count)
  local known = after == '' or recall(talk, after, talk.total + 1, records[1], earlier[1])
  local answers, j = {}, 1
  while j <= count do
    local body, total, last, stored = ARGV[bodies + 2 * j + 1], talk.total, talk.last, 1
    local answer, others, charge, held, own, paid =
      see(talk, terms, sender, speaker, sent_at, ARGV[fields + j], ARGV[bodies + 2 * j], body, not known,
          records[j + 1], earlier[j + 1])
    if answer then
      known = others
    else
      local refused
      local upto = others and math.min(count, j + 15 - total % 16) or j
      stored, refused = store(talk, terms, sender, speaker, sent_at, fields, bodies, j, upto, charge, records, earlier)
      known = not refused
      if refused then
        if paid then pay(sender, -paid) end
        answer, stored = '!' .. refused, 1
      else
        answer = string.format('%s %s %s %d', talk.last, last, speaker.version, stored)
        if held then history().appended(held, own, #body, talk.last) end
        if terms.role == 'recalls' or terms.role == 'edits' then seldom().revise(talk, terms, talk.last) end
        if talk.total % 16 == 0 then seldom().trim(talk, sender) end
      end
    end
    answers[#answers + 1] = answer
    j = j + stored
  end
  return answers
end

local function error_of(wrong) return '!' .. (type(wrong) == 'table' and wrong.err or tostring(wrong)) end

local answers, counts, at = {}, {}, 10
for i, stream in ipairs(KEYS) do
  local count = ARGV[at + 3] + 0
  local well, its = pcall(append, stream, at, count)
  answers[i], counts[i] = well and its or all(count, error_of(its)), count
  at = at + 5 + 3 * count
end
for stream, talk in pairs(talks) do
  local well, wrong = pcall(close_talk, talk)
  if not well then
    for i, its in ipairs(KEYS) do
      if its == stream then answers[i] = all(counts[i], error_of(wrong)) end
    end
  end
end
return answers
