-- Which messages are stored, or refused, already: for 24 hours or for 10,000 messages of their conversation,
-- whichever is less (docs/architecture.md, Conversations).
--
-- A conversation has a hash, from `<sender>:<client_id>` to the record, of those since a moment, and another one of
-- those before. The field `once` of its counters tells the moment, how many messages there were, and 1 if there is
-- the other hash. After 24 hours or 10,000 messages the first hash takes the place of the other one. Each expires by
-- itself, so nothing is left where nobody writes any more.
--
-- A record has numbers of a fixed size: epoch and n of the position, and of the one before, sent_at, when it was
-- stored, and its number in the conversation; then the digest. Of a refusal: no position, and the reason behind the
-- digest.
local ONCE_MS, RECORD, RECORD_SIZE = ONCE_SECONDS * 1000, '<I6I5I6I5I6I6I4', 38
-- Whether routes of earlier releases may write, or did within 24 hours: they have a key for each message (epoch.lua).
local mixed

-- Prepares a conversation with `tag` and `last`, given its field `once`.
local function open_once(talk, text)
  local has_earlier
  if text then
    talk.since, talk.first, has_earlier = struct.unpack('<I6I4B', text)
  elseif talk.last ~= '' then
    has_earlier = call('EXISTS', ONCE .. talk.tag .. ':before')
  end
  if has_earlier == 1 then talk.earlier = ONCE .. talk.tag .. ':before' end
end

local function text_of(epoch, n) return epoch > 0 and string.format('%d-%d', epoch, n) or '' end

-- Returns position, the one before, sent_at and digest of a record; nil if it was too long ago, or too many messages.
local function parsed(record, total)
  local epoch, n, before_epoch, before_n, sent_at, stored_at, number = struct.unpack(RECORD, record)
  if total - number <= ONCE_MESSAGES and now - stored_at <= ONCE_MS then
    return text_of(epoch, n), text_of(before_epoch, before_n), digits(sent_at), string.sub(record, RECORD_SIZE + 1)
  end
end

-- The key under which routes of earlier releases remember a message.
local function single(talk, field) return SINGLE .. talk.tag .. ':' .. field end

local function parsed_single(record, total)
  local position, before, sent_at, number, digest = string.match(record, '^(%S+) (%S*) (%d+) (%d+) (.*)$')
  if not position or total - number > ONCE_MESSAGES then return nil end
  if position == '!' then position = '' end
  return position, before == '=' and previous(position, {}) or before, sent_at, digest
end

-- Looks up some messages, whose fields are ARGV[from] to ARGV[upto]; returns their records in both hashes.
local nothing = {}
local function look_up(talk, from, upto)
  return call('HMGET', talk.once, unpack(ARGV, from, upto)),
         talk.earlier and call('HMGET', talk.earlier, unpack(ARGV, from, upto)) or nothing
end

-- Returns what `parsed` does of what is remembered of a message, or nil; given what was looked up.
local function recall(talk, field, total, record, earlier)
  record = talk.records[field] or record
  if record then
    local position, before, sent_at, digest = parsed(record, total)
    if position then return position, before, sent_at, digest end
  end
  if earlier then
    local position, before, sent_at, digest = parsed(earlier, total)
    if position then return position, before, sent_at, digest end
  end
  record = mixed and call('GET', single(talk, field))
  if record then return parsed_single(record, total) end
end

-- Remembers a message; no position is that of a refusal.
local function remember(talk, field, epoch, n, before_epoch, before_n, sent_at, total, digest)
  local record = struct.pack(RECORD, epoch, n, before_epoch, before_n, sent_at, now, total) .. digest
  talk.records[field] = record
  if mixed then
    local position = epoch > 0 and text_of(epoch, n) or '!'
    record = {position, text_of(before_epoch, before_n), digits(sent_at), total, digest}
    call('SET', single(talk, field), table.concat(record, ' '), 'PX', ONCE_MS)
  end
end

-- Writes what this call is to remember of a conversation, which had `opened` messages before.
local function close_once(talk)
  if not next(talk.records) then return end
  local words, count, since = {}, 0, talk.since
  for field, record in pairs(talk.records) do
    words[count + 1], words[count + 2] = field, record
    count = count + 2
  end
  if since and now - since <= ONCE_MS and since - now <= STEP_MS and talk.opened - talk.first < ONCE_MESSAGES then
    call('HSET', talk.once, unpack(words))
    return
  end
  local has_earlier = talk.earlier
  if since then
    local before = ONCE .. talk.tag .. ':before'
    call('UNLINK', before)  -- or RENAME would wait until all of it is freed
    has_earlier = not redis.pcall('RENAME', talk.once, before).err  -- it may have expired
  end
  call('HSET', talk.once, unpack(words))
  call('PEXPIRE', talk.once, 2 * ONCE_MS)
  call('HSET', talk.counters, 'once', struct.pack('<I6I4B', now, talk.opened, has_earlier and 1 or 0))
end
